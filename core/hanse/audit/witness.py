"""A witness of a log (https://c2sp.org/tlog-witness): signs that a log only grew, or refuses and says why.

Every member of an agreement is a witness of the coordinator's shared log; an outside auditor can be one. The
decisions are in :mod:`hanse.audit.witness_rules`, the memory in :mod:`hanse.audit.witness_state`.

What a cosignature says: at its time this was the largest checkpoint of the log that the witness knew, and it
extends all that the witness signed before. It says nothing about whether the entries are true, nor that all
that happened was appended. A witness to whom nobody showed a fork cannot refuse it; a quorum of more than
half makes sure that the two sides of a fork had a witness in common.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from hanse.audit.rotation import Handover, follow
from hanse.audit.witness_rules import Cosigned, Past, RefusalKind, WitnessRefusal, judge, read_submission
from hanse.audit.witness_state import WitnessState
from hanse.crypto import VerifierKey, unverified_text
from hanse.crypto.cosigning import CosignerKey, read_cosignatures
from hanse.errors import AuditError, IdentityError


def _now() -> datetime:
    return datetime.now(UTC)


class Witness:
    """Cosigns the checkpoints of one log.

    Any number of threads and processes may use the same memory and key at the same time.

    Args:
        origin: The log.
        verifiers: The keys that are trusted for it, at least one, known from elsewhere than the log.
        key: The witness's own.
        state: Its memory.
        clock: Gives the time, aware.
    """

    def __init__(
        self,
        origin: str,
        verifiers: Sequence[VerifierKey],
        key: CosignerKey,
        state: WitnessState,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._origin = origin
        self._verifiers = tuple(verifiers)
        self._key = key
        self._state = state
        self._clock = clock

    @property
    def origin(self) -> str:
        """The log."""
        return self._origin

    @property
    def newest(self) -> Cosigned | None:
        """The largest checkpoint that was cosigned: where the next consistency proof has to start.

        Raises:
            AuditError: ``audit.unavailable`` if the memory cannot be read.
        """
        return self._state.newest(self._origin)

    def follow(self, handovers: Iterable[Handover]) -> VerifierKey | None:
        """Goes over to the key to which a trusted key handed the log; the old one counts no longer.

        That gives whoever stole the old key nothing that it did not give already: the log under the new key
        must continue what was cosigned. It lasts as long as this object; enrolment makes it last.

        Args:
            handovers: The changes of the log's key, in order, from anywhere.

        Returns:
            The new key; None if no trusted key handed the log over.

        Raises:
            AuditError: As :func:`hanse.audit.rotation.follow`.
            IdentityError: As there.
            ProtocolError: As there.
        """
        known = tuple(handovers)
        for key in self._verifiers:
            new = follow(key, known)
            if new not in self._verifiers:
                self._verifiers = (new,)
                return new
        return None

    def is_signed(self, note: bytes) -> bool:
        """Whether a trusted key of the log signed a note, as far as can be told."""
        try:
            read_submission(note, self._origin, self._verifiers)
        except WitnessRefusal as refusal:
            return refusal.kind is not RefusalKind.FOREIGN_KEY
        return True

    def add_checkpoint(
        self, old_size: int, proof: Sequence[bytes], note: bytes, *, asked: int | None = None
    ) -> str:
        """Cosigns a checkpoint that continues what was cosigned before.

        The first checkpoint of a log is taken as it is, whatever its size: a witness vouches from then on.

        Args:
            old_size: Size of :attr:`newest`, 0 without one.
            proof: Consistency proof from there (RFC 6962, section 2.1.2); empty from 0.
            note: The checkpoint, signed by the log; signatures by others are ignored.
            asked: For who was shown the checkpoint: size of :attr:`newest` when it was asked for, since when
                another process may have cosigned a larger one. See :func:`hanse.audit.witness_rules.judge`.

        Returns:
            The signature line of the cosignature. That it was given is on the disk.

        Raises:
            WitnessRefusal: ``audit.witness-refused``, with both notes, for the caller to keep as evidence.
            AuditError: ``audit.unavailable`` if the memory cannot be read or written, ``audit.integrity`` if
                it was set back: the note carries a later cosignature by this key. Nothing was signed.
        """
        submission = read_submission(note, self._origin, self._verifiers)
        with self._state.turn(self._origin, self._key.verifier.key_id) as turn:
            past = turn.past(submission.checkpoint.size)
            cosigned = judge(old_size, proof, submission, past, self._clock(), asked)
            self._check_memory(note, past)
            turn.keep(cosigned)
            return self._key.cosign(unverified_text(cosigned.note), cosigned.at)

    def _check_memory(self, note: bytes, past: Past) -> None:
        """Checks that the memory knows of every cosignature by this key that the note carries."""
        try:
            own = read_cosignatures(note, [self._key.verifier])
        except IdentityError:
            return  # a line that somebody made up
        if any(past.last_time is None or one.time > past.last_time for one in own):
            raise AuditError(
                "audit.integrity",
                "the witness's memory is older than what its key cosigned: it was set back, or another "
                "machine has the key; go on with a new key only",
            )
