"""What every log promises, on SQLite and on PostgreSQL alike."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Event,
    EventType,
    LogReader,
    Node,
    TreeHashes,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    open_checkpoint,
    root_at,
    verify_log,
)
from hanse.crypto import SigningKey
from hanse.errors import AuditError, ConfigurationError, ProtocolError

ORIGIN = "brand.example/log"
WITNESS = "\u2014 witness AAAAAAA=\n"
LATER = "\u2014 witness AAAAAAE=\n"
OTHER = "\u2014 other AAAAAAA=\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new log can be, on each database in turn."""
    if request.param == "sqlite":
        return tmp_path / "audit.db"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
def log(place: Path | str, key: SigningKey, actor: Actor) -> Iterator[AuditLog]:
    AuditLog.create(place, ORIGIN, key)
    opened = AuditLog.open(place, key, actor)
    yield opened
    opened.close()


def connect(place: Path | str) -> Connection:
    url = place if isinstance(place, str) else f"sqlite:///{place}"
    return create_engine(url, isolation_level="AUTOCOMMIT").connect()


def test_entries_proofs_and_checkpoints_of_every_size(log: AuditLog, key: SigningKey, event: Event) -> None:
    notes = [log.checkpoint()]
    for count in (1, 2, 1, 5, 8, 3):
        log.append(*[event] * count)
        notes.append(log.checkpoint())
    with log.reader() as reader:
        assert (reader.origin, reader.size, reader.note) == (ORIGIN, 20, log.checkpoint())
        leaves = list(reader.leaves(0, 20))
        tree = TreeHashes.of_leaves(leaves)
        for size in range(21):
            assert root_at(size, reader.hashes) == root_at(size, tree)
        roots = [open_checkpoint(note, key.verifier) for note in notes]
        for old in roots:
            assert old.root == root_at(old.size, tree)
            proof = consistency_proof(old.size, 20, reader.hashes)
            check_consistency(old.size, old.root, 20, roots[-1].root, proof)
        for index, leaf in enumerate(leaves):
            check_inclusion(leaf, index, 20, roots[-1].root, inclusion_proof(index, 20, reader.hashes))
        nodes = [Node(level, index) for level in range(5) for index in range(20 >> level)]
        assert reader.hashes.read(nodes) == tree.read(nodes)
        assert reader.hashes.read([]) == []
        for missing in (Node(0, 20), Node(2, 5), Node(5, 0), Node(-1, 0)):
            with pytest.raises(AuditError, match=r"audit\.integrity"):
                reader.hashes.read([missing])
        with pytest.raises(AuditError, match="entry 20 is missing"):
            list(reader.leaves(18, 21))
    verified = verify_log(log.place, key.verifier, origin=ORIGIN)
    assert list(verified.leaves) == leaves


def test_a_reader_sees_one_moment(log: AuditLog, event: Event) -> None:
    log.append(event)
    with log.reader() as reader:
        log.append(event)
        log.cosign(1, WITNESS)
        assert (reader.size, reader.note.count("\u2014".encode())) == (1, 1)
    with LogReader.open(log.place) as reader:
        assert reader.size == 2


def test_a_reader_cannot_write(log: AuditLog) -> None:
    with log.reader() as reader, pytest.raises(Exception, match=r"readonly|read-only"):
        reader._rows._fetch("UPDATE audit_head SET size = 7 RETURNING size")


