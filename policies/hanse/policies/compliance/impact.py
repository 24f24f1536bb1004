"""Part two: the impact on people's rights and interests, and the risks (PIPL 56(2), GDPR 35(7)(c))."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hanse.policies.agreement import Agreement
from hanse.policies.compliance.configuration import Configuration, head
from hanse.policies.compliance.dossier import Item, Section, Table, question, statement, table
from hanse.policies.rules import Wording

_FEW_MEMBERS: Final = 2


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk that follows from a configuration.

    Attributes:
        key: Its name.
        name: What may happen.
        text: Why, under this configuration.
        there: Whether the configuration has it.
    """

    key: str
    name: Wording
    text: Wording
    there: Callable[[Agreement], bool] = lambda _: True


def _several_places(agreement: Agreement) -> bool:
    return len(agreement.jurisdictions) > 1


RISKS: Final[tuple[Risk, ...]] = (
    Risk(
        "update.clear",
        Wording("the coordinator computes records from updates", "协调方由更新还原记录"),
        Wording(
            "There is no privacy budget and no secure sum, which of two members would hide neither: the "
            "coordinator sees each one's update in clear. Label counts follow from it exactly, and with "
            "little data single records can be computed.",
            "未设隐私预算，亦无安全求和（仅有两名成员时，安全求和无法隐藏任何一方）："
            "协调方可见各成员未加噪的更新，可由此精确得出标签计数；数据较少时可还原单条记录。",
        ),
        lambda agreement: agreement.privacy is None and not agreement.secure_sums,
    ),
    Risk(
        "update.sum",
        Wording("the coordinator learns of records from sums of updates", "协调方由更新之和推知记录"),
        Wording(
            "Updates leave members in secure sums alone, and there is no privacy budget: what the mean of "
            "all updates tells of a record is not bounded. About a third of the members together with the "
            "coordinator cannot see more than sums; many more can.",
            "更新仅以安全求和的形式离开成员，但未设隐私预算：全体成员的平均更新对单条记录的透露没有上限。"
            "约三分之一的成员与协调方串通也只能看到总和；更多成员串通则不然。",
        ),
        lambda agreement: agreement.privacy is None and agreement.secure_sums,
    ),
    Risk(
        "update.shared",
        Wording("noise in a sum is less than was promised", "求和结果中的噪声少于承诺"),
        Wording(
            "Updates leave members in secure sums alone, and members share the noise of each sum. What it "
            "tells of a record is bounded by epsilon and delta if no more than a quarter of the members, and "
            "at least one, work with a reader of the sums or drop out; who reads models as a member is one "
            "of them. If more do, noise is missing.",
            "更新仅以安全求和的形式离开成员，每次求和的噪声由各成员分担。"
            "与求和结果的读取者串通或退出的成员不超过四分之一（至少一名，含以成员身份读取模型者）时，"
            "其透露的单条记录信息以epsilon和delta为限；超过则噪声不足。",
        ),
        lambda agreement: agreement.privacy is not None and agreement.secure_sums,
    ),
    Risk(
        "update.noised",
        Wording("the coordinator learns of records from updates", "协调方由更新推知记录"),
        Wording(
            "No secure sum is used: the coordinator sees each member's update on its own. Noise is in it "
            "already, so that what it tells of a record is bounded by epsilon and delta, and is not nothing.",
            "不采用安全求和：协调方可单独看到各成员的更新。更新已加噪，"
            "其透露的单条记录信息以epsilon和delta为限，但并非为零。",
        ),
        lambda agreement: agreement.privacy is not None and not agreement.secure_sums,
    ),
    Risk(
        "counts",
        Wording("exact row counts tell who came or went", "精确的记录数透露个人的加入或退出"),
        Wording(
            "Numbers of rows are sent exactly in every round. Comparing rounds shows how many people came or "
            "withdrew. This is outside the privacy budget.",
            "每轮均发送精确的记录数，比较各轮可知有多少人加入或撤回。此项不在隐私预算之内。",
        ),
    ),
    Risk(
        "membership",
        Wording("somebody tells from the model who was in the data", "由模型推断某人是否在数据中"),
        Wording(
            "Without a privacy budget nothing bounds what a model tells of a single record.",
            "未设隐私预算时，模型对单条记录的透露没有上限。",
        ),
        lambda agreement: agreement.privacy is None,
    ),
    Risk(
        "subtraction",
        Wording("a member computes the other's update", "成员推算另一成员的更新"),
        Wording(
            "With two members in an aggregate, each can subtract its own update from the combination.",
            "聚合中仅有两个成员时，任一成员均可从聚合结果中减去自身更新。",
        ),
        lambda agreement: agreement.cohort.minimum_members <= _FEW_MEMBERS,
    ),
    Risk(
        "several.members",
        Wording("a person whom several members know pays several times", "为多个成员所知的个人累计受损"),
        Wording(
            "The budget holds for one record. For one person's records at several members the costs add up, "
            "and where members share the noise of sums, to more than the sum of them: the certificate of the "
            "model says to how much. The software does not know who is the same person.",
            "预算就单条记录成立。同一个人在多个成员处的记录，其损失累加；"
            "成员分担求和噪声时，累加后的损失大于各项之和，具体数值见模型证书。软件不知道何者为同一人。",
        ),
        lambda agreement: agreement.privacy is not None,
    ),
    Risk(
        "sensitive",
        Wording("sensitive data comes to light", "敏感个人信息泄露"),
        Wording(
            "Sensitive columns are used; what becomes known of them harms people easily.",
            "使用敏感个人信息，一旦泄露容易侵害个人尊严或危害人身、财产安全。",
        ),
        lambda agreement: "sensitive" in agreement.classifications,
    ),
    Risk(
        "minors",
        Wording("children are profiled", "对未成年人进行画像"),
        Wording(
            "Children may be among the people. Whose age is unknown is left out, and so is a child for whom "
            "no "
            "guardian consented; both rest on the ages that the members recorded.",
            "个人中可能有儿童。年龄不明者及无监护人同意的儿童被排除；两者均以成员记录的年龄为准。",
        ),
        lambda agreement: agreement.may_contain_minors,
    ),
    Risk(
        "minors.unknown",
        Wording("children are among the people unnoticed", "未察觉的未成年人"),
        Wording(
            "The agreement says that no children are among the people; ages that are unknown do not exclude "
            "anybody.",
            "协议声明个人中没有儿童；年龄不明者不因此被排除。",
        ),
        lambda agreement: not agreement.may_contain_minors,
    ),
    Risk(
        "border",
        Wording("data comes under another law", "数据受他国法律管辖"),
        Wording(
            "What leaves members is processed, kept or served in several jurisdictions.",
            "离开成员的内容在多个法域处理、存储或提供服务。",
        ),
        _several_places,
    ),
    Risk(
        "decision",
        Wording("people are decided about by a score", "以评分对个人作出决定"),
        Wording(
            "Decisions based on scores affect people significantly; a score can be wrong, and wrong more "
            "often for "
            "some groups than for others. This version does not measure outcomes by group.",
            "基于评分的决定对个人权益有重大影响；评分可能有误，且对某些群体的误差可能更大。"
            "本版本不按群体衡量结果。",
        ),
        lambda agreement: agreement.scoring.significant_effect,
    ),
    Risk(
        "targeting",
        Wording("people are contacted, or not, because of a score", "个人因评分而被联系或不被联系"),
        Wording(
            "Scores decide who is contacted with what. They can be wrong, and wrong more often for some "
            "groups than "
            "for others. This version does not measure outcomes by group.",
            "评分决定联系谁、推送什么。评分可能有误，且对某些群体的误差可能更大。本版本不按群体衡量结果。",
        ),
        lambda agreement: not agreement.scoring.significant_effect,
    ),
    Risk(
        "extraction",
        Wording("a caller copies the model, or uses scores otherwise", "调用方复制模型或挪用评分"),
        Wording(
            "Scores are not covered by the privacy budget. A caller who asks often can copy the model; one "
            "who lies "
            "about the use is not found out by the software.",
            "评分不受隐私预算保护。频繁调用可复制模型；调用方谎报用途时软件无从发现。",
        ),
        lambda agreement: bool(agreement.scoring.callers),
    ),
    Risk(
        "withdrawal",
        Wording("a model keeps what it learnt of somebody who withdrew", "模型保留已撤回者的信息"),
        Wording(
            "A withdrawal counts from the next round and the next score. A model that was trained before "
            "keeps what "
            "it learnt until it is trained anew.",
            "撤回自下一轮和下一次评分起生效。此前训练的模型在重新训练之前仍保留所学内容。",
        ),
    ),
    Risk(
        "operator",
        Wording("a member's own operator does otherwise", "成员的运维人员违规"),
        Wording(
            "Whoever runs a member's machine can read its rows, and could change software or ledgers there. "
            "The log "
            "binds the member to what it stated; nothing attests what its processor read.",
            "成员机器的运维人员可读取其记录，也可能改动软件或台账。日志约束成员所作的陈述，"
            "但不能证明处理器实际读取了什么。",
        ),
    ),
    Risk(
        "poisoning",
        Wording("a member spoils the model", "成员污染模型"),
        Wording(
            "Updates are bounded in size and signed; wrong labels or invented rows within the bound are not "
            "noticed.",
            "更新有大小上限并经签名；上限以内的错误标签或虚构记录无法发现。",
        ),
    ),
)
"""Every risk that a configuration can have; those of a document are the ones that its agreement has."""


