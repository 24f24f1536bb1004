"""The witness of this site: follows the coordinator's log, co-signs what only grew, alarms about the rest.

One thread, outbound connections only. For each new checkpoint it asks for the consistency proof from what it
co-signed last and lets :class:`hanse.audit.witness.Witness` decide; the cosignature is on the disk before it
is handed in. A coordinator that is away is waited for. A refusal is an entry ``witness.refused`` of this
site's own log, the two checkpoints are kept as files (:mod:`hanse.client.refusals`), and an error is logged.
Until a person has looked, the witness signs nothing more and the node takes part in no round; then it goes
on from what it had co-signed.

What a witness does not do: it does not read the entries, so it cannot tell whether they are true.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Protocol

from hanse.audit import AuditLog, Event, EventType, parse_checkpoint
from hanse.audit.rotation import Handover
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import RefusalKind, WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.client.home import MemberHome
from hanse.client.refusals import keep, require_none_open
from hanse.crypto import VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import AuditError, ConfigurationError, HanseError, IdentityError, ProtocolError
from hanse.policies import Identity

RETRY_S: Final = 2.0
PASSING: Final = frozenset({RefusalKind.STALE, RefusalKind.CLOCK})
"""Refusals that say nothing of the log: another process was quicker, or this site's clock is behind."""

log = logging.getLogger("hanse.witness")


class WitnessedLog(Protocol):
    """The coordinator's log, as far as a witness asks it."""

    def checkpoints(self, size: int | None, stopping: threading.Event) -> Iterator[bytes]:
        """The newest checkpoint unless it has this size, then others until told to stop."""
        ...

    def consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """Proof that the log of one size begins with that of a smaller one."""
        ...

    def handovers(self) -> Iterable[Handover]:
        """The changes of the log's key, in order."""
        ...

    def cosign(self, size: int, line: str) -> None:
        """Hands in a cosignature of the checkpoint of a size."""
        ...


