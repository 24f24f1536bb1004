"""What the documents are generated from, and the tables that both of them show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hanse.crypto import canonical_json, sha256_hex
from hanse.policies.agreement import Agreement, Column, Member
from hanse.policies.agreement.columns import EVERY_MEMBER
from hanse.policies.agreement.words import listed, same, value, word
from hanse.policies.compliance.dossier import Table, table
from hanse.policies.fields import format_time
from hanse.policies.packs import Policy
from hanse.policies.rules import RULES, Wording

BY_PEOPLE: Final = frozenset({"P11", "P14", "P16", "P22", "P29", "P30"})
"""Rules whose subject is outside this version: nothing of it happens by itself, so people see to it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the documents are generated from; nothing else is in them.

    Attributes:
        agreement: The agreement.
        policy: The merged rule packs that it names.
        answers: What people wrote, by question.
    """

    agreement: Agreement
    policy: Policy
    answers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def digest(self) -> str:
        """SHA-256 of the agreement without its ``assessment``, so that approving changes nothing here."""
        document = self.agreement.model_dump(mode="json", exclude={"assessment"})
        return sha256_hex(canonical_json(document))


def head(*pairs: tuple[str, str]) -> tuple[Wording, ...]:
    """The headings of a table."""
    return tuple(Wording(en, zh) for en, zh in pairs)


def facts(key: str, en: str, zh: str, rows: Mapping[str, tuple[str, str, Wording]]) -> Table:
    """A table of one value per line: what it is called in both languages, then the value."""
    lines = {name: (Wording(said, said_zh), given) for name, (said, said_zh, given) in rows.items()}
    return table(key, Wording(en, zh), head(("what", "项目"), ("as agreed", "约定")), lines)


def places(agreement: Agreement) -> Wording:
    """Every place of the agreement, in order."""
    return listed(map(same, sorted(agreement.jurisdictions)))


def members_table(agreement: Agreement) -> Table:
    """Who takes part, in which role, where."""
    rows = {
        member.name: (
            same(member.organisation),
            word(member.role),
            same(member.jurisdiction),
            same(member.storage_country),
            same(member.approver),
        )
        for member in agreement.members
    }
    names = head(
        ("organisation", "组织"),
        ("role", "角色"),
        ("law", "适用法域"),
        ("data kept in", "数据存储地"),
        ("approves for it", "批准人"),
    )
    return table("members", Wording("Members", "成员"), names, rows)


def columns_table(agreement: Agreement) -> Table:
    """What is used of a person, of which class, why, and to whom it goes in which form."""
    rows = {
        column.name: (
            same(column.name),
            _class(column),
            _cells(column),
            value(column.required),
            same(column.necessity) if column.necessity else word("none"),
            _recipients(agreement, column),
        )
        for column in agreement.columns
    }
    names = head(
        ("column", "字段"),
        ("class", "分类"),
        ("values become", "取值处理"),
        ("required", "必需"),
        ("why it is needed", "必要性说明"),
        ("goes to", "披露对象"),
    )
    return table(
        "columns",
        Wording("Columns that may be used; no other is read", "可使用的字段，其余不读取"),
        names,
        rows,
    )


def _class(column: Column) -> Wording:
    kind = word(column.classification)
    if column.special is None:
        return kind
    special = word(column.special)
    return Wording(f"{kind.en}: {special.en}", f"{kind.zh}：{special.zh}")


def _cells(column: Column) -> Wording:
    if column.transform != "one_hot":
        made, bins = word(column.transform), f" ({column.bins})" if column.bins else ""
        return Wording(f"{made.en}{bins}", f"{made.zh}{bins}")
    if column.kind == "numeric":
        count = len(column.edges) + 1
        return Wording(f"{count} public bins", f"{count}个公开区间")
    return Wording(f"{len(column.categories)} public categories", f"{len(column.categories)}个公开类别")


def _recipients(agreement: Agreement, column: Column) -> Wording:
    forms = {member.name: column.form_for(member.name) for member in agreement.members}
    given = [name for name, form in forms.items() if form != "none"]
    if not given:
        return Wording("nobody", "无")
    whom = word(EVERY_MEMBER) if len(given) == len(forms) else listed(map(same, given))
    return Wording(f"{whom.en}, as part of a model", f"{whom.zh}，仅作为模型的一部分")


def retention_table(agreement: Agreement) -> Table:
    """For how long things are kept."""
    kept = agreement.retention
    rows = {
        "rows": ("consent-bound rows", "以同意为依据的原始记录", _days(kept.rows_days)),
        "intermediates": ("what is made on the way", "中间结果", _days(kept.intermediates_days)),
        "model": ("models", "模型", _days(kept.model_days)),
        "validity": (
            "validity of the agreement",
            "协议有效期",
            same(f"{format_time(agreement.valid_from)} – {format_time(agreement.valid_until)}"),  # noqa: RUF001 - a range
        ),
    }
    return facts("retention", "For how long", "保存期限", rows)


def _days(count: int) -> Wording:
    return Wording(f"{count} days", f"{count}天")


def contract_text(member: Member) -> Wording:
    """What an entrusted member is entrusted with, in a sentence."""
    contract = member.contract
    if contract is None:
        return Wording("no contract is recorded", "未记录合同")
    purposes = listed(map(word, contract.purposes))
    others = Wording("may", "可以") if contract.sub_processors else Wording("may not", "不得")
    end, until = word(contract.at_end), format_time(contract.until)
    return Wording(
        f"contract {contract.reference}: {purposes.en}; until {until}; {others.en} entrust others; "
        f"at the end: {end.en}",
        f"合同{contract.reference}：{purposes.zh}；期限至{until}；{others.zh}转委托；终止时{end.zh}",
    )


def rules_table(policy: Policy) -> Table:
    """The rules that apply, where they come from, and whether the software or people carry them out."""
    software, people = Wording("software", "软件"), Wording("the members", "各成员")
    rows = {
        rule_id: (
            same(rule_id),
            RULES[rule_id].message,
            listed(map(same, selected.articles)),
            listed(map(same, selected.sources)),
            people if rule_id in BY_PEOPLE else software,
        )
        for rule_id, selected in sorted(policy.rules.items())
    }
    names = head(
        ("rule", "规则"),
        ("refuses because", "拒绝理由"),
        ("articles", "条款"),
        ("selected by", "来源"),
        ("carried out by", "执行者"),
    )
    return table("rules", Wording("Rules that apply", "适用的规则"), names, rows)


def thresholds_table(policy: Policy) -> Table:
    """The strictest value of every threshold, and who asks for it."""
    ours = Wording("a default of ours, not of the law", "本软件的默认值，并非法律规定")
    law = Wording("named by a rule pack", "规则包规定")
    rows = {
        name: (
            THRESHOLDS.get(name, same(name)),
            _threshold(restriction.value),
            listed(map(same, restriction.sources)),
            ours if restriction.ours else law,
        )
        for name, restriction in sorted(policy.thresholds.items())
    }
    names = head(("threshold", "阈值"), ("value", "取值"), ("from", "来源"), ("whose it is", "性质"))
    return table("thresholds", Wording("Thresholds after merging", "合并后的阈值"), names, rows)


def _threshold(given: object) -> Wording:
    if isinstance(given, frozenset):
        return listed(word(str(name)) for name in sorted(map(str, given)))
    return value(given)


THRESHOLDS: Final = MappingProxyType(
    {
        key: Wording(en, zh)
        for key, en, zh in (
            (
                "child_below_years",
                "age below which a guardian must act, years",
                "须由监护人同意的年龄上限（岁）",
            ),
            ("minimum_cohort_subjects", "smallest cohort, people", "群体最少人数"),
            ("suppress_below", "smallest count that may leave a member", "可离开成员的最小计数"),
            ("minimum_members", "fewest members in an aggregate", "聚合的最少成员数"),
            ("maximum_epsilon", "largest epsilon of a privacy budget", "隐私预算epsilon的上限"),
            ("maximum_assessment_age_days", "oldest impact assessment, days", "影响评估的最长有效天数"),
            (
                "maximum_snapshot_age_s",
                "oldest copy of the consent ledger, seconds",
                "同意台账副本的最长秒数",
            ),
            (
                "maximum_propagation_age_hours",
                "longest silence of a source of consent, hours",
                "同意来源的最长静默小时数",
            ),
            ("maximum_grant_age_days", "oldest grant, days", "同意的最长天数"),
            (
                "acknowledgement_hours",
                "longest time to acknowledge a withdrawal, hours",
                "确认撤回的最长小时数",
            ),
            (
                "retraining_days",
                "longest time to train anew after a withdrawal, days",
                "撤回后重新训练的最长天数",
            ),
            (
                "retraining_withdrawn_share",
                "share of withdrawals that makes retraining due at once",
                "须立即重新训练的撤回比例",
            ),
            ("alignments_per_day", "alignments of two members a day", "两成员每日对齐次数"),
            (
                "alignment_window_days",
                "days for which similar sets are not aligned again",
                "相似集合不得再次对齐的天数",
            ),
            (
                "minimum_set_change",
                "people by which sets must differ within that time",
                "期间集合须相差的人数",
            ),
            (
                "scores_per_caller_per_day",
                "people that a caller may ask about in a day",
                "调用方每日可查询的人数",
            ),
            ("score_decimals", "most decimals of a score", "评分的最多小数位数"),
            (
                "unused_column_runs",
                "trainings without contribution after which a column is to go",
                "字段无贡献即应删除的训练次数",
            ),
            (
                "access_log_days",
                "shortest time for which access logs are kept, days",
                "访问日志的最短保存天数",
            ),
            (
                "records_days",
                "shortest time for which records and assessments are kept, days",
                "记录与评估的最短保存天数",
            ),
            ("maximum_model_days", "longest time for which a model is kept, days", "模型的最长保存天数"),
            ("active_methods", "methods that show that a person acted", "可证明个人主动作出的方式"),
            ("legal_bases", "legal bases that count", "可适用的合法性基础"),
            ("prohibited_uses", "uses of scores that are never allowed", "评分禁止的用途"),
        )
    }
)
"""What each threshold of a rule pack is called."""
