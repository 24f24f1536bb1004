"""Decisions about what is served: who has to decide what, in which order, and what follows from them."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import SigningKey
from hanse.errors import AuditError, HanseError, PolicyError
from hanse.policies.serving import (
    ALONE_PERCENT,
    LAPSES_AFTER,
    Ref,
    Serving,
    ServingBook,
    gets_canary,
    parse_decisions,
    routing_key,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
APPROVER, AUDITOR, STRANGER = (SigningKey.generate(name) for name in ("dpo", "auditor", "stranger"))
KEYS = (APPROVER.verifier, AUDITOR.verifier)
NAME = "propensity"


def ref(version: int) -> Ref:
    return Ref(version, f"{version:064x}")


class Desk:
    """Two people who decide about one model."""

    def __init__(self, folder: Path) -> None:
        self.book = ServingBook(folder / "serving", KEYS)
        self.logged: list[str] = []

    def says(self, kind: str, *, by: str = "Dora", key: SigningKey = APPROVER, **fields: Any) -> Serving:
        if "version" in fields:
            fields.setdefault("manifest", ref(fields["version"]).manifest)
        told = {"reason": "as planned", "at": NOW, "kind": kind, "by": by, **fields}
        return self.book.decide(NAME, key, lambda one, *_: self.logged.append(one.digest), **told)

    def approves(self, proposal: int, **fields: Any) -> Serving:
        return self.says("approve", **{"by": "Aud", "key": AUDITOR, "proposal": proposal, **fields})

    def promotes(self, version: int) -> Serving:
        return self.approves(self.says("promote", version=version).number)

    @property
    def state(self) -> Serving:
        return self.book.read(NAME).state


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_life_of_three_versions(desk: Desk) -> None:
    assert desk.says("promote", version=1).live is None  # proposed alone
    assert desk.approves(1).live == ref(1)
    assert desk.says("canary", version=2, share=ALONE_PERCENT).canary == ref(2)
    proposed = desk.says("canary", version=2, share=ALONE_PERCENT + 1)
    assert (proposed.share, len(proposed.proposed)) == (ALONE_PERCENT, 1)
    assert desk.approves(proposed.number).share == ALONE_PERCENT + 1
    two = desk.promotes(2)
    assert (two.live, two.canary, two.earlier, two.served) == (ref(2), None, (ref(1),), (ref(2), ref(1)))
    assert desk.promotes(3).earlier == (ref(2), ref(1))
    back = desk.says("rollback", version=2, by="Aud", key=AUDITOR)
    assert (back.live, back.earlier) == (ref(2), (ref(1),))  # at once, and 3 takes two people to come back
    gone = desk.says("retire", version=2)
    assert gone.live == ref(2)
    gone = desk.approves(gone.number)
    assert (gone.live, gone.retired, gone.role(2), gone.role(1)) == (None, (ref(2),), "retired", "previous")
    assert desk.state == gone
    # Each decision was in the log before the file had it, in order.
    assert desk.logged == [one.digest for one in desk.book.read(NAME).decisions]


DECILES = tuple(number / 10 for number in range(1, 10))


def test_deciles_are_given_by_two_people_and_stay_with_their_version(desk: Desk) -> None:
    desk.promotes(1)
    proposed = desk.says("canary", version=2, share=1, deciles=DECILES)
    assert (proposed.canary, proposed.deciles_of(ref(2))) == (None, ())
    assert desk.approves(proposed.number).deciles_of(ref(2)) == DECILES
    assert desk.promotes(2).deciles_of(ref(2)) == DECILES
    with pytest.raises(PolicyError, match="live already"):
        desk.says("promote", version=2, deciles=DECILES)
    other = desk.says("promote", version=2, deciles=DECILES[::-1][:1] * 9)
    changed = desk.approves(other.number)  # the live one, from now on with other deciles
    assert (changed.live, changed.earlier, changed.deciles_of(ref(2))) == (ref(2), (ref(1),), (0.9,) * 9)
    assert desk.says("rollback", version=1).deciles_of(ref(1)) == ()
    again = desk.says("promote", version=2, deciles=(*DECILES[:8], 0.95))
    assert desk.approves(again.number).deciles_of(ref(2))[-1] == 0.95
    for kind, wrong in (
        ("promote", DECILES[:8]),
        ("promote", DECILES[::-1]),
        ("promote", (*DECILES[:8], 1.1)),
        ("retire", DECILES),
    ):
        with pytest.raises(PolicyError, match="deciles"):
            desk.says(kind, version=1, deciles=wrong)


def test_a_roll_back_ends_the_canary_first(desk: Desk) -> None:
    desk.promotes(1)
    desk.promotes(2)
    desk.says("canary", version=3, share=1)
    after = desk.says("rollback", version=2)
    assert (after.live, after.canary, after.share, after.earlier) == (ref(2), None, 0, (ref(1),))


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ({"key": APPROVER}, "P31"),
        ({"by": "DORA"}, "P31"),
        ({"at": NOW + LAPSES_AFTER + timedelta(seconds=1)}, "P31"),
        ({"key": STRANGER}, "P31"),
        ({"proposal": 7}, None),
    ],
)
def test_a_proposal_is_approved_by_another_person_in_time(
    desk: Desk, answer: dict[str, Any], rule: str | None
) -> None:
    desk.says("promote", version=1)
    before = desk.book.path(NAME).read_bytes()
    with pytest.raises(PolicyError) as refused:
        desk.approves(**{"proposal": 1, **answer})
    assert refused.value.rule == rule
    assert (desk.book.path(NAME).read_bytes(), len(desk.logged)) == (before, 1)


def test_a_proposal_lapses_when_what_is_served_changes(desk: Desk) -> None:
    desk.promotes(1)
    waiting = desk.says("promote", version=2).number
    desk.says("canary", version=3, share=1)
    with pytest.raises(PolicyError, match="has changed"):
        desk.approves(waiting)
    assert desk.says("reject", proposal=waiting, by="Aud", key=AUDITOR).proposed == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "promote", "version": 1},  # live already
        {"kind": "canary", "version": 1, "share": 5},
        {"kind": "rollback", "version": 4},  # was never live
        {"kind": "promote", "version": 1, "manifest": ref(2).manifest},  # another model under its number
        {"kind": "promote", "version": 2, "share": 5},
        {"kind": "canary", "version": 2, "share": 100},
        {"kind": "canary", "version": 2},
        {"kind": "promote", "version": 2, "reason": " "},
    ],
)
def test_what_makes_no_sense_is_refused_before_it_is_logged(desk: Desk, fields: dict[str, Any]) -> None:
    desk.promotes(1)
    with pytest.raises(PolicyError) as refused:
        desk.says(**fields)
    assert (refused.value.code, len(desk.logged)) == ("policy.invalid", 2)


def test_overriding_the_gate_takes_two_people_even_for_a_small_canary(desk: Desk) -> None:
    desk.promotes(1)
    assert desk.says("canary", version=2, share=1, overridden=("quality",)).canary is None


def test_nothing_can_be_taken_out_moved_or_put_in(desk: Desk) -> None:
    desk.promotes(1)
    desk.promotes(2)
    first, *lines = desk.book.path(NAME).read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    wrong = [
        [*lines[:at], *lines[at + 1 :]] for at in range(3)
    ]  # without the last one it is an older file, which whoever follows it refuses
    wrong += [[*lines[:at], b, a, *lines[at + 2 :]] for at, (a, b) in enumerate(pairwise(lines))]
    wrong += [[*lines, lines[-1]], [lines[0].replace(b"Dora", b"Dara"), *lines[1:]]]
    for changed in wrong:
        with pytest.raises(PolicyError):
            parse_decisions(first + b"".join(changed), NAME, KEYS)
    with pytest.raises(PolicyError, match="two people"):
        parse_decisions(first, NAME, (APPROVER.verifier, APPROVER.verifier))
    with pytest.raises(PolicyError):
        parse_decisions(first + b"".join(lines), "other", KEYS)


@given(st.one_of(st.binary(max_size=200), st.text().map(lambda text: json.dumps(text).encode())))
def test_the_parser_is_total(line: bytes) -> None:
    for data in (line, b"hanse serving decisions v1\n" + line + b"\n"):
        try:
            read = parse_decisions(data, NAME, KEYS)
        except HanseError:
            continue
        assert read.decisions == ()


def test_the_log_decides_whether_a_decision_stands(desk: Desk) -> None:
    def fails(*_: object) -> None:
        raise AuditError("audit.unavailable", "full")

    with pytest.raises(AuditError):
        desk.book.decide(
            NAME, APPROVER, fails, kind="promote", reason="r", by="Dora", at=NOW, **ref(1)._asdict()
        )
    assert not desk.book.path(NAME).exists()


@pytest.mark.parametrize("share", [1, 5, 50, 99])
def test_a_canary_gets_its_share_and_keeps_whom_it_has(share: int) -> None:
    # 20,000 subjects: the chance to be off by 4.5 standard deviations is below 1 in 100,000.
    key, subjects = routing_key(bytes(32), "a" * 64), [f"customer-{n}".encode() for n in range(20_000)]
    mine = {subject for subject in subjects if gets_canary(key, subject, share)}
    expected = 20_000 * share / 100
    assert abs(len(mine) - expected) < 4.5 * (expected * (1 - share / 100)) ** 0.5
    assert all(gets_canary(key, subject, share + 1) for subject in mine)
    other = routing_key(bytes(32), "b" * 64)
    assert mine != {subject for subject in subjects if gets_canary(other, subject, share)}
