"""Attacks by the holder of the log's key, and who notices each; the table of docs/explanation-evidence.md.

Run as a program, it prints the table as it is measured now: ``python -m tests.audit.test_audit_attacks``.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.audit.attack_tools import (
    ACTORS,
    KEY,
    ORIGIN,
    SIZE,
    Finding,
    World,
    copy_of,
    cosigned,
    cosigner,
    drop_guards,
    edit,
    finding,
    forge,
    policy,
    restore_guards,
    show,
)

from hanse.audit import AuditLog, Event, EventType, open_checkpoint, verify_log
from hanse.audit.policy_file import quorum_of
from hanse.audit.reader import LogReader
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import WitnessRefusal
from hanse.crypto import SigningKey
from hanse.errors import AuditError

PAGE = Path(__file__).resolve().parents[2] / "docs/explanation-evidence.md"


class Found(NamedTuple):
    """What notices an attack, in the columns of the table.

    Attributes:
        alone: Verifying the log as it is shown now.
        saved: Verifying it with the checkpoint that the reviewer saved before.
        witness: The witness that is shown the log.
        quorum: The trust policy: two of three witnesses.
    """

    alone: Finding
    saved: Finding
    witness: Finding
    quorum: Finding


Attack = Callable[[World], Path]
GUARDED = "audit_entries_UPDATE"
NOTHING = Finding()
REWRITTEN = Finding("audit.integrity", "rewritten")
SHORTER = Finding("audit.integrity", "the log has 8 entries")
UNKNOWN = Finding("identity.unknown-signer", "no signature by a known key")
NOBODY = Finding("audit.quorum", "not cosigned by: member0, member1, member2")


def broken(says: str) -> Finding:
    return Finding("audit.integrity", says)


def refused(kind: str) -> Finding:
    return Finding("audit.witness-refused", kind)


def rewrite(world: World) -> Path:
    world.honest_growth()
    leaves = world.leaves()
    leaves[4] = edit(leaves[4], round=9)
    forge(world.store, leaves)
    return world.store


def fork(world: World) -> Path:
    leaves = world.leaves()
    leaves[4] = edit(leaves[4], round=9)
    forge(world.store, leaves)
    return world.store


def truncate(world: World) -> Path:
    forge(world.store, world.leaves()[:8])
    return world.store


def regrow(world: World) -> Path:
    truncate(world)
    world.honest_growth(7)
    return world.store


def reorder(world: World) -> Path:
    leaves = world.leaves()
    leaves[2], leaves[3] = leaves[3], leaves[2]
    forge(world.store, leaves)
    return world.store


def reorder_with_care(world: World) -> Path:
    """Numbers and times go on as before; only what happened changes places."""
    leaves = world.leaves()
    documents = [json.loads(leaf) for leaf in leaves]
    moved = ("type", "round")
    for one, other in ((2, 5), (5, 2)):
        leaves[one] = edit(leaves[one], **{name: documents[other][name] for name in moved})
    assert leaves != world.leaves()
    forge(world.store, leaves)
    return world.store


def drop_a_trigger(world: World) -> Path:
    with closing(sqlite3.connect(world.store)) as database, database:
        data = edit(world.leaves()[4], round=9)
        drop_guards(database, GUARDED)
        database.execute("UPDATE audit_entries SET data = ? WHERE entry = 4", (data,))
    return world.store


def drop_a_trigger_and_put_it_back(world: World) -> Path:
    drop_a_trigger(world)
    with closing(sqlite3.connect(world.store)) as database, database:
        restore_guards(database, GUARDED)
    return world.store


def swap_stores(world: World) -> Path:
    """Another log of the same holder, with the same key, in the place of this one."""
    other = world.new_log("other", "coordinator.example/other")
    other.replace(world.store)
    return world.store


def older_copy(world: World) -> Path:
    """A true copy of the log from before: a replayed checkpoint with all that belongs to it."""
    old = copy_of(world.store, "old")
    world.honest_growth()
    for witness in world.witnesses:
        show(witness, world.store)
    world.saved = verify_log(world.store, KEY.verifier).checkpoint
    return old


def foreign_key(world: World) -> Path:
    forge(world.store, world.leaves(), SigningKey(ORIGIN, bytes(32)))
    return world.store


def earlier_time(world: World) -> Path:
    """An entry that is appended as if it had been written before."""
    leaves = world.leaves()
    last = json.loads(leaves[-1])
    again = edit(leaves[-1], seq=last["seq"] + 1, time="2025-12-31T00:00:00.000Z")
    forge(world.store, [*leaves, again])
    return world.store


def collude_with_one(world: World) -> Path:
    world.witnesses[2] = colluding(world, 2)
    return rewrite(world)


def colluding(world: World, number: int) -> Witness:
    """A witness that forgets what it signed, with its key."""
    return world.new_witness(number, "-forgetful")


def clock_of_a_witness(world: World) -> Path:
    world.honest_growth()
    world.clocks[0].now = world.clocks[0].now.replace(year=2025)
    return world.store


def keep_their_signatures(world: World) -> Path:
    """A rewritten log that still shows what the witnesses signed before."""
    lines = [show(witness, world.store) for witness in world.witnesses]
    fork(world)
    log = AuditLog.open(world.store, KEY, ACTORS[0])
    for line in lines:
        log.cosign(SIZE, line)
    log.close()
    return world.store


HONEST = Finding("audit.quorum", "not cosigned by: member0, member1")
MOVED = Finding("identity.bad-signature", "not cosigned by member0")
GUARD = broken(f"guards were dropped or changed: {GUARDED}")
HASH = broken("entry 4 does not have beside it its leaf hash")
ACTOR = broken("entry 2 is not the next of its actor")
OTHER = broken("this is the log coordinator.example/other, not coordinator.example/log")
KEYS = broken("not a log of the expected key")
OLDER = broken(f"entry {SIZE} is older than the one before")
ATTACKS: dict[str, tuple[Attack, Found]] = {
    "rewrite an entry, sign again, go on": (
        rewrite, Found(NOTHING, REWRITTEN, refused("rewrite"), NOBODY)),
    "fork: two logs of equal size": (
        fork, Found(NOTHING, REWRITTEN, refused("fork"), NOBODY)),
    "truncate, sign again": (
        truncate, Found(NOTHING, SHORTER, refused("truncation"), NOBODY)),
    "truncate, go on differently": (
        regrow, Found(NOTHING, REWRITTEN, refused("rewrite"), NOBODY)),
    "reorder entries, sign again": (
        reorder, Found(ACTOR, ACTOR, refused("fork"), NOBODY)),
    "reorder what happened, keep numbers and times, sign again": (
        reorder_with_care, Found(NOTHING, REWRITTEN, refused("fork"), NOBODY)),
    "drop a trigger, edit an entry, do not sign": (
        drop_a_trigger, Found(GUARD, GUARD, GUARD, GUARD)),
    "the same, and put the trigger back": (
        drop_a_trigger_and_put_it_back, Found(HASH, HASH, NOTHING, NOTHING)),
    "swap the stores of two logs of one key": (
        swap_stores, Found(OTHER, OTHER, refused("foreign-key"), UNKNOWN)),
    "replay an old checkpoint, with the log that belonged to it": (
        older_copy, Found(NOTHING, broken("the log has 12 entries"), refused("truncation"), NOBODY)),
    "sign with a foreign key": (
        foreign_key, Found(KEYS, KEYS, refused("foreign-key"), UNKNOWN)),
    "append an entry with an earlier time": (
        earlier_time, Found(OLDER, OLDER, NOTHING, NOTHING)),
    "rewrite, and collude with one witness, below the quorum": (
        collude_with_one, Found(NOTHING, REWRITTEN, refused("rewrite"), HONEST)),
    "rewrite, and keep the witnesses' signatures": (
        keep_their_signatures, Found(NOTHING, REWRITTEN, refused("fork"), MOVED)),
    "set back the clock of one witness": (
        clock_of_a_witness, Found(NOTHING, NOTHING, refused("clock"), NOTHING)),
}  # fmt: skip


def measure(name: str, folder: Path) -> Found:
    """Makes an attack and lets everybody look."""
    world = World(folder)
    store = ATTACKS[name][0](world)
    return Found(
        finding(lambda: verify_log(store, KEY.verifier, origin=ORIGIN)),
        finding(lambda: verify_log(store, KEY.verifier, origin=ORIGIN, since=world.saved)),
        finding(lambda: show(world.witnesses[0], store)),
        finding(lambda: policy().check(cosigned(world.witnesses, store))),
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, tmp_path: Path) -> None:
    measured, expected = measure(name, tmp_path), ATTACKS[name][1]
    for column, one, other in zip(Found._fields, expected, measured, strict=True):
        assert one.covers(other), f"{column}: {other.shown()}"


def test_an_untouched_log_passes_everything(tmp_path: Path) -> None:
    """Otherwise the table would say nothing."""
    world = World(tmp_path)
    world.honest_growth()
    assert verify_log(world.store, KEY.verifier, origin=ORIGIN, since=world.saved).size == SIZE + 3
    assert policy().check(cosigned(world.witnesses, world.store)).size == SIZE + 3


def test_the_process_that_has_the_log_open_notices(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = AuditLog.open(world.store, KEY, ACTORS[0])
    fork(world)
    with pytest.raises(AuditError, match="rewritten while open"):
        log.append(Event(type=EventType.RUN_FINISHED, run="r1"))


def test_an_old_checkpoint_handed_to_a_witness_is_a_rollback(tmp_path: Path) -> None:
    world = World(tmp_path)
    with LogReader.open(world.store) as reader:
        old = reader.note
    world.honest_growth()
    show(world.witnesses[0], world.store)
    with pytest.raises(WitnessRefusal, match="rollback"):
        world.witnesses[0].add_checkpoint(SIZE, (), old)


def test_a_fork_leaves_evidence_that_convicts(tmp_path: Path) -> None:
    world = World(tmp_path)
    fork(world)
    with pytest.raises(WitnessRefusal) as caught:
        show(world.witnesses[0], world.store)
    assert caught.value.convicts
    assert caught.value.known is not None
    one, other = (
        open_checkpoint(note, KEY.verifier) for note in (caught.value.known, caught.value.submitted)
    )
    assert (one.origin, one.size) == (other.origin, other.size) == (ORIGIN, SIZE)
    assert one.root != other.root


class TestLimits:
    """What is not noticed, as the page says it."""

    def test_a_quorum_that_colludes(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.witnesses[1:] = [colluding(world, 1), colluding(world, 2)]
        store = rewrite(world)
        assert policy().check(cosigned(world.witnesses, store)).size == SIZE + 3
        with pytest.raises(WitnessRefusal, match="rewrite"):  # the honest one still says so
            show(world.witnesses[0], store)

    def test_all_parties_collude_and_nobody_saved_a_checkpoint(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.witnesses = [colluding(world, number) for number in range(3)]
        store = rewrite(world)
        assert verify_log(store, KEY.verifier, origin=ORIGIN).size == SIZE + 3
        assert policy().check(cosigned(world.witnesses, store)).size == SIZE + 3

    def test_a_quorum_of_half_lets_a_fork_have_two_quorums(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        other = copy_of(world.store, "other-side")
        leaves = [*world.leaves(), edit(world.leaves()[-1], seq=99, round=9)]
        forge(other, leaves)
        world.honest_growth(1)
        sides = [(world.store, world.witnesses[:1]), (other, world.witnesses[1:])]
        one_is_enough = quorum_of(KEY.verifier, [cosigner(number).verifier for number in range(3)], 1)
        notes = [cosigned(witnesses, store) for store, witnesses in sides]
        roots = {one_is_enough.check(note).root for note in notes}
        assert len(roots) == 2
        assert [policy().is_met(note) for note in notes] == [
            False,
            True,
        ]  # of two of three, one side has none

    def test_what_was_never_appended(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        log = AuditLog.open(world.store, KEY, ACTORS[0])
        log.append(Event(type=EventType.RUN_STARTED, run="r2"))  # and no word of how r2 ended
        log.close()
        verify_log(world.store, KEY.verifier, since=world.saved)
        policy().check(cosigned(world.witnesses, world.store))


def test_every_attack_is_noticed_by_somebody() -> None:
    for found in (found for _, found in ATTACKS.values()):
        assert set(found) != {NOTHING}


def table(rows: dict[str, Found]) -> str:
    """The table of the page."""
    heads = (
        "attack by the holder of the log's key",
        "log alone",
        "with a saved checkpoint",
        "witness",
        "quorum",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(one.shown() for one in found)} |" for name, found in rows.items()]
    return "\n".join(lines) + "\n"


def test_the_page_has_the_table() -> None:
    assert table({name: found for name, (_, found) in ATTACKS.items()}) in PAGE.read_text(encoding="utf-8")


def main() -> None:
    rows = {}
    for name in ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = measure(name, Path(folder))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
