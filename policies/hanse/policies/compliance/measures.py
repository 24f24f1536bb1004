"""Part three: whether the measures are lawful, effective and fit the risk (PIPL 56(3), GDPR 35(7)(d))."""

from collections.abc import Iterator
from typing import Final

from hanse.policies.agreement import Agreement
from hanse.policies.agreement.words import listed, same
from hanse.policies.compliance.configuration import BY_PEOPLE, Configuration, head
from hanse.policies.compliance.dossier import Item, Section, Table, question, statement, table
from hanse.policies.packs import Policy
from hanse.policies.rules import Wording

_Measure = tuple[Wording, Wording, Wording]


def measures(configuration: Configuration) -> Section:
    """The third part."""
    title = Wording(
        "Part 3. Are the measures lawful, effective and fit for the risk? (PIPL 56(3), GDPR 35(7)(d))",
        "第三部分 所采取的保护措施是否合法、有效并与风险程度相适应（个人信息保护法第五十六条第三项，"
        "GDPR第35条第7款d项）",
    )
    return Section(key="measures", title=title, items=tuple(_items(configuration)))


def _items(configuration: Configuration) -> Iterator[Item]:
    agreement, answers = configuration.agreement, configuration.answers
    yield measures_table(agreement)
    yield _deadlines(agreement)
    yield from _by_people(configuration.policy)
    yield question(
        "measures.organisational",
        "Which organisational measures are there at each member: training, access control, responsibilities, "
        "incident response?",
        "各成员有哪些组织措施：培训、权限管理、职责、事件应急？",
        answers,
    )
    yield question(
        "measures.technical",
        "Which technical measures are there outside this software: encryption at rest, network, backups, "
        "where the "
        "approver's key is kept?",
        "软件之外有哪些技术措施：静态加密、网络、备份、批准人密钥的保管？",
        answers,
    )
    yield question(
        "measures.deletion",
        "Who deletes rows, intermediate results and models when their time is over, and how is that shown?",
        "期满后由谁删除原始记录、中间结果和模型，如何证明？",
        answers,
    )
    yield question(
        "measures.rights",
        "How are requests for access, correction, deletion and explanation answered, by whom and how fast?",
        "对查阅、更正、删除、解释说明的请求由谁、如何、多快答复？",
        answers,
    )
    yield question(
        "measures.fit",
        "Are the measures lawful, effective and fit for the risk? What risk remains, and who accepts it?",
        "保护措施是否合法、有效并与风险程度相适应？剩余风险是什么，由谁接受？",
        answers,
    )


def measures_table(agreement: Agreement) -> Table:
    """What the software does by itself, against which risk, and where that ends."""
    names = head(("measure", "措施"), ("what it does here", "在此的作用"), ("where it ends", "局限"))
    rows = dict(_measures(agreement))
    return table("measures", Wording("What the software carries out", "由软件执行的措施"), names, rows)


def _measures(agreement: Agreement) -> Iterator[tuple[str, _Measure]]:
    yield "local", _LOCAL
    yield "consent", _CONSENT
    yield "columns", _columns(agreement)
    yield "noise", _noise(agreement)
    yield "cohort", _cohort(agreement)
    yield "agreement", _AGREEMENT
    yield "log", _log(agreement)
    yield "channels", _CHANNELS
    yield "scoring", _scoring(agreement)


_LOCAL: Final[_Measure] = (
    Wording("rows stay where they are (P13)", "原始记录不出域（P13）"),
    Wording(
        "No row, label, identifier or pseudonym is in a message, a log entry, a metric or an error.",
        "消息、日志、指标和错误中均不含原始记录、标签、标识符或假名。",
    ),
    Wording("assumes that the member's own machine is what it believes", "以成员自身机器可信为前提"),
)
_CONSENT: Final[_Measure] = (
    Wording("consent by person and by round (P01 to P10)", "逐人逐轮核对同意（P01至P10）"),
    Wording(
        "Before every round each member decides by its own ledger who takes part, and logs that before it "
        "reads.",
        "每轮之前，各成员依自身台账决定何人参与，并在读取之前记入日志。",
    ),
    Wording(
        "cannot tell whether a notice was understood or a consent free", "无法判断告知是否易懂、同意是否自愿"
    ),
)
_AGREEMENT: Final[_Measure] = (
    Wording("one signed agreement (P20, P31)", "经签署的唯一协议（P20、P31）"),
    Wording(
        "A node runs only what every approver has signed, with the software that it names, while it is in "
        "force.",
        "节点仅在有效期内、以协议指名的软件运行经全体批准人签署的协议。",
    ),
    Wording("an approver's key in wrong hands signs as well", "批准人密钥失窃时亦可签署"),
)
_CHANNELS: Final[_Measure] = (
    Wording("encrypted, signed channels", "加密并签名的通道"),
    Wording(
        "TLS on every channel; commands and replies are signed and cannot be replayed. Nodes run no code "
        "that is "
        "sent to them.",
        "所有通道采用TLS；指令与答复均经签名且不可重放。节点不运行他方发送的代码。",
    ),
    Wording("sizes and times of messages are visible", "消息的大小和时间可见"),
)


