"""What a change means where that depends on what it is from and to, and what many changes mean alike."""

from collections.abc import Mapping
from typing import Final

from hanse.policies.agreement.columns import Column, Disclosure
from hanse.policies.agreement.effects import Case, Effect, Look, Meaning
from hanse.policies.agreement.parties import Member, Notice
from hanse.policies.purposes import covers
from hanse.policies.rules import Wording

WIDENS, NARROWS, NEUTRAL = (
    Meaning(Effect.WIDENS),
    Meaning(Effect.NARROWS),
    Meaning(Effect.NEUTRAL),
)


def says(effect: Effect, en: str, zh: str, *anew: str) -> Meaning:
    """A meaning with a note, and the rules that people have to consent by anew."""
    return Meaning(effect, Wording(en, zh), anew)


LESS_PROTECTION: Final = says(Effect.WIDENS, "less protection", "保护减弱")
MORE_PROTECTION: Final = says(Effect.NARROWS, "more protection", "保护增强")
ELSEWHERE: Final = says(
    Effect.WIDENS,
    "data would be processed in a new place: separate consent for crossing borders",
    "将在新的法域处理：需取得跨境的单独同意",
    "P21",
)
EVERYBODY: Final = says(
    Effect.WIDENS,
    "every subject must consent anew, for a grant names all members",
    "全体个人须重新同意，因为同意须指名全部成员",
    "P06",
)
DIVISION: Final = says(
    Effect.NEUTRAL,
    "with a privacy budget, a site that has trained with another share refuses",
    "设有隐私预算时，以其他比例训练过的节点将拒绝",
)
COMPARE_KEY: Final = says(Effect.NEUTRAL, "compare it with its owner", "请与密钥所有者核对")


def _places(member: Member) -> frozenset[str]:
    return frozenset((member.jurisdiction, member.storage_country))


def _member(case: Case) -> Meaning:
    if not isinstance(case.after, Member):
        return NARROWS
    beyond = not _places(case.after) <= case.old.jurisdictions
    return Meaning(Effect.WIDENS, EVERYBODY.note, ("P06", "P21") if beyond else ("P06",))


def _place(case: Case) -> Meaning:
    if case.after is None:
        return NARROWS
    return NEUTRAL if case.after in case.old.jurisdictions else ELSEWHERE


def _role(case: Case) -> Meaning:
    if case.after == "provider":
        return says(
            Effect.WIDENS,
            "its subjects must consent to sharing separately",
            "其个人须就提供给他方另行单独同意",
            "P06",
        )
    return NARROWS if case.before == "provider" else says(Effect.WIDENS, "who decides changes", "决定者改变")


def _purpose(anew: str) -> Look:
    def look(case: Case) -> Meaning:
        if covers(str(case.before), str(case.after)):
            return says(Effect.NARROWS, "grants for the old purpose cover it", "原目的的同意已涵盖")
        return says(
            Effect.WIDENS,
            "grants for the old purpose do not cover it: every subject must consent anew",
            "原目的的同意不涵盖：全体个人须重新同意",
            anew,
        )

    return look


def _column(case: Case) -> Meaning:
    if not isinstance(case.after, Column):
        return NARROWS
    anew: tuple[str, ...] = ("P05",) if case.after.classification not in case.old.classifications else ()
    anew += ("P07",) if case.after.classification == "sensitive" else ()
    anew += ("P09",) if case.after.special == "public_place" else ()
    note = Wording("a class of data that grants must name", "属于同意须列明的信息类别") if anew else None
    return Meaning(Effect.WIDENS, note, anew)


def _classification(case: Case) -> Meaning:
    order = ("basic", "behavioural", "transaction", "sensitive")
    if order.index(str(case.after)) < order.index(str(case.before)):
        return LESS_PROTECTION
    anew = ("P05",) if case.after not in case.old.classifications else ()
    return Meaning(
        Effect.NARROWS, MORE_PROTECTION.note, (*anew, *(("P07",) if case.after == "sensitive" else ()))
    )


def _special(case: Case) -> Meaning:
    if case.after is None:
        return LESS_PROTECTION
    return Meaning(Effect.NARROWS, None, ("P09",) if case.after == "public_place" else ("P07",))


def _notice(case: Case) -> Meaning:
    if not isinstance(case.after, Notice):
        return says(
            Effect.NARROWS,
            "consents that rest on it no longer count",
            "以其为依据的同意不再有效",
            "P02",
        )
    owners = {member.name for member in case.new.members if case.after in member.notices}
    known = {_major(notice) for m in case.old.members if m.name in owners for notice in m.notices}
    if _major(case.after) in known:
        return says(Effect.WIDENS, "consents that rest on it count", "以其为依据的同意生效")
    return says(
        Effect.WIDENS,
        "a new main version: consents under an older one are to be asked anew",
        "主版本更新：依旧版取得的同意须重新取得",
        "P05",
    )


def _major(notice: Notice) -> str:
    return notice.version.partition(".")[0]


def _disclosure(case: Case) -> Meaning:
    forms = [item.form if isinstance(item, Disclosure) else "" for item in (case.before, case.after)]
    return WIDENS if forms[1] == "model" or forms[0] == "none" else NARROWS


def _cells(case: Case) -> Meaning:
    sizes = [len(cells) if isinstance(cells, tuple) else 0 for cells in (case.before, case.after)]
    if sizes[0] == sizes[1]:
        return NEUTRAL
    return (
        says(Effect.WIDENS, "values are told apart more finely", "取值区分更细")
        if sizes[1] > sizes[0]
        else says(Effect.NARROWS, "values are told apart less finely", "取值区分更粗")
    )


def _bands(case: Case) -> Meaning:
    """Without edges there are ten bands."""
    before, after = (
        len(edges) if isinstance(edges, tuple) and edges else 9 for edges in (case.before, case.after)
    )
    if before == after:
        return NEUTRAL
    return (
        says(Effect.WIDENS, "scores are told apart more finely", "评分区分更细")
        if after > before
        else says(Effect.NARROWS, "scores are told apart less finely", "评分区分更粗")
    )


def _mechanism(case: Case) -> Meaning:
    return WIDENS if case.after == "none" else NEUTRAL


LOOKS: Final[Mapping[str, Look]] = {
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
    "scoring.edges": _bands,
    "border.mechanism": _mechanism,
}
"""By path of the field."""