def impact(configuration: Configuration) -> Section:
    """The second part."""
    title = Wording(
        "Part 2. Impact on people's rights and interests, and security risks (PIPL 56(2), GDPR 35(7)(c))",
        "第二部分 对个人权益的影响及安全风险（个人信息保护法第五十六条第二项，GDPR第35条第7款c项）",
    )
    return Section(key="impact", title=title, items=tuple(_items(configuration)))


def risks_of(agreement: Agreement) -> tuple[Risk, ...]:
    """The risks that an agreement has."""
    return tuple(risk for risk in RISKS if risk.there(agreement))


def _items(configuration: Configuration) -> Iterator[Item]:
    answers = configuration.answers
    yield statement(
        "about",
        "These risks follow from the configuration. How likely and how severe each one is, for these people, "
        "is for "
        "a person to say.",
        "以下风险由配置得出。各项风险对相关个人的可能性和严重程度须由人判断。",
    )
    yield _table(configuration.agreement)
    yield question(
        "impact.rights",
        "Which rights and interests of the people are affected, and how: dignity, property, fair treatment, "
        "being "
        "left alone?",
        "影响个人的哪些权益，如何影响：人格尊严、财产、公平对待、生活安宁？",
        answers,
    )
    yield question(
        "impact.severity",
        "How likely and how severe is each risk above for these people?",
        "上述各项风险对相关个人的可能性和严重程度如何？",
        answers,
    )
    yield question(
        "impact.others",
        "Which other risks are there that a configuration does not show?",
        "还有哪些配置未能反映的风险？",
        answers,
    )


def _table(agreement: Agreement) -> Table:
    rows = {risk.key: (risk.name, risk.text) for risk in risks_of(agreement)}
    names = head(("risk", "风险"), ("under this configuration", "在本配置下"))
    return table("risks", Wording("Risks", "风险"), names, rows)
