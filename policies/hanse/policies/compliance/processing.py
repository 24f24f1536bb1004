"""What is done: the description that an assessment starts with (GDPR 35(7)(a))."""

from collections.abc import Iterator

from hanse.policies.agreement import Agreement
from hanse.policies.agreement.words import listed, same, value, word
from hanse.policies.compliance.configuration import (
    Configuration,
    columns_table,
    contract_text,
    facts,
    head,
    members_table,
    places,
    retention_table,
)
from hanse.policies.compliance.dossier import Item, Section, Table, question, statement, table
from hanse.policies.rules import Wording


def about(configuration: Configuration) -> Section:
    """What is assessed: exactly which configuration."""
    agreement, assessment = configuration.agreement, configuration.agreement.assessment
    packs = (same(f"{pack.id}/{pack.version}") for pack in agreement.packs)
    rows = {
        "agreement": ("agreement", "协议", same(f"{agreement.id}, version {agreement.version}")),
        "title": ("title", "标题", same(agreement.title)),
        "digest": (
            "SHA-256 of the agreement, its assessment left out",
            "协议的SHA-256（不含影响评估）",
            same(configuration.digest),
        ),
        "packs": ("rule packs", "规则包", listed(packs)),
        "software": (
            "software",
            "软件",
            same(f"hanse {agreement.software.version}, {agreement.software.digest}"),
        ),
        "purposes": (
            "purposes that the assessment covers",
            "影响评估涵盖的目的",
            listed(map(word, assessment.purposes)),
        ),
        "members": ("members that it covers", "涵盖的成员", listed(map(same, assessment.members))),
        "classes": (
            "classes of data that it covers",
            "涵盖的信息类别",
            listed(map(word, assessment.classifications)),
        ),
        "rehearsal": (
            "SHA-256 of the rehearsal's report",
            "演练报告的SHA-256",
            value_or_none(assessment.rehearsal),
        ),
    }
    title = Wording("What is assessed", "评估对象")
    return Section(key="about", title=title, items=(facts("about", "Configuration", "配置", rows),))


def value_or_none(text: str | None) -> Wording:
    """A text as it is; none if there is none."""
    return word("none") if text is None else same(text)


def processing(configuration: Configuration) -> Section:
    """What is processed of whom, by whom, where, how and for how long."""
    title = Wording("Description of the processing (GDPR 35(7)(a))", "处理活动的描述（GDPR第35条第7款a项）")
    return Section(key="processing", title=title, items=tuple(_items(configuration)))


def _items(configuration: Configuration) -> Iterator[Item]:
    agreement, answers = configuration.agreement, configuration.answers
    yield _purpose(agreement)
    yield members_table(agreement)
    yield from _contracts(agreement)
    yield question(
        "processing.subjects",
        "Who are the people in the data, about how many are they, and how do they stand to each member?",
        "数据涉及哪些个人、大约多少人、与各成员是何关系？",
        answers,
    )
    yield columns_table(agreement)
    also = _targets(agreement)
    yield statement(
        "label",
        f"Predicted is whether column '{agreement.label.name}' has the value '{agreement.label.positive}'."
        f"{also.en}",
        f"预测字段“{agreement.label.name}”的取值是否为“{agreement.label.positive}”。{also.zh}",
    )
    yield _training(agreement)
    yield flows_table(agreement)
    yield _scoring(agreement)
    yield callers_table(agreement)
    yield retention_table(agreement)
    yield question(
        "processing.context",
        "What else belongs to the processing and is not in the agreement: sources of the data, other "
        "systems, "
        "what is done with the scores?",
        "协议之外还有哪些与处理有关的情况：数据来源、其他系统、评分的后续使用？",
        answers,
    )


def _targets(agreement: Agreement) -> Wording:
    targets = agreement.training.targets
    if not targets:
        return same("")
    names = listed(same(f"'{target.name}'") for target in targets)
    return Wording(f" Also predicted: {names.en}.", f"另预测：{names.zh}。")


