"""Every kind of finding, from the log of a real run in which one thing is removed or changed."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.completeness.conftest import Story, changed, unwritten, without

from hanse.audit import Checkpoint, Entry, EventType, PrivacySpend, sign_checkpoint
from hanse.audit.completeness import Finding, check_member, check_shared, roots_at
from hanse.audit.event import Counts, Restored
from hanse.audit.findings import KINDS
from hanse.audit.stated import stated_checkpoint
from hanse.crypto import SigningKey

OTHER = "e" * 64
T = EventType


def at(entries: Sequence[Entry], kind: EventType, number: int = 0, **fields: Any) -> int:
    """Place of an entry of a type, the first by default, with these fields."""
    places = [
        index
        for index, entry in enumerate(entries)
        if entry.type is kind and all(getattr(entry, name) == value for name, value in fields.items())
    ]
    return places[number]


def inserted(entries: Sequence[Entry], index: int, **fields: Any) -> list[Entry]:
    """The entries, one of them a second time right after itself, with other fields; its actor counts on."""
    again = entries[index]
    later = [
        entry.model_copy(update={"seq": entry.seq + 1}) if entry.actor == again.actor else entry
        for entry in entries[index + 1 :]
    ]
    copy = again.model_copy(update={"seq": again.seq + 1, **fields})
    return [*entries[: index + 1], copy, *later]


def shared(story: Story, change: Callable[[list[Entry]], list[Entry]]) -> list[Finding]:
    return check_shared(change(story.logs["shared"]))


def own(story: Story, change: Callable[[list[Entry]], list[Entry]], member: str = "brand") -> list[Finding]:
    return check_member(change(story.logs[member]), member)


def compared(story: Story, change: Callable[[list[Entry]], list[Entry]]) -> list[Finding]:
    """The shared log, changed, against the brand's own as it is."""
    return story.compare("brand", shared=change(story.logs["shared"]))


def drop(kind: EventType, number: int = 0, **fields: Any) -> Callable[[list[Entry]], list[Entry]]:
    return lambda log: unwritten(log, at(log, kind, number, **fields))


def alter(kind: EventType, number: int = 0, /, **fields: Any) -> Callable[[list[Entry]], list[Entry]]:
    return lambda log: changed(log, at(log, kind, number), **fields)


def stated(name: str, member: str = "brand", /, **fields: Any) -> Callable[[list[Entry]], list[Entry]]:
    """A member's first statement of a step, changed."""
    return lambda log: changed(log, at(log, T.ROUND_SUBMITTED, detail=name, peer=member), **fields)


def again(kind: EventType, number: int = 0, /, **fields: Any) -> Callable[[list[Entry]], list[Entry]]:
    return lambda log: inserted(log, at(log, kind, number), **fields)


def aligned(first: str | None, second: str | None) -> Callable[[list[Entry]], list[Entry]]:
    def change(log: list[Entry]) -> list[Entry]:
        roots = {"brand": first, "insurer": second}
        for member, root in roots.items():
            place = at(log, T.ROUND_SUBMITTED, detail="trained", peer=member)
            log = changed(log, place, aligned_set_root=root)
        return log

    return change


def later(log: list[Entry]) -> list[Finding]:
    return check_shared(log, now=log[-1].at - timedelta(hours=1))


def restored(known: int | None) -> Callable[[list[Entry]], list[Entry]]:
    what = Restored(size=2, root=OTHER, known_size=known, known_root=OTHER if known else None)
    return again(T.AGREEMENT_ACCEPTED, type=T.LOG_RESTORED, agreement=None, restored=what)


def note(size: int, root: bytes) -> str:
    return sign_checkpoint(Checkpoint("brand", size, root), SigningKey.generate("brand")).decode()


def checkpoint(story: Story) -> Checkpoint:
    """What the brand stated of its own log after the first round."""
    log = story.logs["shared"]
    found = stated_checkpoint(log[at(log, T.ROUND_SUBMITTED, detail="trained", peer="brand")])
    assert found is not None
    return found


