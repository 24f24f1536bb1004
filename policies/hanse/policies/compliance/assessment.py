"""The impact assessment of PIPL 55 and 56, with what GDPR 35(7) asks for, from a configuration."""

from collections.abc import Iterator
from typing import Final

from hanse.policies.compliance.configuration import Configuration
from hanse.policies.compliance.dossier import Dossier, Item, Section, question, statement
from hanse.policies.compliance.impact import impact
from hanse.policies.compliance.lawfulness import lawfulness
from hanse.policies.compliance.measures import measures
from hanse.policies.compliance.processing import about, processing
from hanse.policies.rules import Wording

LEGAL_NOTE: Final = Wording(
    "Generated from the configuration of the software; not legal advice. A lawyer has to read every article "
    "number again. What the software cannot know is asked for and marked while nobody has answered.",
    "本文件由软件配置生成，不构成法律意见。所有条款编号须由律师重新核对。软件无法得知的内容以问题列出，"
    "未答复者予以标明。",
)


def assess(configuration: Configuration) -> Dossier:
    """Generates the impact assessment.

    Args:
        configuration: What it is generated from.

    Returns:
        The document. It does not depend on when, by whom or whether it was approved, so that its digest can
        be written into the agreement that it assesses.
    """
    title = configuration.agreement.title
    return Dossier(
        kind="assessment",
        title=Wording(
            f"Personal information protection impact assessment: {title}",
            f"个人信息保护影响评估：{title}",
        ),
        lead=LEGAL_NOTE,
        sections=(
            about(configuration),
            processing(configuration),
            lawfulness(configuration),
            impact(configuration),
            measures(configuration),
            _limits(configuration),
            _people(configuration),
        ),
    )


def _limits(configuration: Configuration) -> Section:
    title = Wording("Where the protection ends", "保护的边界")
    return Section(key="limits", title=title, items=tuple(_limit_items(configuration)))


def _limit_items(configuration: Configuration) -> Iterator[Item]:
    if configuration.agreement.privacy is None:
        yield statement(
            "unit",
            "There is no privacy budget: nothing bounds what leaves a member about a single person. Use such "
            "an "
            "agreement only among members and a coordinator that may see each other's data.",
            "未设隐私预算：离开成员的内容对单个人的透露没有上限。"
            "此类协议仅适用于彼此可查看数据的成员与协调方之间。",
        )
    else:
        yield statement(
            "unit",
            "The unit of privacy is one record: add or remove one row. A person who is there under several "
            "identifiers, or at several members, is protected less.",
            "隐私保护的单位为单条记录：增加或删除一行。以多个标识符出现或存在于多个成员处的个人，"
            "所受保护减弱。",
        )
    if configuration.agreement.secure_sums:
        yield statement(
            "coordinator",
            "The coordinator sees sums of the members' updates and counts, with noise that the members share "
            "if there is a privacy budget, and each member's row counts.",
            "协调方可看到各成员更新与计数的总和（设有隐私预算时含各成员分担的噪声），以及各成员的记录数。",
        )
    else:
        yield statement(
            "coordinator",
            "The coordinator sees each member's update and row counts on their own, with noise in the update "
            "if there is a privacy budget, and not only their sum.",
            "协调方可单独看到各成员的更新和记录数，而不仅是其总和；设有隐私预算时更新已加噪。",
        )
    yield statement(
        "counts",
        "Numbers of rows are exact and outside the privacy budget; so are times and sizes of messages.",
        "记录数为精确值，不在隐私预算之内；消息的时间和大小亦然。",
    )
    yield statement(
        "scores",
        "A score says something about the person that it is asked for; consent and the lock on purposes "
        "govern it, "
        "not the privacy budget.",
        "评分会透露被评分者的信息；其由同意和目的锁定约束，而非隐私预算。",
    )
    yield statement(
        "groups",
        "What a model says about everybody who shares an attribute holds also for people who were never in "
        "the data.",
        "模型对具有某一属性者的结论，同样适用于从未在数据中的个人。",
    )
    yield statement(
        "machine",
        "Whoever controls a member's machine is not kept from that member's rows.",
        "控制成员机器者可接触该成员的原始记录。",
    )


def _people(configuration: Configuration) -> Section:
    answers = configuration.answers
    days = configuration.policy.thresholds["records_days"].value
    items: tuple[Item, ...] = (
        question(
            "people.consulted",
            "Were the people in the data, or those who represent them, asked for their views (GDPR 35(9))? "
            "What did "
            "they say; if not asked, why not?",
            "是否征求了个人或其代表的意见（GDPR第35条第9款）？意见为何；如未征求，理由为何？",
            answers,
        ),
        question(
            "people.advice",
            "What does the data protection officer of each member advise (GDPR 35(2))?",
            "各成员的个人信息保护负责人有何意见（GDPR第35条第2款）？",
            answers,
        ),
        question(
            "people.authority",
            "Does a high risk remain, so that the authority has to be consulted before (GDPR 36)?",
            "是否仍存在高风险而须事先咨询监管机构（GDPR第36条）？",
            answers,
        ),
        question(
            "people.decision",
            "What is decided, by whom, on which conditions, and when is it looked at again?",
            "结论为何，由谁作出，附何条件，何时复审？",
            answers,
        ),
        statement(
            "kept",
            f"This assessment and the records of processing are kept for at least {days} days (PIPL 56: "
            "three years).",
            f"本评估及处理情况记录至少保存{days}天（个人信息保护法第五十六条：三年）。",
        ),
    )
    return Section(key="people", title=Wording("Consultation and decision", "征求意见与结论"), items=items)
