"""What a draft of an agreement needs to know, as questions in both languages."""

from collections.abc import Iterator
from typing import Final

from hanse.client.asking import Question, Site, ask, one_of, said, some_of
from hanse.client.drafting import DEFAULT_FORM, form_of, majority
from hanse.client.questions_vertical import training_questions as vertical_questions
from hanse.client.replies import NONE, YES, Answers, count, day, names, number, yes
from hanse.policies import Column, Identity, Robustness
from hanse.policies.agreement.columns import EVERY_MEMBER
from hanse.policies.agreement.document import FEWEST_IN_SUM
from hanse.policies.agreement.words import WORDS
from hanse.scoring.extraction import ABOUT_FORMS, ABOUT_NAMES


def questions(site: Site, answers: Answers) -> Iterator[Question]:
    """All questions in order; later ones depend on earlier answers."""
    yield from _frame()
    for member in site.members:
        yield from _member(member, answers)
    yield from _columns(site)
    yield from _target(site)
    if yes(answers.get("vertical", "no")):
        yield from vertical_questions(site, answers)
    else:
        yield from _training(site, answers)
    yield _quorum(site)
    yield from _scoring(answers)
    yield from _assessment(site, answers)
    yield from _times(answers)


def _frame() -> Iterator[Question]:
    yield ask(
        "id",
        "Short name of the agreement?",
        "协议的简称？",
        (
            "Models are named after it. Lower-case letters, digits, hyphens.",
            "模型以此命名。小写字母、数字、连字符。",
        ),
        "propensity",
        said,
    )
    yield ask(
        "title",
        "What is it for, in one line?",
        "用一句话说明用途？",
        ("Everybody who signs reads this first.", "签署人首先看到的内容。"),
        "Shared propensity model",
        said,
    )
    yield ask(
        "pack",
        "Which rule packs apply?",
        "适用哪些规则包？",
        (
            "pipl (China), gdpr (EU), ccpa (California); the most restrictive wins.",
            "pipl、gdpr、ccpa；从严适用。",
        ),
        "pipl, gdpr",
        said,
    )
    yield ask(
        "proposer",
        "Who proposes?",
        "由谁提案？",
        ("A person; neither the auditor nor an approver.", "自然人；不得兼任审计人或批准人。"),
        "data scientist",
        said,
    )
    yield ask(
        "auditor",
        "Who audits?",
        "由谁审计？",
        ("A person; neither the proposer nor an approver.", "自然人；不得兼任提案人或批准人。"),
        "internal audit",
        said,
    )
    yield ask(
        "minors",
        "May children be among the people?",
        "个人中可能有儿童吗？",
        ("If yes, whoever's age is unknown is left out.", "如有，年龄不明者将被排除。"),
        "no",
        yes,
    )


def _member(member: Identity, answers: Answers) -> Iterator[Question]:
    name, who = member.name, member.organisation
    yield ask(
        f"role.{name}",
        f"Role of {who}?",
        f"{who}的角色？",
        (
            "joint: decides with the others; provider: gives them data, strictest; entrusted: works for all.",
            "joint：共同处理者；provider：向他方提供，最严格；entrusted：依合同受托处理。",
        ),
        "joint",
        one_of("joint", "provider", "entrusted"),
    )
    yield ask(
        f"approver.{name}",
        f"Who approves for {who}?",
        f"谁代表{who}批准？",
        (
            "Its data protection officer; signs with the approver's key.",
            "其个人信息保护负责人；以批准人密钥签署。",
        ),
        f"data protection officer of {who}",
        said,
    )
    yield ask(
        f"storage_country.{name}",
        f"In which country does {who} keep the data?",
        f"{who}的数据存储在哪个国家？",
        ("Two letters, as DE or CN; from its identity.", "两个字母，如DE或CN；默认取自其身份文件。"),
        member.storage_country,
        said,
    )
    if answers.get(f"role.{name}") == "entrusted":
        yield from _contract(name, who)