def test_writers_in_turn_and_at_once(
    log: AuditLog, key: SigningKey, actor: Actor, place: Path | str, event: Event
) -> None:
    scorer = AuditLog.open(place, key, actor.model_copy(update={"role": "scorer"}))
    threads = [
        threading.Thread(target=lambda writer=writer: [writer.append(event, event) for _ in range(10)])
        for writer in (log, scorer, log, scorer)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scorer.close()
    verified = verify_log(place, key.verifier)
    assert verified.size == 80
    assert {entry.actor.role for entry in verified.entries} == {"member", "scorer"}
    assert log.append(event) == range(80, 81)


def test_threads_share_commits(log: AuditLog, event: Event) -> None:
    futures = [log.submit(event, event) for _ in range(120)]
    log.flush()
    assert [future.result() for future in futures] == [range(2 * n, 2 * n + 2) for n in range(120)]
    times = [leaf[leaf.rindex(b'"time"') :] for leaf in log.reader().leaves(0, 240)]
    assert len({bytes(time) for time in times[:100]}) == 1  # one commit, one time


def test_commits_of_more_than_the_maximum(log: AuditLog, key: SigningKey, event: Event) -> None:
    assert log.append(*[event] * 1_000) == range(1_000)
    assert verify_log(log.place, key.verifier).size == 1_000


def test_cosignatures_stay_with_their_checkpoint(log: AuditLog, key: SigningKey, event: Event) -> None:
    log.append(event)
    early = log.checkpoint()
    log.append(event, event)
    log.cosign(1, WITNESS)  # after the log has gone on
    log.cosign(3, WITNESS)
    log.cosign(3, OTHER)
    log.cosign(3, LATER)
    newest = log.checkpoint()
    assert newest.count(b"\n") == 5
    log.append(event)
    with log.reader() as reader:
        assert reader.note == log.checkpoint()
        assert reader.checkpoints() == [
            early + WITNESS.encode(), newest + (LATER + OTHER).encode(), log.checkpoint(),
        ]  # fmt: skip
        by_other = b"\xe2\x80\x94 other"
        assert reader.note_at_least(0, lambda note: by_other in note) == newest + (LATER + OTHER).encode()
        assert reader.note_at_least(0, lambda _: True) == early + WITNESS.encode()
        assert reader.note_at_least(2, lambda _: True) == newest + (LATER + OTHER).encode()
        assert reader.note_at_least(4, lambda _: True) == log.checkpoint()
        assert reader.note_at_least(4, lambda note: by_other in note) is None
        assert reader.note_at_least(5, lambda _: True) is None
    log.cosign(4, OTHER)
    with log.reader() as reader:
        assert reader.note == log.checkpoint() + OTHER.encode()
        assert len(reader.checkpoints()) == 3
    verify_log(log.place, key.verifier)


@pytest.mark.parametrize("size", [-1, 2])
def test_no_cosignature_for_what_is_not_there(log: AuditLog, event: Event, size: int) -> None:
    log.append(event)
    with pytest.raises(AuditError, match="no checkpoint"):
        log.cosign(size, WITNESS)


@pytest.mark.parametrize("line", ["", "witness AAAAAAA=\n", "\u2014 witness AAAA\n", WITNESS * 2])
def test_only_signature_lines_are_kept(log: AuditLog, line: str) -> None:
    with pytest.raises(ProtocolError):
        log.cosign(0, line)


def test_there_is_one_log_at_a_place(log: AuditLog, key: SigningKey) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        AuditLog.create(log.place, "other", key)
    assert verify_log(log.place, key.verifier, origin=ORIGIN).size == 0


@pytest.mark.usefixtures("log")
def test_another_key_is_refused(place: Path | str, actor: Actor) -> None:
    with pytest.raises(AuditError, match=r"audit\.integrity") as caught:
        AuditLog.open(place, SigningKey.generate(ORIGIN), actor)
    assert caught.value.entry == 0


@pytest.mark.parametrize("table", ["meta", "entries", "checkpoints", "cosignatures", "head", "actors"])
def test_guards_refuse_on_each_database(log: AuditLog, event: Event, table: str) -> None:
    log.append(event)
    log.cosign(1, WITNESS)
    column = {"meta": "key", "entries": "entry", "actors": "last_entry"}.get(table, "size")
    with connect(log.place) as connection:
        for statement in (
            f"DELETE FROM audit_{table}",  # noqa: S608 - names of ours
            f"UPDATE audit_{table} SET {column} = {column}",  # noqa: S608 - names of ours
        ):
            with pytest.raises(DBAPIError, match="append-only"):
                connection.execute(text(statement))


@pytest.mark.usefixtures("log")
def test_dropped_guards_are_found(place: Path | str, key: SigningKey) -> None:
    drop = "DROP TRIGGER audit_entries_UPDATE"
    if isinstance(place, str):
        drop = "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_guard"
    with connect(place) as connection:
        connection.execute(text(drop))
    with pytest.raises(AuditError, match=r"guards were dropped or changed: audit_entries"):
        verify_log(place, key.verifier)


def test_what_is_no_log_is_refused(place: Path | str, key: SigningKey, actor: Actor) -> None:
    with connect(place) as connection:
        connection.execute(text("CREATE TABLE other (x INTEGER)"))
    for check in (lambda: AuditLog.open(place, key, actor), lambda: verify_log(place, key.verifier)):
        with pytest.raises(AuditError, match="not an audit log"):
            check()


def test_a_process_that_comes_back_reads_on(
    log: AuditLog, place: Path | str, key: SigningKey, actor: Actor, event: Event
) -> None:
    log.append(event)
    log.close()  # as after an error: the next commit opens the database again
    again = AuditLog.open(place, key, actor)
    assert again.append(event) == range(1, 2)
    assert log.append(event) == range(2, 3)
    assert [entry.seq for entry in verify_log(place, key.verifier).entries] == [0, 1, 2]
    again.close()


def test_keys_change_and_either_can_be_followed(
    log: AuditLog, place: Path | str, key: SigningKey, actor: Actor, event: Event
) -> None:
    second, third = SigningKey.generate(ORIGIN), SigningKey.generate(ORIGIN)
    log.append(event)
    first_note = log.checkpoint()
    assert log.rotate(second) == 1
    both = log.checkpoint()
    assert open_checkpoint(both, key.verifier) == open_checkpoint(both, second.verifier)
    for known in (key, second):
        assert verify_log(place, known.verifier).keys == (key.verifier, second.verifier)
    log.append(event)
    second_note = log.checkpoint()
    assert open_checkpoint(second_note, second.verifier).size == 3
    log.rotate(third)
    log.append(event)
    log.cosign(5, WITNESS)
    log.append(event)
    verified = verify_log(place, key.verifier)
    for known in (key, second, third):
        verified = verify_log(place, known.verifier)
        assert verified.keys == (key.verifier, second.verifier, third.verifier)
        for since in (first_note, both, second_note, log.checkpoint()):
            verify_log(place, known.verifier, since=since)
    assert [entry.type for entry in verified.entries].count(EventType.LOG_KEY_ROTATED) == 2
    with pytest.raises(AuditError, match="expected key"):
        verify_log(place, SigningKey.generate(ORIGIN).verifier)
    with pytest.raises(AuditError, match="signed by an earlier key"):
        log.cosign(3, WITNESS)
    log.cosign(4, WITNESS)  # the one by both keys is kept
    verify_log(place, key.verifier)
    for old in (key, second):
        with pytest.raises(AuditError, match="not signed by this key"):
            AuditLog.open(place, old, actor)
    AuditLog.open(place, third, actor).close()


def test_nobody_goes_on_with_the_old_key(
    log: AuditLog, place: Path | str, key: SigningKey, actor: Actor, event: Event
) -> None:
    """Right after the change the newest checkpoint carries the old key's signature as well."""
    other = AuditLog.open(place, key, actor)
    new = SigningKey.generate(ORIGIN)
    log.rotate(new)
    for work in (lambda: other.append(event), lambda: AuditLog.open(place, key, actor)):
        with pytest.raises(AuditError, match="changed its key"):
            work()
    other.close()
    log.append(event)
    with pytest.raises(ProtocolError):
        log.rotate(new)
    assert verify_log(place, key.verifier).size == 2


def test_a_key_that_the_old_one_did_not_name_is_not_followed(
    log: AuditLog, place: Path | str, key: SigningKey, event: Event
) -> None:
    """An entry alone changes nothing: the checkpoint by both keys must be there and be the log's."""
    new = SigningKey.generate(ORIGIN)
    log.append(event, Event(type=EventType.LOG_KEY_ROTATED, new_key=new.verifier.encode()), event)
    with pytest.raises(AuditError, match="changed its key is missing"):
        verify_log(place, key.verifier)


def test_leaves_are_hashed_as_they_are_stored(log: AuditLog, event: Event) -> None:
    log.append(event)
    with log.reader() as reader:
        [leaf] = reader.leaves(0, 1)
        assert reader.hashes.read([Node(0, 0)]) == [leaf_hash(leaf)]
        assert Checkpoint(ORIGIN, 1, leaf_hash(leaf)).root == root_at(1, reader.hashes)
