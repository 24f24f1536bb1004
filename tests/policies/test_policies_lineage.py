"""Which versions contain withdrawn subjects: exact from the kept sets, and never too late without them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hanse.audit.subject_set import Epoch, SubjectSet, subject_tags
from hanse.policies import ConsentEvent, ConsentLedger
from hanse.policies.fields import to_ms
from hanse.policies.lineage import AdmittedSet, Contained, Lineage, Withdrawals
from hanse.policies.subject_sets import SubjectSets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADMITTED = NOW - timedelta(days=40)
PURPOSE = "joint_modelling.propensity"
EPOCH = Epoch("a" * 64, "run-1", 1)
INSIDE, OUTSIDE, NEVER = ("1" * 32, "2" * 32, "3" * 32)
AGREEMENT: Any = SimpleNamespace(
    training=SimpleNamespace(rounds=2, round_timeout_s=60),
    consent=SimpleNamespace(retrain_days=30, propagation_hours=24),
)


class World:
    """A ledger with three subjects, of whom one was in the run."""

    def __init__(self, folder: Path) -> None:
        self.ledger = ConsentLedger(folder / "consent.db")
        self.sets = SubjectSets(folder / "sets")
        for ref in (INSIDE, OUTSIDE, NEVER):
            self.grants(ref, ADMITTED - timedelta(days=1))
        secrets = {ref: self.ledger.secrets_of([ref], ADMITTED)[0] for ref in (INSIDE, OUTSIDE)}
        made = SubjectSet(subject_tags([secrets[INSIDE]], EPOCH))
        self.sets.keep(made, EPOCH, NOW + timedelta(days=365))
        self.admitted = AdmittedSet(EPOCH, made.root.hex(), 1, to_ms(ADMITTED))

    def grants(self, ref: str, at: datetime) -> None:
        event = {
            "event_id": f"grant-{ref}-{to_ms(at)}", "recorded_at": at, "subject_ref": ref, "state": "given",
            "purposes": (PURPOSE,), "given_at": at,
        }  # fmt: skip
        self.ledger.record([ConsentEvent.model_validate(event)])

    def follow(self, *sets: AdmittedSet, own: bool = True) -> Withdrawals:
        return Withdrawals(Lineage(AGREEMENT, PURPOSE, own, ADMITTED + timedelta(minutes=3), sets))

    def contained(self, *sets: AdmittedSet, own: bool = True) -> Contained:
        return self.follow(*sets, own=own).update(self.ledger, self.sets)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()


def test_only_who_was_in_the_run_counts_and_the_deadline_runs_from_the_first(world: World) -> None:
    follow = world.follow(world.admitted)
    for ref in (OUTSIDE, NEVER):
        world.ledger.withdraw(ref, "joint_modelling", NOW - timedelta(days=20))
    assert follow.update(world.ledger, world.sets) == Contained(0, None, None, exact=True)
    at = NOW - timedelta(days=10)
    world.ledger.withdraw(INSIDE, PURPOSE, at)
    found = follow.update(world.ledger, world.sets)  # from the ledger's new events alone
    assert found == Contained(1, at, at + timedelta(days=30), exact=True)
    assert (found.is_over(at + timedelta(days=30)), found.is_over(NOW)) == (True, False)
    assert world.contained(world.admitted) == found
    world.grants(INSIDE, NOW)  # a new consent is for new models
    assert follow.update(world.ledger, world.sets) == world.contained(world.admitted) == found


def test_another_purpose_and_another_members_run_do_not_count(world: World) -> None:
    world.ledger.withdraw(INSIDE, "scoring", NOW)
    assert world.contained(world.admitted).subjects == 0
    world.ledger.withdraw(INSIDE, PURPOSE, NOW)
    assert world.contained(own=False).subjects == 0


def test_a_withdrawal_that_was_told_too_late_counts_from_the_admission_on(world: World) -> None:
    early = ADMITTED - timedelta(hours=2)
    event = {
        "event_id": "late", "recorded_at": ADMITTED + timedelta(days=1), "subject_ref": INSIDE,
        "state": "withdrawn", "purposes": (PURPOSE,), "given_at": early,
    }  # fmt: skip
    world.ledger.record([ConsentEvent.model_validate(event)])
    found = world.contained(world.admitted)
    assert found == Contained(1, ADMITTED, ADMITTED + timedelta(days=30), exact=True)


def test_a_forgotten_secret_counts_as_contained(world: World) -> None:
    world.ledger.withdraw(OUTSIDE, PURPOSE, NOW)
    world.ledger.forget(OUTSIDE, NOW)
    assert world.contained(world.admitted).subjects == 1


@pytest.mark.parametrize("loss", ["deleted", "damaged", "unknown"])
def test_without_the_sets_everybody_who_withdrew_since_counts(world: World, loss: str) -> None:
    world.ledger.withdraw(OUTSIDE, PURPOSE, NOW - timedelta(days=1))
    (kept,) = world.sets.kept()
    if loss == "deleted":
        world.sets.delete(kept)
    if loss == "damaged":
        kept.path.write_bytes(kept.path.read_bytes()[:-32] + bytes(32))
    found = world.contained(*([] if loss == "unknown" else [world.admitted]))
    assert (found.subjects, found.exact) == (1, False)