def _contract(name: str, who: str) -> Iterator[Question]:
    yield ask(
        f"contract_reference.{name}",
        f"Where is the contract with {who} filed?",
        f"与{who}的委托合同编号？",
        (
            "PIPL 21, GDPR 28; its purposes are those of the agreement.",
            "个人信息保护法第二十一条、GDPR第28条。",
        ),
        None,
        said,
    )
    yield ask(
        f"contract_until.{name}",
        "Until when does it run?",
        "合同期限至何日？",
        ("A day, as 2027-01-31.", "日期，如2027-01-31。"),
        None,
        day,
    )
    yield ask(
        f"contract_at_end.{name}",
        "What becomes of the data then?",
        "期满后如何处置数据？",
        (
            "delete or return; to be attested with hanse agreement attest.",
            "delete或return；须以hanse agreement attest作证明。",
        ),
        "delete",
        one_of("delete", "return"),
    )
    yield ask(
        f"sub_processors.{name}",
        f"May {who} entrust others?",
        f"{who}可否转委托？",
        ("yes or no.", "是或否。"),
        "no",
        yes,
    )


def _columns(site: Site) -> Iterator[Question]:
    known = [column.name for column in site.columns]
    yield ask(
        "optional_column",
        "Which columns may a person hide and still take part?",
        "哪些字段被隐藏后个人仍可参与？",
        ("Names with commas, or none: then every column is required.", "以逗号分隔，或none：即均为必需。"),
        ", ".join(column.name for column in site.columns if not column.required) or "none",
        some_of(known, "columns"),
    )
    members = [EVERY_MEMBER, *(member.name for member in site.members)]
    yield ask(
        "disclose_to",
        "To whom may columns go, as part of a model?",
        "字段可作为模型的一部分披露给谁？",
        (
            "members (every one), or names with commas. A column's own line in the dictionary goes first.",
            "members（全体成员），或以逗号分隔的成员名。数据字典中单独载明的优先。",
        ),
        EVERY_MEMBER,
        some_of(members, "members"),
    )
    for column in site.columns:
        if column.classification == "sensitive":
            yield from _sensitive(column)


def _sensitive(column: Column) -> Iterator[Question]:
    kinds = tuple(_SPECIALS)
    yield ask(
        f"special.{column.name}",
        f"Why is column '{column.name}' sensitive?",
        f"字段“{column.name}”属于哪类敏感信息？",
        (
            f"One of {', '.join(kinds)}.",
            f"以下之一：{'、'.join(WORDS[kind].zh for kind in kinds)}（填写英文代码）。",
        ),
        column.special,
        one_of(*kinds),
    )
    yield ask(
        f"necessity.{column.name}",
        f"Why does the purpose need '{column.name}'?",
        f"为何必须使用“{column.name}”？",
        ("Without a reason the rules refuse it (P07).", "无理由则规则予以拒绝（P07）。"),
        column.necessity,
        said,
    )


_SPECIALS: Final = (
    *(
        "biometrics",
        "religion",
        "specific_identity",
        "medical",
        "financial_account",
        "whereabouts",
        "genetic",
    ),
    *("ethnicity", "political_opinion", "union_membership", "sex_life", "minor", "public_place"),
)


def _target(site: Site) -> Iterator[Question]:
    yield ask(
        "label",
        "Which column is predicted?",
        "预测哪个字段？",
        ("It is not among the columns of the dictionary.", "该字段不在数据字典之中。"),
        None,
        said,
    )
    yield ask(
        "positive",
        "Which of its values counts as yes?",
        "其哪个取值为正例？",
        ("As it is written in the data.", "与数据中的写法一致。"),
        None,
        said,
    )
    if len(site.members) > 1:
        yield ask(
            "vertical",
            "Do the members have different columns of the same people?",
            "各成员是否持有同一批个人的不同字段？",
            (
                "yes: they find whom they have in common, and learn over everybody's columns.",
                "yes：先查找共同个人，再基于各方字段联合训练。",
            ),
            "no",
            yes,
        )


