"""The records of processing of GDPR 30: one for each member, by its role, from a configuration."""

from collections.abc import Iterator, Mapping

from hanse.policies.agreement import Agreement, Member
from hanse.policies.agreement.words import listed, same, word
from hanse.policies.compliance.assessment import LEGAL_NOTE
from hanse.policies.compliance.configuration import (
    Configuration,
    columns_table,
    contract_text,
    retention_table,
)
from hanse.policies.compliance.dossier import Dossier, Item, Section, question, statement
from hanse.policies.compliance.measures import measures_table
from hanse.policies.compliance.processing import callers_table, flows_table, places_item
from hanse.policies.rules import Wording


def records(configuration: Configuration) -> Dossier:
    """Generates the records of processing.

    Args:
        configuration: What they are generated from.

    Returns:
        One document with a section for each member: by GDPR 30(1) for a controller, by 30(2) for an entrusted
        member.
    """
    title = configuration.agreement.title
    sections = (
        _processor(configuration, member)
        if member.role == "entrusted"
        else _controller(configuration, member)
        for member in configuration.agreement.members
    )
    return Dossier(
        kind="records",
        title=Wording(f"Records of processing activities: {title}", f"个人信息处理活动记录：{title}"),
        lead=LEGAL_NOTE,
        sections=tuple(sections),
    )


def _controller(configuration: Configuration, member: Member) -> Section:
    role = word(member.role)
    title = Wording(
        f"{member.organisation}: {role.en} (GDPR 30(1))",
        f"{member.organisation}：{role.zh}（GDPR第30条第1款）",
    )
    items = tuple(_controller_items(configuration, member))
    return Section(key=f"records.{member.name}", title=title, items=items)


def _controller_items(configuration: Configuration, member: Member) -> Iterator[Item]:
    agreement, answers = configuration.agreement, configuration.answers
    yield _identity(agreement, member)
    yield _contact(member, answers)
    training, scoring = word(agreement.purpose), word(agreement.scoring.purpose)
    yield statement(
        "b",
        f"(b) Purposes: {training.en} ('{agreement.purpose}'); {scoring.en} ('{agreement.scoring.purpose}').",
        f"（b）处理目的：{training.zh}（“{agreement.purpose}”）；"
        f"{scoring.zh}（“{agreement.scoring.purpose}”）。",
    )
    yield question(
        f"records.{member.name}.subjects",
        f"(c) Which categories of people are in the data of {member.organisation}, and about how many?",
        f"（c）{member.organisation}的数据涉及哪些类别的个人，大约多少人？",
        answers,
    )
    classes = listed(map(word, sorted(agreement.classifications)))
    yield statement(
        "c", f"(c) Categories of personal data: {classes.en}.", f"（c）个人信息类别：{classes.zh}。"
    )
    yield columns_table(agreement)
    yield from _recipients(agreement, member)
    yield places_item(agreement)
    yield statement("f", "(f) Time limits for erasure:", "（f）删除期限：")
    yield retention_table(agreement)
    yield from _security(agreement, member, "g", answers)


def _identity(agreement: Agreement, member: Member) -> Item:
    joint = [same(m.organisation) for m in agreement.members if m != member and m.role != "entrusted"]
    others = listed(joint)
    return statement(
        "a",
        f"(a) {member.organisation}, under the law of {member.jurisdiction}, data kept in "
        f"{member.storage_country}. Approves for it: {member.approver}. Other controllers of the agreement: "
        f"{others.en}.",
        f"（a）{member.organisation}，适用{member.jurisdiction}法律，数据存储于{member.storage_country}。"
        f"批准人：{member.approver}。协议的其他处理者：{others.zh}。",
    )


def _contact(member: Member, answers: Mapping[str, str]) -> Item:
    return question(
        f"records.{member.name}.contact",
        f"(a) Address and contact of {member.organisation}, of its representative and of its data protection "
        "officer?",
        f"（a）{member.organisation}、其代表及个人信息保护负责人的地址和联系方式？",
        answers,
    )


def _recipients(agreement: Agreement, member: Member) -> Iterator[Item]:
    entrusted = listed(same(m.organisation) for m in agreement.members if m.role == "entrusted")
    others = listed(same(m.organisation) for m in agreement.members if m != member)
    hub = agreement.coordinator.name
    yield statement(
        "d",
        f"(d) Recipients: the coordinator '{hub}', the other members ({others.en}) and the callers of "
        "scores, each "
        f"of what the tables show and of no row. Entrusted processors: {entrusted.en}.",
        f"（d）接收者：协调方“{hub}”、其他成员（{others.zh}）及评分的调用方，所接收内容见下表，不含原始记录。"
        f"受托人：{entrusted.zh}。",
    )
    yield flows_table(agreement)
    yield callers_table(agreement)
    yield statement("e", "(e) Transfers to other countries:", "（e）向其他国家或地区的提供：")


def _security(
    agreement: Agreement, member: Member, letter: str, answers: Mapping[str, str]
) -> Iterator[Item]:
    yield statement(
        letter, f"({letter}) Technical and organisational measures:", f"（{letter}）技术和组织措施："
    )
    yield measures_table(agreement)
    yield question(
        f"records.{member.name}.security",
        f"({letter}) Which other measures does {member.organisation} take, organisational ones above all?",
        f"（{letter}）{member.organisation}还采取哪些措施，特别是组织措施？",
        answers,
    )


def _processor(configuration: Configuration, member: Member) -> Section:
    title = Wording(
        f"{member.organisation}: entrusted processor (GDPR 30(2))",
        f"{member.organisation}：受托人（GDPR第30条第2款）",
    )
    items = tuple(_processor_items(configuration, member))
    return Section(key=f"records.{member.name}", title=title, items=items)


def _processor_items(configuration: Configuration, member: Member) -> Iterator[Item]:
    agreement, answers = configuration.agreement, configuration.answers
    principals = listed(same(m.organisation) for m in agreement.members if m.role != "entrusted")
    yield statement(
        "a",
        f"(a) {member.organisation}, under the law of {member.jurisdiction}, data kept in "
        f"{member.storage_country}, on behalf of {principals.en}. Approves for it: {member.approver}.",
        f"（a）{member.organisation}，适用{member.jurisdiction}法律，数据存储于{member.storage_country}，"
        f"受{principals.zh}委托。批准人：{member.approver}。",
    )
    yield _contact(member, answers)
    said = contract_text(member)
    yield statement("b", f"(b) Categories of processing: {said.en}.", f"（b）处理类别：{said.zh}。")
    yield statement("c", "(c) Transfers to other countries:", "（c）向其他国家或地区的提供：")
    yield places_item(agreement)
    yield from _security(agreement, member, "d", answers)
