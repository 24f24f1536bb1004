"""What a witness signs and what it refuses (https://c2sp.org/tlog-witness, ``add-checkpoint``). Pure.

A witness remembers the checkpoints of a log that it cosigned, and signs only what continues the newest of
them. Nothing here reads a clock or a file: :class:`hanse.audit.Witness` brings both.

The checks, in this order; each is the HTTP status of the specification and a :class:`RefusalKind` here:

=====================================================================  ===============  ======================
check                                                                  specification    kind
=====================================================================  ===============  ======================
the note is a checkpoint in its only valid form                        400              ``malformed``
a key that is trusted for this origin signed it                        403, 404         ``foreign-key``
no other root was cosigned for this size                               422              ``fork``
it is not smaller than the newest, stated as the log's current state   400              ``truncation``
it is not smaller than the newest in any other way                     409              ``rollback``
the old size is not above its size; at most 63 hashes of 32 bytes      400              ``malformed``
the old size is the size of the newest                                 409              ``stale``
size 0 has the root of no leaves; no proof where nothing is proved     422              ``malformed``
the consistency proof leads from the newest root to this one           422              ``rewrite``
the clock is not behind the last cosignature                           none             ``clock``
=====================================================================  ===============  ======================

Several processes may witness with one memory. What one of them was shown may be smaller by now than what
another has cosigned; that says nothing of the log. So a caller that is shown checkpoints states how large the
newest was when it asked (``asked``), and a checkpoint that is smaller than the newest, but not than that, is
``stale``: to be asked for again. One that is smaller than what was cosigned before it was asked for accuses
the log.

The order differs from the specification in one place: a fork is looked for before the old size, and at every
size that was ever cosigned, so that two histories are named even where the caller stated a wrong old size.

Time: a checkpoint carries none, so nothing is checked of a log's own times (entries carry them, and
:func:`hanse.audit.verify_log` checks that they never go back). What is checked is the witness's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from hanse.audit.checkpoint import Checkpoint, parse_checkpoint
from hanse.audit.tree import EMPTY_ROOT, HASH_BYTES, check_consistency
from hanse.crypto import VerifierKey, keep_signatures, unverified_text
from hanse.errors import AuditError, IdentityError, ProtocolError

MAX_PROOF_HASHES: Final = 63


class RefusalKind(StrEnum):
    """Why a witness did not sign."""

    FORK = "fork"
    REWRITE = "rewrite"
    TRUNCATION = "truncation"
    ROLLBACK = "rollback"
    STALE = "stale"
    FOREIGN_KEY = "foreign-key"
    MALFORMED = "malformed"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that a witness cosigned.

    Attributes:
        checkpoint: What it says.
        note: It with the signatures of the log alone.
        at: When it was cosigned last; aware, whole seconds.
    """

    checkpoint: Checkpoint
    note: bytes
    at: datetime


class Past(NamedTuple):
    """What of a witness's memory bears on a checkpoint.

    Attributes:
        newest: The largest checkpoint of this log that was cosigned; None before the first.
        same_size: The one of the same size, if one was cosigned.
        last_time: Time of the last cosignature by the same key of the witness, of any log.
    """

    newest: Cosigned | None = None
    same_size: Cosigned | None = None
    last_time: datetime | None = None


class Submission(NamedTuple):
    """A checkpoint that the log signed.

    Attributes:
        checkpoint: What it says.
        note: It with the signatures of the log alone: anybody can add further ones.
    """

    checkpoint: Checkpoint
    note: bytes


class WitnessRefusal(AuditError):  # noqa: N818 - a refusal is what a witness is for, not a fault
    """A witness did not sign; ``audit.witness-refused``.

    Args:
        kind: Why.
        detail: What happened, for the operator of the witness.
        submitted: The refused note.
        against: What it was held against: the checkpoint cosigned before.

    Attributes:
        kind: Why.
        submitted: The refused note: where the log signed it, with the log's signatures alone.
        known: The note of the checkpoint that was cosigned before, with the log's signatures; None if there
            is none or it does not matter.
        known_size: Its size, 0 if there is none: the old size to send instead if ``kind`` is ``stale``.
    """

    def __init__(
        self, kind: RefusalKind, detail: str, submitted: bytes, against: Cosigned | None = None
    ) -> None:
        super().__init__("audit.witness-refused", f"{kind}: {detail}")
        self.kind = kind
        self.submitted = submitted
        self.known = None if against is None else against.note
        self.known_size = 0 if against is None else against.checkpoint.size

    @property
    def convicts(self) -> bool:
        """Whether the two notes alone show that the holder of the log's key made two histories.

        True for a fork: two signed roots of one size. A rewriting needs one question more, which a guilty
        holder cannot answer: the consistency proof between the two. A smaller checkpoint may be an old one.
        """
        return self.kind is RefusalKind.FORK