def _training(site: Site, answers: Answers) -> Iterator[Question]:
    yield ask(
        "model",
        "Which model?",
        "使用哪种模型？",
        (
            "logistic: explains itself; mlp: small network; trees: boosted, from three members, no budget.",
            "logistic：可解释；mlp：小型神经网络；trees：提升树，至少三个成员，不设隐私预算。",
        ),
        "logistic",
        one_of("logistic", "mlp", "trees"),
    )
    yield ask(
        "rows",
        "About how many rows has each member?",
        "每个成员大约有多少条记录？",
        ("The training recipe depends on it.", "训练方案据此确定。"),
        "5000",
        count,
    )
    yield ask(
        "epsilon",
        "Privacy budget epsilon, per record, over all runs?",
        "隐私预算epsilon（单条记录，全部训练合计）？",
        (
            "Less protects more; 3 is usual. none: updates leave the members without noise.",
            "越小保护越强，常用3。none：更新不加噪声。",
        ),
        "none",
        number,
    )
    if answers.get("epsilon", "none").casefold() not in NONE:
        yield ask(
            "delta",
            "Its delta?",
            "delta为多少？",
            ("Well below one over the number of rows.", "应远小于记录数的倒数。"),
            "1e-5",
            number,
        )
    if len(site.members) >= FEWEST_IN_SUM:
        yield ask(
            "aggregation",
            "How do the members' figures come together?",
            "成员数据如何汇总？",
            (
                "secure: the coordinator learns sums, noise is shared; individual: each one's, full noise.",
                "secure：协调方仅得知总和，噪声分担；individual：各自发送，各加全部噪声。",
            ),
            "secure",
            one_of("secure", "individual"),
        )
    if answers.get("aggregation") == "individual":
        yield from _seen_updates()
    yield ask(
        "minimum_rows",
        "How many people does a member need to take part?",
        "成员参与至少需要多少人？",
        (
            "A default of ours, not of the law; rule P15 refuses too few.",
            "本软件默认值，并非法律规定；P15拒绝过少者。",
        ),
        "1000",
        count,
    )
    yield ask(
        "minimum_members",
        "How many members does every aggregate need?",
        "每次聚合至少需要多少成员？",
        (
            "At least 2; with 2, each can compute the other's update.",
            "至少2；为2时任一方可推算另一方的更新。",
        ),
        "2",
        count,
    )


def _seen_updates() -> Iterator[Question]:
    """What can be agreed where each member's update is seen."""
    yield ask(
        "robustness",
        "How are updates that would spoil the model kept out?",
        "如何排除会破坏模型的更新？",
        (
            "screened-mean names and leaves out; median; trimmed-mean:2, multi-krum:2 stand two; mean: all.",
            "screened-mean排除并点名；median；trimmed-mean:2或multi-krum:2可容忍两方；mean：全部采用。",
        ),
        "screened-mean",
        robustness_of,
    )
    yield ask(
        "contributions",
        "Is it computed what each member adds to a model?",
        "是否计算各成员对模型的贡献？",
        (
            "It stands in the signed manifest; hanse settle divides by it.",
            "写入签名清单；hanse settle据此分配。",
        ),
        "no",
        yes,
    )


def robustness_of(answer: str) -> Robustness:
    """A rule, with the number of faulty members that it stands behind a colon.

    Raises:
        ValueError: It is none.
    """
    rule, _, faulty = answer.partition(":")
    try:
        return Robustness.model_validate({"rule": rule, "faulty": int(faulty or 0)})
    except ValueError as error:
        rules = "screened-mean, mean, median, trimmed-mean:2 or multi-krum:2"
        raise ValueError(f"write {rules}") from error


def _quorum(site: Site) -> Question:
    witnesses = len(site.members) + len(site.auditors)
    return ask(
        "quorum",
        f"How many of the {witnesses} witnesses must co-sign the coordinator's log?",
        f"{witnesses}个见证方中须有多少个联署协调方的日志？",
        (
            "Members and auditors; more than half, so that no two histories can both be co-signed.",
            "成员与审计方；须过半数，以免两份不同的历史都得到联署。",
        ),
        str(majority(witnesses)),
        count,
    )