def with_note(size: int, root: bytes, name: str = "evaluated") -> Callable[[list[Entry]], list[Entry]]:
    return stated(name, member_checkpoint=note(size, root))


def forked(story: Story) -> Callable[[list[Entry]], list[Entry]]:
    """The brand states in the second round another root for as many entries as in the first."""
    forged = note(checkpoint(story).size, b"\1" * 32)

    def change(log: list[Entry]) -> list[Entry]:
        return changed(log, at(log, T.ROUND_SUBMITTED, round=2, peer="brand"), member_checkpoint=forged)

    return change


def uncovered(story: Story) -> list[Finding]:
    """A true checkpoint of the brand, but of the time before it had decided on the rows of the round."""
    size = at(story.logs["brand"], T.ROUND_ADMITTED, round=1)
    root = roots_at(story.verified["brand"].leaves, {size})[size]
    return compared(story, with_note(size, root, "trained"))


def overlong(story: Story) -> list[Finding]:
    return compared(story, with_note(1 + len(story.logs["brand"]), b"\1" * 32))


def second_run(log: list[Entry], kind: EventType) -> int:
    return at(log, kind, 1)


def unaggregated(log: list[Entry]) -> list[Entry]:
    """The second round as if it had been stated and then forgotten: no aggregate, no skipped number."""
    return unwritten(log, at(log, T.ROUND_AGGREGATED, round=2))


def stale(story: Story) -> list[Finding]:
    """The insurer, of whom a subject withdrew before the second round, decides as if nobody had."""
    log = story.logs["insurer"]
    place = at(log, T.RUN_EVALUATED) - 1
    consent = log[place].consent
    assert log[place].type is T.ROUND_ADMITTED
    assert consent is not None
    before = consent.model_copy(update={"head": consent.head - 1})
    return check_member(changed(log, place, consent=before))


def after_refusal(log: list[Entry]) -> list[Entry]:
    """A witness that refused right before the first round was trained: the second must not begin."""
    place = at(log, T.ROUND_TRAINED) - 1
    return inserted(log, place, type=T.WITNESS_REFUSED, run=None, round=None, counts=None, consent=None)


def far(log: list[Entry]) -> list[Entry]:
    """A coordinator whose clock is an hour ahead."""
    return [e.model_copy(update={"time": f"2099{e.time[4:]}"}) for e in log]


def counted(**fields: Any) -> Counts:
    return Counts.model_validate({"rows_in": 10, "rows_out": 9, **fields})


