"""Real witnesses over gRPC: an honest log is co-signed; one that its own key holder rewrote is refused."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.evidence.conftest import AUDITOR, MEMBERS, until, utc_now

from hanse.audit import Event, EventType, RefusalKind, parse_checkpoint, verify_log
from hanse.client.peers import coordinator_of
from hanse.client.refusals import kept, open_refusals, review
from hanse.crypto import SigningKey, open_note, unverified_text
from hanse.errors import AuditError, HanseError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evidence.conftest import Hub, Serving

    from hanse.audit import AuditLog

WITNESSES = (*MEMBERS, AUDITOR)


def refusal_events(hub: Hub, name: str) -> list[str | None]:
    verifier = SigningKey.load(hub.site(name).node_key).verifier
    entries = verify_log(hub.site(name).log, verifier).entries
    return [entry.detail for entry in entries if entry.type == "witness.refused"]


def test_every_witness_cosigns_a_log_that_grows(hub: Hub) -> None:
    policy = hub.policy(3)
    with hub.serving() as serving, hub.witnessed(*WITNESSES):
        for size in (3, 7, 20):
            serving.grow(size - serving.log.size)
            note = serving.witnesses.wait(size, policy, 30, lambda: False)
            assert policy.check(note).size == size
    assert not any(list(kept(hub.site(name))) for name in WITNESSES)


def test_a_quorum_comes_together_while_the_log_goes_on_growing(hub: Hub) -> None:
    policy, stopping = hub.policy(3), threading.Event()
    with hub.serving() as serving, hub.witnessed(*WITNESSES):

        def grow() -> None:
            while not stopping.wait(0.005):
                serving.grow()

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            for _ in range(3):
                size = serving.log.size
                assert policy.check(serving.witnesses.wait(size, policy, 30, lambda: False)).size >= size
        finally:
            stopping.set()
            writer.join()


def test_too_few_witnesses_are_named(hub: Hub) -> None:
    with hub.serving() as serving:
        serving.grow(2)
        hub.cosign_once("brand", 2)
        assert serving.witnesses.wait(2, hub.policy(1), 0, lambda: False)
        with pytest.raises(AuditError) as caught:
            serving.witnesses.wait(2, hub.policy(3), 0.1, lambda: False)
        assert caught.value.code == "audit.quorum"
        assert "insurer-witness" in caught.value.detail
        assert AUDITOR in caught.value.detail
        assert "brand" not in caught.value.detail
        with pytest.raises(AuditError, match=r"audit.quorum"):
            serving.witnesses.wait(3, hub.policy(1), 0, lambda: False)
        with pytest.raises(AuditError, match=r"audit.quorum"):
            serving.witnesses.wait(2, hub.policy(3), 600, lambda: True)


# --- a coordinator that tells another history


def fork(hub: Hub) -> AuditLog:
    """As many entries as the witnesses saw, the last of them another one."""
    other = hub.open_log(hub.folder / "fork.db")
    for run in ("run-1", "run-1", "run-1", "run-2"):
        grow(other, run)
    return other


def rewrite(hub: Hub) -> AuditLog:
    """More entries than the witnesses saw, the first of them another one."""
    other = hub.open_log(hub.folder / "rewritten.db")
    for run in ("run-2", "run-1", "run-1", "run-1", "run-1", "run-1"):
        grow(other, run)
    return other


def truncate(hub: Hub) -> AuditLog:
    """The log as it was before its last entries."""
    return hub.open_log(hub.folder / "earlier.db")


def empty(hub: Hub) -> AuditLog:
    """A new log."""
    return hub.open_log(hub.folder / "empty.db")


def other_key(hub: Hub) -> AuditLog:
    """A log of the same name, signed by a key that the sites did not pin."""
    other = hub.open_log(hub.folder / "foreign.db", SigningKey.generate("hub"))
    for _ in range(5):
        grow(other, "run-1")
    return other


def grow(log: AuditLog, run: str) -> None:
    log.append(Event(type=EventType.RUN_STARTED, run=run))


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        (fork, RefusalKind.FORK),
        (rewrite, RefusalKind.REWRITE),
        (truncate, RefusalKind.TRUNCATION),
        (empty, RefusalKind.TRUNCATION),
        (other_key, RefusalKind.FOREIGN_KEY),
    ],
    ids=["fork", "rewrite", "truncation", "an empty log", "foreign key"],
)
def test_a_coordinator_that_changes_its_history_is_refused_by_every_witness(
    hub: Hub, attack: Callable[[Hub], AuditLog], kind: RefusalKind, caplog: pytest.LogCaptureFixture
) -> None:
    with hub.serving() as serving:
        serving.grow(2)
        with closing(sqlite3.connect(hub.home.log)) as database:
            database.execute("VACUUM INTO ?", (str(hub.folder / "earlier.db"),))
        serving.grow(2)
        for name in WITNESSES:
            hub.cosign_once(name, 4)
    before = hub.witness("brand")._witness.newest
    assert before is not None
    evil = attack(hub)
    with hub.serving(evil) as serving, hub.witnessed(*WITNESSES) as witnesses:
        until(lambda: all(open_refusals(hub.site(name)) for name in WITNESSES))
        until(lambda: all(refusal_events(hub, name) for name in WITNESSES))
        for witness in witnesses:
            with pytest.raises(AuditError) as caught:
                witness.require_trusted()
            assert caught.value.code == "audit.witness-refused"
        with pytest.raises(HanseError):  # no quorum, or not even the pinned key
            serving.witnesses.wait(4, hub.policy(1), 0, lambda: False)
    for name in WITNESSES:
        [refusal] = kept(hub.site(name))
        assert (refusal.kind, refusal.origin, refusal.reviewed_by) == (str(kind), "hub", None)
        assert refusal_events(hub, name) == [str(kind)]
        submitted = (refusal.folder / "submitted.note").read_bytes()
        assert parse_checkpoint(unverified_text(submitted)).origin == "hub"
        if kind is not RefusalKind.FOREIGN_KEY:
            # Both are signed by the key of the coordinator: nobody else can have made them.
            known = (refusal.folder / "known.note").read_bytes()
            roots = [parse_checkpoint(open_note(n, hub.key.verifier).text) for n in (submitted, known)]
            assert roots[0] != roots[1]
            assert roots[1] == before.checkpoint
    assert any("REFUSED" in record.message and record.levelname == "ERROR" for record in caplog.records)


def test_after_a_person_has_looked_the_witness_goes_on_from_what_it_had_cosigned(hub: Hub) -> None:
    with hub.serving() as serving:
        serving.grow(4)
        hub.cosign_once("brand", 4)
    evil = rewrite(hub)
    with hub.witnessed("brand") as [witness]:
        with hub.serving(evil):
            until(lambda: bool(open_refusals(hub.site("brand"))))
        with hub.serving() as serving:
            serving.grow()
            until(lambda: bool(refusal_events(hub, "brand")))
            assert not serving.log.reader().note_at_least(5, hub.policy(1).is_met)
            assert [one.kind for one in review(hub.site("brand"), "Berta Brand", utc_now())] == ["rewrite"]
            witness.require_trusted()
            serving.witnesses.wait(5, hub.policy(1), 30, lambda: False)
    with hub.serving(evil), hub.witnessed("brand"):
        until(lambda: len(open_refusals(hub.site("brand"))) == 1)
    assert refusal_events(hub, "brand") == ["rewrite", "rewrite"]


def test_a_refusal_lasts_over_a_restart_of_the_node(hub: Hub) -> None:
    with hub.serving() as serving:
        serving.grow(4)
        hub.cosign_once("brand", 4)
    with hub.serving(fork(hub)), hub.witnessed("brand"):
        until(lambda: bool(refusal_events(hub, "brand")))
    with pytest.raises(AuditError, match=r"audit\.witness-refused"):
        hub.witness("brand").require_trusted()


def test_a_refusal_that_cannot_be_kept_still_counts(hub: Hub) -> None:
    with hub.serving() as serving:
        serving.grow(4)
        hub.cosign_once("brand", 4)
    hub.site("brand").evidence.write_bytes(b"a file where the folder should be")
    with hub.serving(fork(hub)), hub.witnessed("brand") as [witness]:
        until(lambda: bool(refusal_events(hub, "brand")))
        with pytest.raises(AuditError, match=r"audit\.witness-refused"):
            witness.require_trusted()


def test_a_refusal_whose_file_is_broken_counts_as_open(hub: Hub) -> None:
    folder = hub.site("brand").evidence / "20260101T000000.000000Z-fork"
    folder.mkdir(parents=True)
    (folder / "refusal.json").write_bytes(b"\xff")
    [refusal] = open_refusals(hub.site("brand"))
    assert (refusal.kind, refusal.token, refusal.peer) == ("not readable", None, None)
    with pytest.raises(AuditError, match=r"audit\.witness-refused"):
        hub.witness("brand").require_trusted()


class Lossy:
    """A connection that loses the first cosignature on its way."""

    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.lost = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def cosign(self, size: int, line: str) -> None:
        if not self.lost:
            self.lost += 1
            raise HanseError("run.engine", "the connection broke")
        self.inner.cosign(size, line)  # type: ignore[attr-defined]


def test_a_cosignature_that_was_lost_is_handed_in_again(hub: Hub) -> None:
    with hub.serving() as serving, hub.client("brand") as client:
        serving.grow(3)
        lossy, stopping = Lossy(client), threading.Event()
        witness = hub.witness("brand")
        thread = threading.Thread(target=witness.follow, args=(lossy, stopping), daemon=True)
        thread.start()
        serving.witnesses.wait(3, hub.policy(1), 30, lambda: False)
        stopping.set()
        thread.join(30)
    assert lossy.lost == 1


# --- what the coordinator takes for a cosignature


def cosigned(hub: Hub, serving: Serving, name: str) -> tuple[int, str]:
    """A valid cosignature that was not handed in."""
    witness = hub.witness(name)._witness
    with serving.log.reader() as reader:
        return reader.size, witness.add_checkpoint(0, (), reader.note)


def test_only_a_witness_own_cosignature_is_taken(hub: Hub) -> None:
    with hub.serving() as serving, hub.client("brand") as brand, hub.client("insurer") as insurer:
        serving.grow(3)
        size, line = cosigned(hub, serving, "brand")
        for client, given_size, given in (
            (insurer, size, line),
            (brand, size - 1, line),
            (brand, size, line[:-6] + "AAAA=\n"),
            (brand, size, "x"),
            (brand, size, ""),
            (brand, size, line + line),
        ):
            with pytest.raises(HanseError) as caught:
                client.cosign(given_size, given)
            assert caught.value.code in {
                "identity.unknown-signer",
                "identity.bad-signature",
                "protocol.malformed",
            }
        with pytest.raises(HanseError) as caught:
            brand.cosign(size + 1, line)
        assert caught.value.code == "audit.integrity"
        assert not serving.log.reader().note_at_least(1, hub.policy(1).is_met)
        brand.cosign(size, line)
        brand.cosign(size, line)
        assert serving.log.reader().note_at_least(1, hub.policy(1).is_met)


def test_a_site_without_coordinator_has_no_witness(hub: Hub) -> None:
    (hub.site("brand").peers / "hub.json").unlink()
    with pytest.raises(HanseError, match="enrol exactly one"):
        coordinator_of(hub.site("brand"))
    with pytest.raises(IdentityError):
        hub.policy(3).check(hub.own_log("brand").checkpoint())