def _scoring(answers: Answers) -> Iterator[Question]:
    yield ask(
        "caller",
        "Which systems may ask for scores?",
        "哪些系统可请求评分？",
        ("Names with commas, or none.", "以逗号分隔，或none。"),
        "none",
        names,
    )
    for name in names(answers.get("caller", "none")):
        yield ask(
            f"quota.{name}",
            f"About how many people may {name} ask in a day?",
            f"{name}每日可查询多少人？",
            ("A default of ours, not of the law.", "本软件默认值，并非法律规定。"),
            "100000",
            count,
        )
        yield ask(
            f"opt_out.{name}",
            f"Can people whom {name} contacts say no?",
            f"被{name}联系的个人能否拒绝？",
            (
                "PIPL 24 and GDPR 21 ask for it; whoever signs states it.",
                "个人信息保护法第二十四条、GDPR第21条要求；由签署人声明。",
            ),
            "yes",
            yes,
        )
        yield ask(
            f"plain_path.{name}",
            f"Does {name} serve people without a score as well?",
            f"{name}是否也提供不针对个人特征的选项？",
            ("PIPL 24 asks for it; whoever signs states it.", "个人信息保护法第二十四条要求；由签署人声明。"),
            "yes",
            yes,
        )
    yield from _form()
    yield ask(
        "significant_effect",
        "Do decisions based on scores affect people significantly?",
        "基于评分的决定对个人权益有重大影响吗？",
        ("Marketing usually does not; a refusal of service does.", "营销一般没有；拒绝服务则有。"),
        "no",
        yes,
    )
    effect = answers.get("significant_effect", "no").casefold() in YES
    for key, en, zh in (
        ("human_review", "Can a person review a decision?", "决定能否由人工复核？"),
        ("reason_codes", "Can a decision be explained by reason codes?", "决定能否以原因代码说明？"),
    ):
        about = "Rule P25 asks for it where the effect is significant.", "有重大影响时P25要求。"
        yield ask(key, en, zh, about, "yes" if effect else "no", yes)


def _form() -> Iterator[Question]:
    """In which form scores leave, and what it lets a caller do."""
    yield ask(
        "output",
        "In which form do scores leave?",
        "评分以何种形式提供？",
        (ABOUT_FORMS.en, ABOUT_FORMS.zh),
        str(DEFAULT_FORM["output"]),
        lambda answer: form_of(answer, by_id=False),
    )
    yield ask(
        "by_id",
        "Do callers name people alone, whose columns this site looks up?",
        "调用方是否仅提供个人标识、由本站查询字段？",
        (ABOUT_NAMES.en, ABOUT_NAMES.zh),
        "yes" if DEFAULT_FORM["by_id"] else "no",
        yes,
    )


def _assessment(site: Site, answers: Answers) -> Iterator[Question]:
    yield ask(
        "assessment",
        "Where is the impact assessment filed?",
        "影响评估的编号？",
        ("hanse agreement assess writes its text.", "可用hanse agreement assess生成文本。"),
        "impact assessment",
        said,
    )
    yield ask(
        "assessor",
        "Who approved it?",
        "由谁批准？",
        ("A person of the data protection office.", "个人信息保护部门的人员。"),
        "data protection office",
        said,
    )
    yield ask(
        "other_place",
        "In which other countries are logs mirrored or models served?",
        "日志镜像或模型服务还在哪些国家？",
        ("Two letters each, with commas, or none.", "两个字母，以逗号分隔，或none。"),
        "none",
        names,
    )
    kept = (text for key, text in answers.items() if key.startswith("storage_country."))
    if len(site.places.union(kept, names(answers.get("other_place", "none")))) > 1:
        yield ask(
            "border",
            "By which mechanism does data cross the border?",
            "以何种机制跨境？",
            (
                "PIPL 38, GDPR 46. With none, rule P21 refuses.",
                "个人信息保护法第三十八条、GDPR第46条。无机制则P21拒绝。",
            ),
            None,
            one_of("security_assessment", "certification", "standard_contract", "none"),
        )
        yield ask(
            "border_reference",
            "Where is it filed?",
            "其编号？",
            ("Number or place of the filing.", "备案编号或存放处。"),
            None,
            said,
        )


def _times(answers: Answers) -> Iterator[Question]:
    yield ask(
        "valid_days",
        "For how many days is the agreement valid?",
        "协议有效多少天？",
        ("From now on.", "自现在起。"),
        "90",
        count,
    )
    days = int(answers["valid_days"])
    for key, en, zh, default in (
        ("rows_days", "rows", "原始记录", 2 * days),
        ("intermediates_days", "intermediate results", "中间结果", days),
        ("model_days", "models", "模型", 2 * days),
    ):
        about = "After them it is to be deleted.", "期满后应予删除。"
        yield ask(key, f"For how many days are {en} kept?", f"{zh}保存多少天？", about, str(default), count)
