"""Decide, log, read: in that order, and nothing but what was decided."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typing_extensions import override

from hanse.audit import Actor, AuditLog, LogStore, verify_log
from hanse.audit.subject_set import Epoch, subject_tag
from hanse.client.data import DataSource, Hidden
from hanse.client.gate import in_holdout
from hanse.crypto import canonical_json, read_secret, sha256_hex
from hanse.errors import AuditError, ConfigurationError, HanseError, PolicyError
from hanse.policies.subject_sets import SubjectSets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from tests.client.conftest import World

    from hanse.client.gate import Admitted
    from hanse.enforcement import Columns


class WatchedSource(DataSource):
    """Keeps what was read, and what the log said at that moment."""

    def __init__(self, world: World) -> None:
        super().__init__(world.source().manifest)
        self.world = world
        self.reads: list[tuple[list[str], list[str]]] = []
        self.logged: list[str] = []

    @override
    def read(
        self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden
    ) -> tuple[Columns, npt.NDArray[np.str_]]:
        self.reads.append((list(columns), list(subject_ids)))
        self.logged = [entry.type.value for entry in self.world.entries()]
        return super().read(columns, subject_ids, hidden)


def ages(admitted: Admitted) -> list[float]:
    parts = (admitted.training, admitted.holdout)
    return sorted(value for part in parts for value in np.asarray(part.columns["age"], dtype=float).tolist())


def expected_ages(numbers: Sequence[int]) -> list[float]:
    return sorted(float(20 + number % 50) for number in numbers)


def test_the_decision_is_in_the_log_before_data_is_read(world: World) -> None:
    source = WatchedSource(world)
    world.gate(source).open(world.step(1))
    assert source.logged[-1] == "round.admitted"
    assert len(source.reads) == 1


def test_admits_who_consented_and_their_values(world: World) -> None:
    source = WatchedSource(world)
    admitted = world.gate(source).open(world.step(1))
    [(columns, subjects)] = source.reads
    assert columns == ["age", "job"]
    assert sorted(subjects) == [f"person-{n:04}" for n in range(140)]
    assert ages(admitted) == expected_ages(range(140))
    assert (admitted.considered, admitted.excluded_by_rule) == (160, {"P01": 20})
    for part in (admitted.training, admitted.holdout):
        assert set(part.columns) == {"age", "job"}
        assert part.rows == len(part.labels) == len(part.columns["age"])
        assert part.labels.dtype == np.float32


def test_labels_and_values_belong_to_the_same_subject(world: World) -> None:
    source = WatchedSource(world)
    admitted = world.gate(source).open(world.step(1))
    numbers = [int(subject.removeprefix("person-")) for subject in source.reads[0][1]]
    labels = np.concatenate([admitted.training.labels, admitted.holdout.labels])
    values = np.concatenate([admitted.training.columns["age"], admitted.holdout.columns["age"]])
    assert labels.tolist() == [float(n % 3 == 0) for n in numbers]
    assert values.tolist() == [20 + n % 50 for n in numbers]
    assert len(source.reads[0][1][: admitted.training.rows]) == admitted.training.rows


def test_the_held_out_are_those_whom_the_keyed_hash_names(world: World) -> None:
    source = WatchedSource(world)
    admitted = world.gate(source).open(world.step(1))
    key = read_secret(world.home.pseudonym_key)
    out = {s for s in source.reads[0][1] if in_holdout(key, world.ref(s), 0.2)}
    assert set(source.reads[0][1][admitted.training.rows :]) == out
    assert 10 <= len(out) <= 50


def test_the_holdout_coin_is_a_keyed_hash() -> None:
    digest = hmac.digest(b"k" * 32, b"hanse/holdout\0" + b"0" * 32, hashlib.sha256)
    share = int.from_bytes(digest[:8], "big") / 2**64
    assert in_holdout(b"k" * 32, "0" * 32, np.nextafter(share, 1))
    assert not in_holdout(b"k" * 32, "0" * 32, share)
    assert not in_holdout(b"k" * 32, "0" * 32, 0.0)
    assert in_holdout(b"k" * 32, "0" * 32, 1.0)


def test_a_withdrawal_counts_from_the_next_opening(world: World) -> None:
    source = WatchedSource(world)
    gate = world.gate(source)
    gate.open(world.step(1))
    world.ledger.withdraw(world.ref("person-0007"), "joint_modelling", world.now)
    admitted = gate.open(world.step(2))

    before, after = (set(subjects) for _, subjects in source.reads)
    assert before - after == {"person-0007"}
    assert not after - before
    assert ages(admitted) == expected_ages([n for n in range(140) if n != 7])
    first, second = [entry for entry in world.entries() if entry.type == "round.admitted"]
    assert first.counts is not None
    assert second.counts is not None
    assert (first.counts.rows_in, first.counts.rows_out, dict(first.counts.by_rule)) == (
        160,
        140,
        {"P01": 20},
    )
    assert (second.counts.rows_in, second.counts.rows_out) == (160, 139)
    assert dict(second.counts.by_rule) == {"P01": 20, "P10": 1}
    assert first.consent is not None
    assert second.consent is not None
    assert second.consent.head == first.consent.head + 1
    assert second.consent.root != first.consent.root
    assert second.subject_set_root != first.subject_set_root


def test_what_the_entry_of_a_decision_says(world: World) -> None:
    world.gate().open(world.step(3))
    entry = world.entries()[-1]
    assert (entry.type, entry.decision, entry.run, entry.round) == ("round.admitted", "permit", "run-1", 3)
    assert entry.agreement == world.signed.digest
    assert entry.purpose == "joint_modelling.propensity"
    assert entry.columns_digest == sha256_hex(canonical_json(["age", "bought", "job"]))
    assert entry.app_digest == world.signed.agreement.software.digest
    line = b"".join(verify_log(world.home.log, world.key.verifier).leaves)
    assert b"person-" not in line
    assert world.ref("person-0001").encode() not in line


def admissions(world: World) -> list[tuple[int | None, int | None, str | None]]:
    """Epoch, size and root of each admission."""
    found = [entry for entry in world.entries() if entry.type == "round.admitted"]
    return [(entry.subject_epoch, entry.subject_set_size, entry.subject_set_root) for entry in found]


def test_a_set_is_committed_to_anew_only_when_it_changes(world: World) -> None:
    gate = world.gate()
    admitted, *_ = [gate.open(world.step(number)) for number in (0, 1, 2)]
    world.ledger.withdraw(world.ref("person-0007"), "joint_modelling", world.now)
    gate.open(world.step(3))
    gate.open(dataclasses.replace(world.step(1), run="run-2"))
    first, *same, other, of_another_run = admissions(world)
    assert same == [first, first]
    assert (first[:2], other[:2], of_another_run[:2]) == ((1, 140), (2, 139), (1, 139))
    assert len({first[2], other[2], of_another_run[2]}) == 3
    parts = (admitted.training, admitted.holdout)
    assert {part.subject_set_root.hex() for part in parts} == {first[2]}
    assert sum(part.rows for part in parts) == 140


def test_the_sets_are_kept_and_name_nobody(world: World) -> None:
    gate = world.gate()
    gate.open(world.step(1))
    world.ledger.withdraw(world.ref("person-0007"), "joint_modelling", world.now)
    gate.open(world.step(2))
    world.gate().open(world.step(3))  # as after a restart: a number that no set had
    assert [epoch for epoch, _, _ in admissions(world)] == [1, 2, 3]
    sets = SubjectSets(world.home.subject_sets)
    secrets = [world.ledger.secret_of(world.ref(f"person-{number:04}")) for number in range(160)]
    for epoch, size, root in admissions(world):
        assert epoch
        assert size
        assert root
        kept = sets.open(root, size)
        assert kept is not None
        place = Epoch(world.signed.digest, "run-1", epoch)
        own = [None if s is None or s.secret is None else subject_tag(s.secret, place) for s in secrets]
        admitted = [number for number, tag in enumerate(own) if tag in kept.tags]
        assert admitted == [number for number in range(140) if epoch == 1 or number != 7]
        data = (world.home.subject_sets / f"{root}.tags").read_bytes()
        assert len(data) < 300 + 32 * size
        assert b"person-" not in data
        assert bytes.fromhex(world.ref("person-0001")) not in data
    assert secrets[150] is None  # whoever was never admitted needs none


def test_old_sets_are_deleted_and_that_is_logged_first(world: World) -> None:
    gate = world.gate()
    gate.open(world.step(1))
    [kept] = SubjectSets(world.home.subject_sets).kept()
    agreement = world.signed.agreement
    assert kept.head.keep_until > world.now + timedelta(days=agreement.retention.model_days)
    old = kept.head.model_copy(update={"keep_until": world.now - timedelta(seconds=1)})
    head, _, tags = kept.path.read_bytes().partition(b"}\n")
    assert head.startswith(b"hanse subject set v1\n{")
    line = canonical_json(old.model_dump(mode="json"))
    kept.path.write_bytes(b"hanse subject set v1\n" + line + b"\n" + tags)
    gate.open(world.step(2))
    assert kept.path.is_file()  # looked at once per run
    gate.open(dataclasses.replace(world.step(1), run="run-2"))
    assert not kept.path.exists()
    entries = world.entries()
    [place] = [number for number, entry in enumerate(entries) if entry.type == "subjects.deleted"]
    assert (entries[place].subject_set_root, entries[place].run) == (kept.root, "run-1")
    assert entries[place + 1].type == "round.admitted"


def test_a_set_that_cannot_be_kept_opens_nothing(world: World) -> None:
    source = WatchedSource(world)
    world.home.subject_sets.write_bytes(b"in the way")
    with pytest.raises(ConfigurationError) as caught:
        world.gate(source).open(world.step(1))
    assert caught.value.code == "config.unwritable"
    assert source.reads == []


@pytest.mark.parametrize("change", [b"", b"hanse subject set v1\n", b"hanse subject set v1\n{}\n", b"other"])
def test_a_file_that_is_no_set_is_refused(world: World, change: bytes) -> None:
    world.gate().open(world.step(1))
    sets = SubjectSets(world.home.subject_sets)
    [kept] = sets.kept()
    whole = kept.path.read_bytes()
    kept.path.write_bytes(change)
    with pytest.raises(ConfigurationError, match="not a set of subjects"):
        sets.open(kept.root, 140)
    for changed in (whole[:-1], whole + b"x", whole[:-32], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.path.write_bytes(changed)
        with pytest.raises(AuditError) as caught:
            sets.open(kept.root, 140)
        assert caught.value.code == "audit.subject-proof"
    assert sets.open("0" * 64, 140) is None


class FullDisk(LogStore):
    """Takes nothing more."""

    full = False

    @override
    def commit(self) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().commit()


def test_without_a_log_nothing_is_read(world: World) -> None:
    source = WatchedSource(world)
    actor = Actor(organisation="brand", key_id=world.key.verifier.key_id, role="member")
    store = FullDisk(world.home.log)
    log = AuditLog.open(world.home.log, world.key, actor, store=store)
    store.full = True
    with pytest.raises(AuditError) as caught:
        world.gate(source, log).open(world.step(1))
    assert caught.value.code == "audit.unavailable"
    assert source.reads == []
    assert "round.admitted" not in [entry.type for entry in world.entries()]


def test_too_small_a_cohort_is_refused_and_logged(world: World) -> None:
    source = WatchedSource(world)
    gate = world.gate(source)
    for number in range(40):
        world.ledger.withdraw(world.ref(f"person-{number:04}"), "joint_modelling", world.now)
    assert gate.open(world.step(1)).training.rows > 0
    world.ledger.withdraw(world.ref("person-0040"), "joint_modelling", world.now)
    with pytest.raises(PolicyError) as caught:
        gate.open(world.step(2))
    assert (caught.value.code, caught.value.rule) == ("policy.cohort", "P15")
    assert len(source.reads) == 1
    entry = world.entries()[-1]
    assert (entry.type, entry.decision, entry.round) == ("round.denied", "deny", 2)
    assert entry.reasons == ("policy.cohort", "P15")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "age"', 'name = "years"'),
        ('kind = "numeric"', 'kind = "categorical"'),
        ('classification = "behavioural"', 'classification = "sensitive"'),
        ('label_column = "bought"', 'label_column = "secret"'),
    ],
)
def test_columns_that_the_site_declares_otherwise_are_refused(world: World, old: str, new: str) -> None:
    text = world.home.settings.read_text()
    assert old in text
    world.home.settings.write_text(text.replace(old, new))
    source = WatchedSource(world)
    with pytest.raises(PolicyError) as caught:
        world.gate(source).open(world.step(1))
    assert (caught.value.code, caught.value.rule) == ("policy.column", "P13")
    assert source.reads == []
    assert world.entries()[-1].reasons == ("policy.column", "P13")


def test_an_expired_agreement_opens_nothing(world: World) -> None:
    source = WatchedSource(world)
    gate = world.gate(source)
    world.now += timedelta(days=91)
    with pytest.raises(PolicyError):
        gate.open(world.step(1))
    assert source.reads == []
    assert world.entries()[-1].type == "round.denied"


def test_rows_that_vanish_while_read_are_noticed(world: World) -> None:
    class Vanishing(WatchedSource):
        @override
        def read(
            self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden
        ) -> tuple[Columns, npt.NDArray[np.str_]]:
            return super().read(columns, subject_ids[1:], hidden)

    with pytest.raises(PolicyError) as caught:
        world.gate(Vanishing(world)).open(world.step(1))
    assert caught.value.rule == "P32"


def test_data_that_is_not_as_declared_is_an_error(world: World) -> None:
    world.write([("person-0001", 1, "a", "x", "yes")] * 2)
    with pytest.raises(ConfigurationError):
        world.gate().open(world.step(1))


def test_nothing_of_a_subject_is_in_the_log_or_in_errors(world: World) -> None:
    gate = world.gate()
    gate.open(world.step(1))
    world.write([(f"person-{n:04}", f"value-{n}", "a", "x", "yes") for n in range(160)])
    with pytest.raises(HanseError) as caught:
        gate.open(world.step(2))
    assert "value-" not in str(caught.value)
    log = b"".join(verify_log(world.home.log, world.key.verifier).leaves)
    assert not [word for word in (b"value-", b"person-", b"private-") if word in log]
    assert verify_log(world.home.log, world.key.verifier).size >= 3