class SiteWitness:
    """See the module docstring.

    Args:
        home: The site's folder.
        witness: What decides.
        own_log: The site's own log, where a refusal is an entry.
        clock: The current time, aware.
        cosigned: Told the size of each checkpoint that was co-signed.
    """

    def __init__(
        self,
        home: MemberHome,
        witness: Witness,
        own_log: AuditLog,
        clock: Callable[[], datetime],
        cosigned: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._home = home
        self._witness = witness
        self._log = own_log
        self._clock = clock
        self._cosigned = cosigned
        self._unkept: WitnessRefusal | None = None

    def require_trusted(self) -> None:
        """Returns if this site may take part in a round.

        Raises:
            AuditError: ``audit.witness-refused`` if its witness refused the coordinator's log, in this
                process or before, and nobody has looked at it.
        """
        require_none_open(self._home)
        if self._unkept is not None:
            raise AuditError(
                "audit.witness-refused", f"{self._unkept.detail}; the evidence could not be kept"
            )

    def follow(self, shared: WitnessedLog, stopping: threading.Event) -> None:
        """Witnesses the log until told to stop.

        Args:
            shared: The coordinator's log.
            stopping: Set to end it.
        """
        told = ""
        while not stopping.is_set():
            try:
                # Before the log is asked: another process of this site may co-sign more while it answers.
                asked = self._newest_size()
                # The newest in any case: a cosignature that was lost on its way is handed in again.
                for note in shared.checkpoints(None, stopping):
                    self._answer(shared, note, asked)
                    asked, told = max(asked, _size_of(note)), ""
            except WitnessRefusal as refusal:
                if refusal.kind in PASSING:
                    log.warning("not co-signed, to be tried again: %s", refusal)
                else:
                    self._alarm(refusal)
            except HanseError as error:
                if str(error) != told:  # once for each outage, not for each attempt
                    log.warning("the coordinator's log is not witnessed now: %s", error)
                told = str(error)
            except Exception:  # the witness must not end without a word
                log.exception("the witness failed; it goes on")
            stopping.wait(RETRY_S)

    def _newest_size(self) -> int:
        newest = self._witness.newest
        return 0 if newest is None else newest.checkpoint.size

    def _answer(self, shared: WitnessedLog, note: bytes, asked: int) -> None:
        self.require_trusted()
        if not self._witness.is_signed(note):
            self._follow_key(shared)
        old_size, size = self._newest_size(), _size_of(note)
        proof = shared.consistency(old_size, size) if 0 < old_size < size else ()
        line = self._witness.add_checkpoint(old_size, proof, note, asked=asked)
        _hand_in(shared, size, line)
        self._cosigned(size)

    def _follow_key(self, shared: WitnessedLog) -> None:
        """Goes on under a new key of the log, if the key that is enrolled here announced it.

        What does not hold is left to the rules, which then refuse a foreign key.
        """
        try:
            new = self._witness.follow(shared.handovers())
        except (AuditError, IdentityError, ProtocolError) as error:
            log.warning("a change of the log's key that does not hold: %s", error)
            return
        if new is not None:
            log.warning(
                "the coordinator's log has a new key, %s+%s, announced by the one before, and is co-signed "
                "under it; enrol its new identity, and amend the agreements that name the old key",
                new.name,
                new.key_id,
            )

    def _alarm(self, refusal: WitnessRefusal) -> None:
        origin = self._witness.origin
        log.error("THE COORDINATOR'S LOG IS REFUSED: %s; this site takes part in no further round", refusal)
        try:
            log.error("the evidence is in %s", keep(self._home, origin, refusal, self._clock()))
        except ConfigurationError as error:
            self._unkept = refusal  # then this process remembers
            log.error("the evidence could not be kept: %s", error)  # noqa: TRY400 - the error says it all
        event = Event(
            type=EventType.WITNESS_REFUSED,
            decision="deny",
            reasons=(refusal.code,),
            peer=origin,
            detail=str(refusal.kind),
        )
        try:
            self._log.append(event)
        except AuditError as error:
            log.error("the refusal is not in this site's log: %s", error)  # noqa: TRY400 - as above


def make_site_witness(
    home: MemberHome,
    coordinator: Identity,
    own_log: AuditLog,
    clock: Callable[[], datetime],
    cosigned: Callable[[int], None] = lambda _: None,
) -> SiteWitness:
    """The witness of a site, from its files.

    Args:
        home: The site's folder.
        coordinator: The pinned identity of the coordinator, whose name is that of its log.
        own_log: The site's own log.
        clock: The current time, aware.
        cosigned: Told the size of each checkpoint that was co-signed.

    Raises:
        ConfigurationError: ``config.missing-file`` or ``config.insecure-file`` about the key.
        IdentityError: ``identity.bad-key``.
        AuditError: ``audit.unavailable`` if the witness's memory is missing or unreadable.
    """
    witness = Witness(
        coordinator.name,
        [VerifierKey.decode(coordinator.node_key)],
        CosignerKey.load(home.witness_key),
        WitnessState.open(home.witness),
        clock,
    )
    return SiteWitness(home, witness, own_log, clock, cosigned)


@contextmanager
def witnessing(witness: SiteWitness, shared: WitnessedLog) -> Iterator[None]:
    """Witnesses the log in a thread for as long as the block runs.

    Args:
        witness: The site's witness.
        shared: The coordinator's log.
    """
    stopping = threading.Event()
    thread = threading.Thread(target=witness.follow, args=(shared, stopping), name="witness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(RETRY_S)


def _hand_in(shared: WitnessedLog, size: int, line: str) -> None:
    """Hands in a cosignature; says what to do if the coordinator knows another key of this witness."""
    try:
        shared.cosign(size, line)
    except HanseError as error:
        if error.code != "identity.unknown-signer":
            raise
        raise IdentityError(
            error.code,
            "the coordinator has enrolled another key of this witness: after hanse audit new-witness-key, it "
            "has to enrol this site's identity.json again, and the agreements have to be amended",
        ) from error


def _size_of(note: bytes) -> int:
    """Size of a checkpoint; 0 for what is none, which the witness then refuses."""
    try:
        return parse_checkpoint(unverified_text(note)).size
    except ProtocolError:
        return 0