def _log(agreement: Agreement) -> _Measure:
    quorum, witnesses = agreement.evidence.quorum, len(agreement.witnesses)
    return (
        Wording("tamper-evident log (P28)", "防篡改日志（P28）"),
        Wording(
            "Every decision is durable in the member's log before its effect. Without a log nothing is "
            f"processed. {quorum} of {witnesses} witnesses co-sign the coordinator's log before a model "
            "counts.",
            "每项决定在生效前写入成员日志并落盘。无法记录则不处理。"
            f"{witnesses}个见证方中须有{quorum}个联署协调方的日志，模型方为有效。",
        ),
        Wording(
            "a quorum that colludes with the coordinator can co-sign a rewritten log; entries can be false",
            "达到法定数量的见证方与协调方串通时可联署被重写的日志；记录内容可能不实",
        ),
    )


def _columns(agreement: Agreement) -> _Measure:
    return (
        Wording("listed columns only (P07, P13)", "仅限所列字段（P07、P13）"),
        Wording(
            f"{len(agreement.columns)} columns are read, as public cells; a person can hide columns of their "
            "own.",
            f"仅读取{len(agreement.columns)}个字段，且归入公开区间；个人可隐藏自己的字段。",
        ),
        Wording(
            "whether a column contributes is measured after training only", "字段是否有贡献仅在训练后方可衡量"
        ),
    )


def _noise(agreement: Agreement) -> _Measure:
    name = Wording("differential privacy (P18)", "差分隐私（P18）")
    if agreement.privacy is None:
        none = Wording("not used: the agreement has no privacy budget", "未采用：协议未设隐私预算")
        return name, none, Wording("updates reveal records, see Part 2", "更新会透露记录，见第二部分")
    budget = agreement.privacy
    return (
        name,
        Wording(
            f"What leaves a member tells of one record at most what epsilon {budget.epsilon:g} and delta "
            f"{budget.delta:g} allow, over all runs for the purpose. A run that does not fit is refused.",
            f"离开成员的内容对单条记录的透露，在该目的的全部训练中不超过epsilon {budget.epsilon:g}、"
            f"delta {budget.delta:g}。超出预算的训练被拒绝。",
        ),
        Wording("per record; row counts and scores are outside it", "以单条记录计；记录数与评分不在其内"),
    )


def _cohort(agreement: Agreement) -> _Measure:
    cohort = agreement.cohort
    return (
        Wording("no small groups (P15, P17)", "不处理小群体（P15、P17）"),
        Wording(
            f"A member takes part with at least {cohort.minimum_rows} people; an aggregate has at least "
            f"{cohort.minimum_members} members; counts below {cohort.suppress_below} by rule are not sent.",
            f"成员至少有{cohort.minimum_rows}人方可参与；每次聚合至少{cohort.minimum_members}个成员；"
            f"按规则低于{cohort.suppress_below}的计数不予发送。",
        ),
        Wording("total row counts are exact", "记录总数为精确值"),
    )


def _scoring(agreement: Agreement) -> _Measure:
    callers = listed(same(caller.name) for caller in agreement.scoring.callers)
    return (
        Wording("locked scoring (P23, P26)", "受限的评分（P23、P26）"),
        Wording(
            f"Only these callers, known by their certificates, are answered: {callers.en}; for "
            f"'{agreement.scoring.purpose}' only, and only about people whose consent for it stands at the "
            "call.",
            f"仅答复以证书识别的调用方：{callers.zh}；仅限“{agreement.scoring.purpose}”，"
            "且仅限调用时同意有效的个人。",
        ),
        Wording("what a caller does with a score is not seen", "无法得知调用方如何使用评分"),
    )


def _deadlines(agreement: Agreement) -> Item:
    consent, kept = agreement.consent, agreement.retention
    return statement(
        "deadlines",
        "The agreement obliges the members to more than the software does by itself in this version: to "
        "acknowledge "
        f"a withdrawal within {consent.acknowledge_hours} hours, to train a model that contains a withdrawn "
        f"subject anew within {consent.retrain_days} days, and to delete rows after {kept.rows_days}, "
        f"intermediate results after {kept.intermediates_days} and models after {kept.model_days} days.",
        "协议要求成员履行本版本软件不能自行完成的义务："
        f"在{consent.acknowledge_hours}小时内确认撤回，"
        f"在{consent.retrain_days}天内重新训练含有已撤回个人的模型，"
        f"并在{kept.rows_days}天后删除原始记录、{kept.intermediates_days}天后删除中间结果、"
        f"{kept.model_days}天后删除模型。",
    )


def _by_people(policy: Policy) -> Iterator[Item]:
    rules = sorted(BY_PEOPLE & set(policy.rules))
    if rules:
        yield statement(
            "people",
            f"Of the rules that apply, the members see to these themselves: {', '.join(rules)}.",
            f"适用规则中由成员自行执行的有：{'、'.join(rules)}。",
        )