CASES: dict[str, Callable[[Story], list[Finding]]] = {
    "sequence-gap": lambda s: check_shared(without(s.logs["shared"], 3)),
    "sequence-repeated": lambda s: check_shared([*s.logs["shared"][:4], *s.logs["shared"][3:]]),
    "time-back": lambda s: shared(s, alter(T.RUN_PREPARED, time="2020-01-01T00:00:00.000Z")),
    "time-future": lambda s: later(s.logs["shared"]),
    "clock-behind": lambda s: shared(s, alter(T.RUN_PREPARED, clock_behind_ms=1000)),
    "log-lost": lambda s: shared(s, restored(9)),
    "log-restored": lambda s: shared(s, restored(None)),
    "run-unstarted": lambda s: shared(s, drop(T.RUN_STARTED)),
    "run-repeated": lambda s: shared(s, again(T.RUN_STARTED)),
    "run-after-end": lambda s: shared(s, again(T.RUN_FINISHED, type=T.RUN_EVALUATED)),
    "run-unended": lambda s: shared(s, drop(T.RUN_FINISHED)),
    "run-open": lambda s: check_shared(s.logs["shared"][: second_run(s.logs["shared"], T.RUN_STARTED) + 1]),
    "run-unprepared": lambda s: shared(s, drop(T.RUN_PREPARED)),
    "run-unevaluated": lambda s: shared(s, drop(T.RUN_EVALUATED)),
    "round-skipped": lambda s: own(s, drop(T.ROUND_TRAINED)),
    "round-repeated": lambda s: shared(s, again(T.ROUND_AGGREGATED)),
    "rows-differ": lambda s: shared(s, stated("trained", rows_used=7)),
    "agreement-differs": lambda s: shared(s, alter(T.ROUND_AGGREGATED, agreement=OTHER)),
    "model-differs": lambda s: shared(s, alter(T.RUN_FINISHED, model_out=OTHER)),
    "agreement-unaccepted": lambda s: shared(s, drop(T.AGREEMENT_ACCEPTED)),
    "step-unstated": lambda s: shared(s, drop(T.ROUND_SUBMITTED, detail="trained", peer="insurer")),
    "statement-unexpected": lambda s: shared(s, stated("trained", peer="stranger")),
    "statements-differ": lambda s: shared(s, again(T.ROUND_SUBMITTED, subject_set_root=OTHER)),
    "rows-unstated": lambda s: shared(s, stated("trained", rows_used=None)),
    "round-unaggregated": lambda s: shared(s, unaggregated),
    "run-empty": lambda s: shared(s, lambda log: drop(T.ROUND_AGGREGATED)(drop(T.ROUND_AGGREGATED)(log))),
    "model-unregistered": lambda s: shared(s, drop(T.MODEL_REGISTERED)),
    "aligned-differ": lambda s: shared(s, aligned("a" * 64, "b" * 64)),
    "aligned-missing": lambda s: shared(s, aligned("a" * 64, None)),
    "checkpoint-back": lambda s: shared(s, with_note(1, b"\1" * 32)),
    "checkpoint-fork": lambda s: shared(s, forked(s)),
    "log-headless": lambda s: own(s, drop(T.MEMBER_INITIALISED)),
    "agreement-unsigned": lambda s: own(s, drop(T.AGREEMENT_SIGNED)),
    "step-unadmitted": lambda s: own(s, drop(T.ROUND_ADMITTED, round=1)),
    "step-unused": lambda s: own(s, drop(T.ROUND_TRAINED)),
    "budget-unplanned": lambda s: own(s, drop(T.BUDGET_PLANNED)),
    "budget-overspent": lambda s: own(
        s, alter(T.RUN_EVALUATED, privacy=PrivacySpend(epsilon=3.1, delta=1e-5))
    ),
    "consent-stale": stale,
    "consent-unlogged": lambda s: own(s, drop(T.CONSENT_WITHDRAWN), "insurer"),
    "round-after-refusal": lambda s: own(s, after_refusal),
    "score-unanswered": lambda s: own(s, drop(T.SCORE_ANSWERED)),
    "scorer-unstarted": lambda s: own(s, drop(T.SCORER_STARTED)),
    "checkpoint-beyond": overlong,
    "checkpoint-differs": lambda s: s.compare("brand", own=unwritten(s.logs["brand"], 1)),
    "checkpoint-foreign": lambda s: compared(s, stated("trained", rows_used=7)),
    "step-unlogged": lambda s: s.compare("brand", own=drop(T.ROUND_TRAINED)(s.logs["brand"])),
    "step-uncovered": uncovered,
    "round-unshared": lambda s: compared(s, drop(T.ROUND_SUBMITTED, detail="trained", peer="brand")),
    "run-unshared": lambda s: compared(s, lambda log: log[: at(log, T.RUN_STARTED)]),
    "subjects-differ": lambda s: compared(s, stated("trained", subject_set_root=OTHER)),
    "resumption-differs": lambda s: compared(s, alter(T.ROUND_AGGREGATED, model_in=OTHER)),
    "ends-differ": lambda s: compared(s, alter(T.RUN_FINISHED, type=T.RUN_FAILED)),
    "clocks-differ": lambda s: compared(s, far),
}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_every_kind(stories: Callable[[str], Story], kind: str) -> None:
    found = CASES[kind](stories("withdrawal"))
    assert kind in {finding.kind for finding in found}
    for finding in found:
        assert finding.remedy
        assert finding.detail
        assert (finding.log == "shared") == (finding.log not in {"brand", "insurer", "member"})