def _purpose(agreement: Agreement) -> Item:
    training, scoring = word(agreement.purpose), word(agreement.scoring.purpose)
    return statement(
        "purpose",
        f"The purpose of training is '{agreement.purpose}': {training.en}. The purpose of scoring is "
        f"'{agreement.scoring.purpose}': {scoring.en}. Rows stay at their member; what leaves it is in the "
        "table of flows.",
        f"训练目的为“{agreement.purpose}”：{training.zh}。评分目的为“{agreement.scoring.purpose}”："
        f"{scoring.zh}。原始记录不离开成员；离开成员的内容见数据流向表。",
    )


def _contracts(agreement: Agreement) -> Iterator[Item]:
    for member in agreement.members:
        if member.role == "entrusted":
            said = contract_text(member)
            yield statement(
                f"contract.{member.name}",
                f"{member.organisation} is entrusted: {said.en}.",
                f"{member.organisation}为受托人：{said.zh}。",
            )


def _training(agreement: Agreement) -> Table:
    training, privacy, cohort = agreement.training, agreement.privacy, agreement.cohort
    budget = (
        Wording("none: updates leave the members without noise", "无：更新不加噪声即离开成员")
        if privacy is None
        else Wording(
            f"epsilon {privacy.epsilon:g}, delta {privacy.delta:g}, per record, over all runs for the "
            "purpose",
            f"epsilon {privacy.epsilon:g}，delta {privacy.delta:g}，以单条记录计，涵盖该目的的全部训练",
        )
    )
    held_out = f"{training.holdout_fraction:.0%}"
    rows = {
        "model": ("model", "模型", word(training.model)),
        "rounds": ("rounds of a run", "每次训练的轮数", same(training.rounds)),
        "budget": ("privacy budget", "隐私预算", budget),
        "holdout": ("records that are kept for evaluation", "留作评估的记录", same(held_out)),
        "cohort": (
            "people that a member needs to take part",
            "成员参与所需的最少人数",
            same(cohort.minimum_rows),
        ),
        "members": (
            "members that every aggregate needs",
            "每次聚合所需的最少成员数",
            same(cohort.minimum_members),
        ),
        "suppression": (
            "counts below this are not shown",
            "低于此值的计数不予显示",
            same(cohort.suppress_below),
        ),
        "minors": (
            "children may be among the people",
            "个人中可能有儿童",
            value(agreement.may_contain_minors),
        ),
    }
    return facts("training", "How a model is trained", "模型训练方式", rows)


def flows_table(agreement: Agreement) -> Table:
    """What leaves a member, to whom, and in which form: as the privacy promise states it."""
    coordinator = agreement.coordinator.name
    noised = _form(agreement)
    exact = Wording("exact; a small count by rule is left out", "精确值；按规则的小计数不予发送")
    hub = Wording(f"coordinator '{coordinator}'", f"协调方“{coordinator}”")
    followed = Wording(f"{hub.en}, members", f"{hub.zh}、成员")
    rows = {
        "rows": (
            Wording("rows, labels, identifiers, pseudonyms", "原始记录、标签、标识符、假名"),
            Wording("nobody", "无"),
            Wording("never leave the member", "从不离开成员"),
        ),
        "counts": (Wording("numbers of rows, by round", "每轮的记录数"), followed, exact),
        "cells": (
            Wording("rows per public cell, once a run", "各公开区间的记录数，每次训练一次"),
            hub,
            noised,
        )
        if agreement.privacy is None or not agreement.secure_sums
        else (
            Wording("rows per public cell", "各公开区间的记录数"),
            Wording("nobody", "无"),
            Wording("not counted: every cell of the agreement is used", "不作统计：使用协议所列的全部区间"),
        ),
        "updates": (Wording("the member's own update, every round", "成员自身的更新，每轮"), hub, noised),
        "histograms": (Wording("held-out rows per score bin", "留出记录的评分分布"), hub, noised),
        "model": (
            Wording("combined weights, registered model", "聚合后的权重与登记的模型"),
            Wording("every member", "全体成员"),
            Wording("computed from the above", "由上述内容计算得出"),
        ),
        "scores": (
            Wording("scores", "评分"),
            Wording("callers that the agreement names", "协议指名的调用方"),
            Wording("not covered by the privacy budget", "不受隐私预算保护"),
        ),
    }
    names = head(("what", "内容"), ("to whom", "接收者"), ("in which form", "形式"))
    return table("flows", Wording("What leaves a member", "离开成员的内容"), names, rows)