def read_submission(note: bytes, origin: str, verifiers: Sequence[VerifierKey]) -> Submission:
    """Reads a checkpoint and checks who signed it.

    Args:
        note: Bytes from anywhere.
        origin: The log.
        verifiers: The keys that are trusted for it.

    Returns:
        What the log signed.

    Raises:
        WitnessRefusal: ``malformed`` or ``foreign-key``.
    """
    try:
        checkpoint = parse_checkpoint(unverified_text(note))
        if checkpoint.origin != origin:
            raise WitnessRefusal(
                RefusalKind.FOREIGN_KEY, f"a checkpoint of another log than {origin}: no key is trusted", note
            )
        return Submission(checkpoint, keep_signatures(note, *verifiers))
    except IdentityError as error:
        detail = f"not signed by a trusted key of {origin}: {error.detail}"
        raise WitnessRefusal(RefusalKind.FOREIGN_KEY, detail, note) from error
    except ProtocolError as error:
        raise WitnessRefusal(RefusalKind.MALFORMED, error.detail, note) from error


def judge(
    old_size: int,
    proof: Sequence[bytes],
    submission: Submission,
    past: Past,
    now: datetime,
    asked: int | None = None,
) -> Cosigned:
    """Decides whether a checkpoint continues what was cosigned before.

    Args:
        old_size: From which size the proof starts.
        proof: Consistency proof from there (RFC 6962, section 2.1.2).
        submission: What :func:`read_submission` read.
        past: What the witness remembers.
        now: The witness's clock; aware.
        asked: Size of the newest cosigned checkpoint when the log was asked for this one; None if the log
            hands it in unasked.

    Returns:
        What to remember and to cosign. It must be on the disk before the cosignature leaves.

    Raises:
        WitnessRefusal: Any kind but ``foreign-key``.
    """
    _check_not_forked(submission, past)
    _check_not_smaller(old_size, submission, past, asked)
    _check_old_size(old_size, proof, submission, past)
    _check_extends(old_size, proof, submission, past)
    at = now.replace(microsecond=0)  # a cosignature carries whole seconds
    _check_clock(at, submission, past)
    return Cosigned(submission.checkpoint, submission.note, at)


def _check_not_forked(submission: Submission, past: Past) -> None:
    before = past.same_size
    if before is not None and before.checkpoint.root != submission.checkpoint.root:
        detail = f"the log signed two different trees of {before.checkpoint.size} entries"
        raise WitnessRefusal(RefusalKind.FORK, detail, submission.note, before)


def _check_not_smaller(old_size: int, submission: Submission, past: Past, asked: int | None) -> None:
    size = submission.checkpoint.size
    if past.newest is None or size >= past.newest.checkpoint.size:
        return
    known = past.newest.checkpoint.size
    if asked is not None and asked <= size:
        detail = f"one over {known} entries was cosigned after this one over {size} was asked for"
        raise WitnessRefusal(RefusalKind.STALE, detail, submission.note, past.newest)
    if old_size == known:
        detail = f"the log ends at {size} entries; {known} of it were cosigned"
        raise WitnessRefusal(RefusalKind.TRUNCATION, detail, submission.note, past.newest)
    detail = f"a checkpoint over {size} entries; one over {known} was cosigned already"
    raise WitnessRefusal(RefusalKind.ROLLBACK, detail, submission.note, past.newest)


def _check_old_size(old_size: int, proof: Sequence[bytes], submission: Submission, past: Past) -> None:
    size, note = submission.checkpoint.size, submission.note
    if not 0 <= old_size <= size:
        detail = f"a proof from {old_size} entries to {size}"
        raise WitnessRefusal(RefusalKind.MALFORMED, detail, note, past.newest)
    if len(proof) > MAX_PROOF_HASHES or any(len(digest) != HASH_BYTES for digest in proof):
        detail = f"a consistency proof has at most {MAX_PROOF_HASHES} hashes of {HASH_BYTES} bytes"
        raise WitnessRefusal(RefusalKind.MALFORMED, detail, note, past.newest)
    known = 0 if past.newest is None else past.newest.checkpoint.size
    if old_size != known:
        detail = f"the proof starts at {old_size} entries, the last cosigned checkpoint has {known}"
        raise WitnessRefusal(RefusalKind.STALE, detail, note, past.newest)


def _check_extends(old_size: int, proof: Sequence[bytes], submission: Submission, past: Past) -> None:
    """Here the old size is that of the newest cosigned checkpoint, and not above the submitted one's."""
    size, root = submission.checkpoint.size, submission.checkpoint.root
    if size == 0 and root != EMPTY_ROOT:
        detail = "a tree without entries has another root"
        raise WitnessRefusal(RefusalKind.MALFORMED, detail, submission.note, past.newest)
    if old_size in {0, size} and proof:
        detail = "a proof where nothing is to be proved"
        raise WitnessRefusal(RefusalKind.MALFORMED, detail, submission.note, past.newest)
    old_root = EMPTY_ROOT if past.newest is None else past.newest.checkpoint.root
    try:
        check_consistency(old_size, old_root, size, root, proof)
    except AuditError as error:
        detail = f"the first {old_size} of {size} entries are not shown to be those that were cosigned"
        raise WitnessRefusal(RefusalKind.REWRITE, detail, submission.note, past.newest) from error


def _check_clock(at: datetime, submission: Submission, past: Past) -> None:
    if past.last_time is not None and at < past.last_time:
        behind_s = int((past.last_time - at).total_seconds())
        detail = (
            f"the clock of this witness is {behind_s} s behind its last cosignature: set the clock right or, "
            "if that cosignature had a wrong time, announce a new key"
        )
        raise WitnessRefusal(RefusalKind.CLOCK, detail, submission.note, past.newest)