def test_there_is_a_case_for_every_kind_and_no_other() -> None:
    of_cosignatures = {"cosignature-wrong", "quorum-missing"}  # tests/audit/test_audit_witnessed.py
    assert set(CASES) == set(KINDS) - of_cosignatures


@pytest.mark.parametrize(
    ("change", "kind", "where"),
    [
        (alter(T.ROUND_TRAINED, rows_used=1), "rows-differ", "1 trained: rows used"),
        (alter(T.ROUND_ADMITTED, subject_set_size=1), "rows-differ", "1 subjects in the set"),
        (alter(T.ROUND_ADMITTED, counts=counted(by_rule={"P10": 3})), "rows-differ", "left out by rule"),
        (alter(T.SCORE_ANSWERED, counts=counted()), "rows-differ", "answered and denied"),
        (drop(T.RUN_PREPARED), "run-unprepared", "trained before that"),
        (drop(T.RUN_EVALUATED), "run-unevaluated", "finished without that"),
        (drop(T.RUN_FINISHED), "run-unended", "began at entry"),
        (again(T.RUN_FINISHED, type=T.ROUND_TRAINED, round=3), "run-after-end", "round.trained"),
        (drop(T.AGREEMENT_ACCEPTED), "run-unstarted", "budget.planned"),
        (again(T.AGREEMENT_ACCEPTED), "run-repeated", "begun before"),
        (alter(T.ROUND_TRAINED, agreement=OTHER), "agreement-differs", "not the agreement"),
        (again(T.ROUND_TRAINED), "round-repeated", "round 1 after round 1"),
    ],
)
def test_what_a_members_own_log_shows(
    stories: Callable[[str], Story], change: Callable[[list[Entry]], list[Entry]], kind: str, where: str
) -> None:
    found = own(stories("withdrawal"), change)
    assert [f for f in found if f.kind == kind and where in f.detail], found


@pytest.mark.parametrize(
    ("change", "kind", "where"),
    [
        (stated("trained", counts=counted()), "rows-differ", "9 rows admitted stated"),
        (stated("evaluated", subject_set_size=3), "rows-differ", "3 subjects in the set stated"),
        (alter(T.RUN_FINISHED, model_out=OTHER), "model-differs", "names another"),
        (stated("prepared", detail="trained", round=3), "step-unlogged", "own log does not have it"),
        (stated("trained", "brand", statement_signature=None), "checkpoint-foreign", "none of the keys"),
    ],
)
def test_what_two_logs_together_show(
    stories: Callable[[str], Story], change: Callable[[list[Entry]], list[Entry]], kind: str, where: str
) -> None:
    found = compared(stories("withdrawal"), change)
    assert [f for f in found if f.kind == kind and where in f.detail], found


def test_suppressed_counts_agree_unless_they_cannot(stories: Callable[[str], Story]) -> None:
    """The shared log shows small counts as fewer than k: no finding, unless k is not more than the count."""
    story = stories("withdrawal")
    log = story.logs["shared"]
    rows = log[at(log, T.ROUND_SUBMITTED, detail="trained", peer="brand")].subject_set_size
    assert rows is not None
    for below, expected in ((rows + 1, False), (rows, True)):
        shown = counted(rows_out=f"<{below}")
        found = {finding.kind for finding in compared(story, stated("trained", counts=shown))}
        assert ("rows-differ" in found) == expected


def test_a_finding_names_run_round_and_entry(stories: Callable[[str], Story]) -> None:
    story = stories("withdrawal")
    log = story.logs["shared"]
    place = at(log, T.ROUND_AGGREGATED)
    (finding,) = shared(story, drop(T.ROUND_SUBMITTED, detail="trained", peer="insurer"))
    assert finding.entry == place - 1
    assert (finding.log, finding.run, finding.round) == ("shared", log[place].run, 1)
    assert finding.detail == "aggregated without a statement of insurer"
    assert not finding.is_note