def _form(agreement: Agreement) -> Wording:
    """In which form what a member computes leaves it."""
    if not agreement.secure_sums:
        return (
            Wording("by itself, exact: there is no privacy budget", "单独发送，精确值：无隐私预算")
            if agreement.privacy is None
            else Wording("by itself, with all of the noise", "单独发送，已加入全部噪声")
        )
    return (
        Wording(
            "in a sum over the members alone, exact: there is no privacy budget",
            "仅以各成员之和发送，精确值：无隐私预算",
        )
        if agreement.privacy is None
        else Wording(
            "in a sum over the members alone, with noise that they share",
            "仅以各成员之和发送，噪声由各成员分担",
        )
    )


def _scoring(agreement: Agreement) -> Item:
    scoring, output = agreement.scoring, _output(agreement)
    uses = listed(map(same, scoring.prohibited_uses))
    effect = (
        Wording("Decisions based on scores affect people significantly", "基于评分的决定对个人权益有重大影响")
        if scoring.significant_effect
        else Wording(
            "By the agreement, decisions based on scores do not affect people significantly",
            "依协议，基于评分的决定对个人权益无重大影响",
        )
    )
    review = value(scoring.human_review), value(scoring.reason_codes)
    return statement(
        "scoring",
        f"A score is given as {output.en}. Beside what is always prohibited, "
        f"these uses are: {uses.en}. {effect.en}; review by a person: {review[0].en}; reason codes: "
        f"{review[1].en}.",
        f"评分以{output.zh}形式给出。除一律禁止的用途外，另行禁止：{uses.zh}。"
        f"{effect.zh}；人工复核：{review[0].zh}；原因代码：{review[1].zh}。",
    )


def _output(agreement: Agreement) -> Wording:
    """The form of a score; decimals are of one that is a number."""
    output, decimals = word(agreement.scoring.output), agreement.scoring.decimals
    if agreement.scoring.output != "score":
        return output
    return Wording(f"{output.en} with {decimals} decimals", f"{output.zh}（保留{decimals}位小数）")


def callers_table(agreement: Agreement) -> Table:
    """Who may ask for scores, and on which terms."""
    rows = {
        caller.name: (
            same(caller.name),
            same(caller.daily_quota),
            value(caller.opt_out_available),
            value(caller.non_personalised_path),
        )
        for caller in agreement.scoring.callers
    }
    names = head(
        ("caller", "调用方"),
        ("people a day, as agreed", "每日人数（约定）"),
        ("people can say no", "个人可拒绝"),
        ("serves people without a score", "提供不针对个人特征的选项"),
    )
    return table("callers", Wording("Who may ask for scores", "可请求评分者"), names, rows)


def places_item(agreement: Agreement) -> Item:
    """Where anything is processed, and what allows that."""
    where, border = places(agreement), agreement.border
    if len(agreement.jurisdictions) == 1:
        return statement(
            "border",
            f"Members, storage, coordinator and other places of logs and models are all in {where.en}: "
            "nothing "
            "crosses a border.",
            f"成员、存储地、协调方及日志与模型的其他所在地均在{where.zh}：不涉及跨境。",
        )
    mechanism = word(border.mechanism)
    return statement(
        "border",
        f"Processing takes place in {where.en}. Mechanism: {mechanism.en}; reference: "
        f"{border.reference or 'none'}. Every subject's separate consent to crossing the border is asked "
        "for.",
        f"处理涉及{where.zh}。跨境机制：{mechanism.zh}；编号：{border.reference or '无'}。"
        "须取得每一个人对跨境的单独同意。",
    )
