"""What every field of an agreement is called, and what a change in it means for the people in the data.

The table has one line for each field of the schema; a field without a line cannot be compared. "More" is a
number that rises, a truth that becomes yes, a value that appears, an item that is added, or any change where
there is no order. What cannot be told apart counts as widening.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hanse.policies.agreement.columns import Column, Disclosure
from hanse.policies.agreement.effects import Case, Effect, Look, Meaning, Term
from hanse.policies.agreement.parties import Member, Notice
from hanse.policies.purposes import covers
from hanse.policies.rules import Wording

_WIDENS, _NARROWS, _NEUTRAL = (
    Meaning(Effect.WIDENS),
    Meaning(Effect.NARROWS),
    Meaning(Effect.NEUTRAL),
)


def _says(effect: Effect, en: str, zh: str, *anew: str) -> Meaning:
    return Meaning(effect, Wording(en, zh), anew)


_LESS_PROTECTION: Final = _says(Effect.WIDENS, "less protection", "保护减弱")
_MORE_PROTECTION: Final = _says(Effect.NARROWS, "more protection", "保护增强")
_ELSEWHERE: Final = _says(
    Effect.WIDENS,
    "data would be processed in a new place: separate consent for crossing borders",
    "将在新的法域处理：需取得跨境的单独同意",
    "P21",
)
_EVERYBODY: Final = _says(
    Effect.WIDENS,
    "every subject must consent anew, for a grant names all members",
    "全体个人须重新同意，因为同意须指名全部成员",
    "P06",
)
_DIVISION: Final = _says(
    Effect.NEUTRAL,
    "with a privacy budget, a site that has trained with another share refuses",
    "设有隐私预算时，以其他比例训练过的节点将拒绝",
)
_COMPARE_KEY: Final = _says(Effect.NEUTRAL, "compare it with its owner", "请与密钥所有者核对")


def _places(member: Member) -> frozenset[str]:
    return frozenset((member.jurisdiction, member.storage_country))


def _member(case: Case) -> Meaning:
    if not isinstance(case.after, Member):
        return _NARROWS
    beyond = not _places(case.after) <= case.old.jurisdictions
    return Meaning(Effect.WIDENS, _EVERYBODY.note, ("P06", "P21") if beyond else ("P06",))


def _place(case: Case) -> Meaning:
    if case.after is None:
        return _NARROWS
    return _NEUTRAL if case.after in case.old.jurisdictions else _ELSEWHERE


def _role(case: Case) -> Meaning:
    if case.after == "provider":
        return _says(
            Effect.WIDENS,
            "its subjects must consent to sharing separately",
            "其个人须就提供给他方另行单独同意",
            "P06",
        )
    return (
        _NARROWS if case.before == "provider" else _says(Effect.WIDENS, "who decides changes", "决定者改变")
    )


def _purpose(anew: str) -> Look:
    def look(case: Case) -> Meaning:
        if covers(str(case.before), str(case.after)):
            return _says(Effect.NARROWS, "grants for the old purpose cover it", "原目的的同意已涵盖")
        return _says(
            Effect.WIDENS,
            "grants for the old purpose do not cover it: every subject must consent anew",
            "原目的的同意不涵盖：全体个人须重新同意",
            anew,
        )

    return look


def _column(case: Case) -> Meaning:
    if not isinstance(case.after, Column):
        return _NARROWS
    anew: tuple[str, ...] = ("P05",) if case.after.classification not in case.old.classifications else ()
    anew += ("P07",) if case.after.classification == "sensitive" else ()
    anew += ("P09",) if case.after.special == "public_place" else ()
    note = Wording("a class of data that grants must name", "属于同意须列明的信息类别") if anew else None
    return Meaning(Effect.WIDENS, note, anew)


def _classification(case: Case) -> Meaning:
    order = ("basic", "behavioural", "transaction", "sensitive")
    if order.index(str(case.after)) < order.index(str(case.before)):
        return _LESS_PROTECTION
    anew = ("P05",) if case.after not in case.old.classifications else ()
    return Meaning(
        Effect.NARROWS, _MORE_PROTECTION.note, (*anew, *(("P07",) if case.after == "sensitive" else ()))
    )


def _special(case: Case) -> Meaning:
    if case.after is None:
        return _LESS_PROTECTION
    return Meaning(Effect.NARROWS, None, ("P09",) if case.after == "public_place" else ("P07",))


def _notice(case: Case) -> Meaning:
    if not isinstance(case.after, Notice):
        return _says(
            Effect.NARROWS,
            "consents that rest on it no longer count",
            "以其为依据的同意不再有效",
            "P02",
        )
    owners = {member.name for member in case.new.members if case.after in member.notices}
    known = {_major(notice) for m in case.old.members if m.name in owners for notice in m.notices}
    if _major(case.after) in known:
        return _says(Effect.WIDENS, "consents that rest on it count", "以其为依据的同意生效")
    return _says(
        Effect.WIDENS,
        "a new main version: consents under an older one are to be asked anew",
        "主版本更新：依旧版取得的同意须重新取得",
        "P05",
    )


def _major(notice: Notice) -> str:
    return notice.version.partition(".")[0]


def _disclosure(case: Case) -> Meaning:
    forms = [item.form if isinstance(item, Disclosure) else "" for item in (case.before, case.after)]
    return _WIDENS if forms[1] == "model" or forms[0] == "none" else _NARROWS


def _cells(case: Case) -> Meaning:
    sizes = [len(cells) if isinstance(cells, tuple) else 0 for cells in (case.before, case.after)]
    if sizes[0] == sizes[1]:
        return _NEUTRAL
    return (
        _says(Effect.WIDENS, "values are told apart more finely", "取值区分更细")
        if sizes[1] > sizes[0]
        else _says(Effect.NARROWS, "values are told apart less finely", "取值区分更粗")
    )


def _mechanism(case: Case) -> Meaning:
    return _WIDENS if case.after == "none" else _NEUTRAL


_TABLE: Final[tuple[tuple[str, str, str, Meaning, Meaning], ...]] = (
    ("schema_version", "the version of the form", "格式版本", _NEUTRAL, _NEUTRAL),
    (
        "id",
        "the short name",
        "简称",
        _says(Effect.WIDENS, "it is another agreement", "这是另一份协议"),
        _NEUTRAL,
    ),
    ("version", "the version", "版本", _NEUTRAL, _NEUTRAL),
    ("title", "the title", "标题", _NEUTRAL, _NEUTRAL),
    ("purpose", "the purpose", "处理目的", _WIDENS, _NARROWS),
    ("legal_basis", "the legal basis", "合法性基础", _WIDENS, _WIDENS),
    (
        "overrides",
        "another legal basis than consent, for",
        "同意以外的合法性基础",
        _says(Effect.WIDENS, "records count that rest on no consent", "未经同意的记录亦可使用"),
        _says(Effect.NARROWS, "records that rested on it need a consent", "依其使用的记录须取得同意", "P01"),
    ),
    ("overrides.member", "the member of an override", "例外所涉成员", _WIDENS, _NARROWS),
    ("overrides.basis", "the legal basis of an override", "例外的合法性基础", _WIDENS, _NARROWS),
    ("overrides.reason", "the reason of the override for {0}", "{0}例外的理由", _NEUTRAL, _NEUTRAL),
    (
        "packs",
        "the rule pack",
        "规则包",
        _says(Effect.NARROWS, "its rules apply as well", "其规则一并适用"),
        _says(Effect.WIDENS, "its rules no longer apply", "其规则不再适用"),
    ),
    ("packs.id", "the name of a rule pack", "规则包名称", _WIDENS, _WIDENS),
    ("packs.version", "the version of rule pack {0}", "规则包{0}的版本", _NEUTRAL, _NEUTRAL),
    (
        "packs.digest",
        "the text of rule pack {0}",
        "规则包{0}的文本",
        _says(Effect.WIDENS, "compare the texts; they may allow more", "请比对文本；可能放宽"),
        _WIDENS,
    ),
    ("supersedes", "the digest of the version before", "前一版本的摘要", _NEUTRAL, _NEUTRAL),
    ("proposer", "the proposer", "提案人", _NEUTRAL, _NEUTRAL),
    ("auditor", "the auditor", "审计人", _NEUTRAL, _NEUTRAL),
    ("members", "the member", "成员", _EVERYBODY, _NARROWS),
    ("members.name", "the short name of a member", "成员简称", _WIDENS, _NARROWS),
    ("members.organisation", "the legal name of {0}", "{0}的法定名称", _EVERYBODY, _NARROWS),
    ("members.jurisdiction", "the jurisdiction of {0}", "{0}的法域", _ELSEWHERE, _NARROWS),
    ("members.storage_country", "the storage country of {0}", "{0}的存储国家", _ELSEWHERE, _NARROWS),
    ("members.role", "the role of {0}", "{0}的角色", _WIDENS, _NARROWS),
    ("members.contract", "the contract of {0}", "{0}的委托合同", _NARROWS, _WIDENS),
    ("members.contract.reference", "the contract's reference of {0}", "{0}委托合同编号", _NEUTRAL, _NEUTRAL),
    ("members.contract.purposes", "what {0} is entrusted with", "{0}受托处理的目的", _WIDENS, _NARROWS),
    ("members.contract.until", "the end of the contract of {0}", "{0}委托合同期限", _WIDENS, _NARROWS),
    (
        "members.contract.sub_processors",
        "whether {0} may entrust others",
        "{0}可否转委托",
        _WIDENS,
        _NARROWS,
    ),
    (
        "members.contract.at_end",
        "what {0} does with the data at the end",
        "{0}在合同终止时对数据的处置",
        _NEUTRAL,
        _NEUTRAL,
    ),
    ("members.approver", "the approver of {0}", "{0}的批准人", _NEUTRAL, _NEUTRAL),
    ("members.notices", "the privacy notice of {0}", "{0}的个人信息告知书", _WIDENS, _NARROWS),
    ("members.notices.version", "the version of a notice of {0}", "{0}告知书的版本", _WIDENS, _NARROWS),
    ("members.notices.sha256", "the text of a notice of {0}", "{0}告知书的文本", _WIDENS, _NARROWS),
    (
        "members.notices.published_at",
        "the publication of notice {1} of {0}",
        "{0}告知书{1}的发布时间",
        _says(Effect.NARROWS, "older consents no longer count", "此前的同意不再有效", "P02"),
        _says(Effect.WIDENS, "older consents count", "更早的同意亦有效"),
    ),
    ("members.node_key", "the key of the node of {0}", "{0}节点的密钥", _COMPARE_KEY, _COMPARE_KEY),
    ("members.approver_key", "the key of the approver of {0}", "{0}批准人的密钥", _COMPARE_KEY, _COMPARE_KEY),
    ("members.witness_key", "the witness's key of {0}", "{0}见证节点的密钥", _COMPARE_KEY, _COMPARE_KEY),
    (
        "evidence.quorum",
        "the witnesses that have to co-sign the log",
        "须联署日志的见证方数量",
        _MORE_PROTECTION,
        _LESS_PROTECTION,
    ),
    (
        "evidence.auditors",
        "the outside auditor",
        "外部审计方",
        _says(Effect.NARROWS, "one more witness of the log, who reads it", "增加一个读取日志的见证方"),
        _says(Effect.WIDENS, "one witness of the log less", "减少一个日志见证方"),
    ),
    ("evidence.auditors.name", "the short name of an auditor", "审计方简称", _NEUTRAL, _NEUTRAL),
    (
        "evidence.auditors.organisation",
        "the legal name of auditor {0}",
        "审计方{0}的法定名称",
        _NEUTRAL,
        _NEUTRAL,
    ),
    (
        "evidence.auditors.witness_key",
        "the key of auditor {0}",
        "审计方{0}的密钥",
        _COMPARE_KEY,
        _COMPARE_KEY,
    ),
    ("coordinator.name", "the coordinator", "协调方", _NEUTRAL, _NEUTRAL),
    ("coordinator.jurisdiction", "the coordinator's jurisdiction", "协调方的法域", _ELSEWHERE, _NARROWS),
    ("coordinator.key", "the coordinator's key", "协调方的密钥", _COMPARE_KEY, _COMPARE_KEY),
    (
        "may_contain_minors",
        "whether children may be among the subjects",
        "个人中可否有儿童",
        _says(
            Effect.NARROWS,
            "whose age is unknown, and children without a guardian's consent, are left out",
            "年龄不明者及未经监护人同意的儿童将被排除",
            "P08",
        ),
        _says(Effect.WIDENS, "whose age is unknown is no longer left out", "年龄不明者不再被排除"),
    ),
    ("columns", "the column", "字段", _WIDENS, _NARROWS),
    ("columns.name", "the name of a column", "字段名", _WIDENS, _NARROWS),
    ("columns.kind", "the kind of column {0}", "字段{0}的类型", _WIDENS, _WIDENS),
    ("columns.classification", "the class of column {0}", "字段{0}的分类", _WIDENS, _NARROWS),
    ("columns.edges", "the bin edges of column {0}", "字段{0}的区间边界", _WIDENS, _NARROWS),
    ("columns.categories", "the categories of column {0}", "字段{0}的类别", _WIDENS, _NARROWS),
    (
        "columns.bins",
        "the number of bins of column {0}",
        "字段{0}的区间数",
        _says(Effect.WIDENS, "values are told apart more finely", "取值区分更细"),
        _says(Effect.NARROWS, "values are told apart less finely", "取值区分更粗"),
    ),
    ("columns.necessity", "the note of necessity of column {0}", "字段{0}的必要性说明", _NEUTRAL, _NEUTRAL),
    ("columns.special", "why column {0} is sensitive", "字段{0}的敏感类型", _NARROWS, _WIDENS),
    (
        "columns.required",
        "whether column {0} is required",
        "字段{0}是否必需",
        _says(
            Effect.NEUTRAL,
            "who hides it or has not agreed to it is left out",
            "隐藏或未同意该字段的个人将被排除",
        ),
        _says(
            Effect.NEUTRAL,
            "who hides it takes part without its value",
            "隐藏该字段的个人仍可参与，但不含该值",
        ),
    ),
    ("columns.transform", "the transform of column {0}", "字段{0}的变换", _WIDENS, _WIDENS),
    (
        "columns.disclosure",
        "the disclosure of column {0} to",
        "字段{0}的披露对象",
        _WIDENS,
        _NARROWS,
    ),
    ("columns.disclosure.to", "to whom column {0} goes", "字段{0}的披露对象", _WIDENS, _NARROWS),
    (
        "columns.disclosure.form",
        "what {1} receives of column {0}",
        "{1}得到的字段{0}的形式",
        _WIDENS,
        _NARROWS,
    ),
    (
        "label.name",
        "what is predicted",
        "预测目标",
        _says(Effect.WIDENS, "another model", "另一模型"),
        _WIDENS,
    ),
    ("label.positive", "the value that counts as yes", "预测目标的正例", _WIDENS, _WIDENS),
    ("training.model", "the model", "模型", _NEUTRAL, _NEUTRAL),
    ("training.hidden", "the hidden layers", "隐藏层", _NEUTRAL, _NEUTRAL),
    ("training.rounds", "the rounds of a run", "每次训练的轮数", _NEUTRAL, _NEUTRAL),
    ("training.local_steps", "the steps of a member in a round", "成员每轮的步数", _NEUTRAL, _NEUTRAL),
    ("training.sample_rate", "the sample rate", "采样率", _NEUTRAL, _NEUTRAL),
    ("training.learning_rate", "the learning rate", "学习率", _NEUTRAL, _NEUTRAL),
    ("training.clip_norm", "the bound of a record's gradient", "单条记录梯度的上限", _NEUTRAL, _NEUTRAL),
    ("training.max_update_norm", "the bound of a member's update", "成员更新的上限", _WIDENS, _NARROWS),
    ("training.round_timeout_s", "the seconds of a round", "每轮的秒数", _NEUTRAL, _NEUTRAL),
    (
        "training.holdout_fraction",
        "the share of held-out records",
        "留出记录的比例",
        _DIVISION,
        _DIVISION,
    ),
    ("training.embedding", "the numbers learned per category", "每个类别的嵌入维数", _NEUTRAL, _NEUTRAL),
    (
        "training.targets",
        "what is also predicted,",
        "附加预测目标",
        _says(Effect.WIDENS, "one more thing is predicted about people", "对个人多预测一项"),
        _NARROWS,
    ),
    ("training.targets.name", "what is also predicted", "附加预测目标", _WIDENS, _WIDENS),
    ("training.targets.kind", "the kind of target {0}", "预测目标{0}的类型", _WIDENS, _WIDENS),
    ("training.targets.positive", "the value of {0} that counts as yes", "{0}的正例", _WIDENS, _WIDENS),
    ("training.targets.bound", "the largest amount of {0}", "{0}的金额上限", _WIDENS, _NARROWS),
    ("training.positive_weight", "the weight of positive records", "正例的权重", _NEUTRAL, _NEUTRAL),
    ("training.patience", "the rounds without improvement", "无改进即停止的轮数", _NEUTRAL, _NEUTRAL),
    ("training.adaptive_step", "the coordinator's step size", "协调方的步长", _NEUTRAL, _NEUTRAL),
    ("training.scale", "the scale of points", "计分尺度", _NEUTRAL, _NEUTRAL),
    ("training.scale.points", "the points at the base odds", "基准比率的分数", _NEUTRAL, _NEUTRAL),
    ("training.scale.odds", "the base odds", "基准比率", _NEUTRAL, _NEUTRAL),
    ("training.trees", "the size of trees", "树的规模", _NEUTRAL, _NEUTRAL),
    ("training.trees.depth", "the depth of trees", "树的深度", _NEUTRAL, _NEUTRAL),
    (
        "training.trees.min_rows",
        "the fewest records of a side of a split",
        "分裂每侧的最少记录数",
        _MORE_PROTECTION,
        _LESS_PROTECTION,
    ),
    ("training.trees.l2", "the pull on the values of leaves", "叶值的正则强度", _NEUTRAL, _NEUTRAL),
    ("training.scale.doubling", "the points that double the odds", "比率翻倍的分数", _NEUTRAL, _NEUTRAL),
    (
        "privacy",
        "the privacy budget",
        "隐私预算",
        _MORE_PROTECTION,
        _says(Effect.WIDENS, "updates leave the members without noise", "更新不加噪声即离开成员"),
    ),
    ("privacy.unit", "the unit of privacy", "隐私保护的单位", _WIDENS, _WIDENS),
    ("privacy.adjacency", "the adjacency of the privacy budget", "隐私预算的相邻关系", _WIDENS, _WIDENS),
    ("privacy.epsilon", "the privacy budget epsilon", "隐私预算epsilon", _LESS_PROTECTION, _MORE_PROTECTION),
    ("privacy.delta", "the privacy budget's delta", "隐私预算的delta", _LESS_PROTECTION, _MORE_PROTECTION),
    (
        "aggregation.mode",
        "how the members' figures come together",
        "成员数据的汇总方式",
        _MORE_PROTECTION,
        _says(
            Effect.WIDENS,
            "the coordinator sees each member's update on its own",
            "协调方可单独看到各成员的更新",
        ),
    ),
    (
        "cohort.minimum_rows",
        "the subjects that a member needs to take part",
        "成员参与所需的最少人数",
        _MORE_PROTECTION,
        _LESS_PROTECTION,
    ),
    (
        "cohort.minimum_members",
        "the members that an aggregate needs",
        "聚合所需的最少成员数",
        _MORE_PROTECTION,
        _LESS_PROTECTION,
    ),
    (
        "cohort.suppress_below",
        "the count below which a number is not shown",
        "低于即不显示的计数",
        _MORE_PROTECTION,
        _LESS_PROTECTION,
    ),
    ("scoring.purpose", "the purpose of scores", "评分目的", _WIDENS, _NARROWS),
    ("scoring.callers", "the system that may ask for scores", "可请求评分的系统", _WIDENS, _NARROWS),
    ("scoring.callers.name", "the name of a caller", "调用方名称", _WIDENS, _NARROWS),
    (
        "scoring.callers.daily_quota",
        "the subjects a day that {0} may ask about",
        "{0}每日可查询的人数",
        _WIDENS,
        _NARROWS,
    ),
    (
        "scoring.callers.opt_out_available",
        "whether {0} lets people say no",
        "{0}是否提供拒绝方式",
        _NARROWS,
        _WIDENS,
    ),
    (
        "scoring.callers.non_personalised_path",
        "whether {0} serves people without a score",
        "{0}是否提供不针对个人特征的选项",
        _NARROWS,
        _WIDENS,
    ),
    ("scoring.output", "the form of a score", "评分的形式", _WIDENS, _NARROWS),
    ("scoring.decimals", "the decimals of a score", "评分的小数位数", _WIDENS, _NARROWS),
    ("scoring.prohibited_uses", "the prohibited uses of scores", "评分的禁止用途", _NARROWS, _WIDENS),
    (
        "scoring.significant_effect",
        "whether decisions affect people significantly",
        "决定是否对个人权益有重大影响",
        _WIDENS,
        _NARROWS,
    ),
    (
        "scoring.human_review",
        "whether a person can review a decision",
        "决定可否由人工复核",
        _NARROWS,
        _WIDENS,
    ),
    (
        "scoring.reason_codes",
        "whether a decision can be explained by reason codes",
        "决定可否以原因代码说明",
        _NARROWS,
        _WIDENS,
    ),
    ("assessment.reference", "the assessment's reference", "影响评估编号", _NEUTRAL, _NEUTRAL),
    ("assessment.approver", "who approved the assessment", "影响评估的批准人", _NEUTRAL, _NEUTRAL),
    ("assessment.approved_at", "when the assessment was approved", "影响评估的批准时间", _NEUTRAL, _NEUTRAL),
    ("assessment.expires_at", "when the assessment expires", "影响评估的到期时间", _WIDENS, _NARROWS),
    (
        "assessment.purposes",
        "the purposes that the assessment covers",
        "影响评估涵盖的目的",
        _WIDENS,
        _NARROWS,
    ),
    ("assessment.members", "the members that the assessment covers", "影响评估涵盖的成员", _WIDENS, _NARROWS),
    (
        "assessment.classifications",
        "the classes of data that the assessment covers",
        "影响评估涵盖的信息类别",
        _WIDENS,
        _NARROWS,
    ),
    ("assessment.digest", "the digest of the approved assessment", "获批影响评估的摘要", _NEUTRAL, _NEUTRAL),
    ("assessment.rehearsal", "the digest of the rehearsal's report", "演练报告的摘要", _NEUTRAL, _NEUTRAL),
    ("border.mechanism", "the border mechanism", "跨境机制", _NEUTRAL, _WIDENS),
    ("border.reference", "the border mechanism's reference", "跨境机制的编号", _NEUTRAL, _WIDENS),
    (
        "border.other_places",
        "other places of logs and models",
        "日志与模型的其他所在地",
        _ELSEWHERE,
        _NARROWS,
    ),
    ("retention.rows_days", "the days for which rows are kept", "原始记录的保存天数", _WIDENS, _NARROWS),
    (
        "retention.intermediates_days",
        "the days for which intermediate results are kept",
        "中间结果的保存天数",
        _WIDENS,
        _NARROWS,
    ),
    ("retention.model_days", "the days for which models are kept", "模型的保存天数", _WIDENS, _NARROWS),
    (
        "consent.propagation_hours",
        "the hours in which a changed consent reaches a member",
        "同意变更到达成员的小时数",
        _LESS_PROTECTION,
        _MORE_PROTECTION,
    ),
    (
        "consent.running_round",
        "what becomes of a running round at a withdrawal",
        "撤回同意时对正在进行的一轮的处置",
        _LESS_PROTECTION,
        _MORE_PROTECTION,
    ),
    (
        "consent.acknowledge_hours",
        "the hours in which members acknowledge a withdrawal",
        "成员确认撤回的小时数",
        _LESS_PROTECTION,
        _MORE_PROTECTION,
    ),
    (
        "consent.retrain_days",
        "the days in which a model is trained anew after a withdrawal",
        "撤回后重新训练模型的天数",
        _LESS_PROTECTION,
        _MORE_PROTECTION,
    ),
    ("valid_from", "the beginning of validity", "生效时间", _NARROWS, _WIDENS),
    ("valid_until", "the end of validity", "失效时间", _WIDENS, _NARROWS),
    ("software.version", "the version of the software", "软件版本", _NEUTRAL, _NEUTRAL),
    ("software.digest", "the digest of the software", "软件摘要", _NEUTRAL, _NEUTRAL),
    (
        "robustness.rule",
        "how updates are combined that may be wrong",
        "对可能有误的更新的合并方式",
        _NEUTRAL,
        _NEUTRAL,
    ),
    (
        "contributions",
        "whether members' contributions are computed and told to all",
        "是否计算各成员的贡献并告知全体成员",
        _NEUTRAL,
        _NEUTRAL,
    ),
    ("robustness.faulty", "the members that may be faulty", "可容忍的异常成员数", _NEUTRAL, _NEUTRAL),
)

VOCABULARY: Final = frozenset(
    {
        *("scoring.output", "training.model", "training.targets.kind", "legal_basis"),
        *("members.role", "members.contract.purposes", "members.contract.at_end", "border.mechanism"),
        *("columns.kind", "columns.classification", "columns.special", "columns.transform"),
        *("columns.disclosure", "columns.disclosure.form", "privacy.unit", "privacy.adjacency"),
        "aggregation.mode",
        *("assessment.purposes", "assessment.classifications", "consent.running_round"),
        "robustness.rule",
    }
)
"""Fields whose values are words of the schema, and not names or texts that somebody chose."""

_ORDERS: Final[Mapping[str, tuple[object, ...]]] = {
    "columns.disclosure.form": ("none", "model"),
    "scoring.output": ("band", "score"),
    "consent.running_round": ("abort", "finish"),
    "aggregation.mode": ("individual", "secure"),
}

_LOOKS: Final[Mapping[str, Look]] = {
    "purpose": _purpose("P04"),
    "scoring.purpose": _purpose("P26"),
    "members": _member,
    "members.jurisdiction": _place,
    "members.storage_country": _place,
    "coordinator.jurisdiction": _place,
    "border.other_places": _place,
    "members.role": _role,
    "members.notices": _notice,
    "columns": _column,
    "columns.classification": _classification,
    "columns.special": _special,
    "columns.disclosure": _disclosure,
    "columns.edges": _cells,
    "border.mechanism": _mechanism,
}

TERMS: Final[Mapping[str, Term]] = MappingProxyType(
    {
        path: Term(Wording(en, zh), more, less, _ORDERS.get(path, ()), _LOOKS.get(path))
        for path, en, zh, more, less in _TABLE
    }
)
"""Every field of an agreement, by its path without positions."""
