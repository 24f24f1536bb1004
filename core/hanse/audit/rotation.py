"""How a log changes the key that signs it: an entry that names the new key, under a checkpoint by both.

The two signatures alone hand nothing over: anybody can add a line of their own to a note. What does is that
the old key signed a tree whose last entry names the new one.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from hanse.audit.checkpoint import open_checkpoint, parse_checkpoint
from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.audit.tree import check_inclusion
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import AuditError, IdentityError, ProtocolError

ROTATION_END: Final = b'"type":"%b","version":1}' % EventType.LOG_KEY_ROTATED.value.encode()
_NOTE_LINES: Final = 4  # three of the checkpoint and an empty one; then one for each signature of the log


class Handover(NamedTuple):
    """A change of the key, as whoever keeps the log tells of it; :func:`follow` checks it.

    Attributes:
        note: The checkpoint that ends with the change, signed by both keys.
        entry: Its last entry, exact bytes.
        proof: That the entry is in it (RFC 6962, section 2.1.1).
    """

    note: bytes
    entry: bytes
    proof: tuple[bytes, ...]


def follow(pinned: VerifierKey, handovers: Iterable[Handover]) -> VerifierKey:
    """Finds the key that signs a log now, from one that is known.

    Args:
        pinned: A key of the log, known from elsewhere; its name is the log's.
        handovers: All changes of its key, in order, from anywhere. Those before the pinned key are skipped.

    Returns:
        The newest key that follows from the pinned one; the pinned one if none does.

    Raises:
        AuditError: ``audit.integrity`` if the pinned key, or one that follows from it, signed a checkpoint
            that is handed in without the entry that names the next key.
        IdentityError: ``identity.bad-signature`` or ``identity.unknown-signer`` if the next key did not sign.
        ProtocolError: ``protocol.malformed`` if a part is not what it should be.
    """
    key = pinned
    for handover in handovers:
        new = read_rotation(handover.entry)
        if new is None or new.name != pinned.name:
            raise ProtocolError("protocol.malformed", "not the entry by which a log changes its key")
        if new != key and _is_signed(handover.note, key):
            _check_handover(handover, new)
            key = new
    return key


def _check_handover(handover: Handover, new: VerifierKey) -> None:
    checkpoint = open_checkpoint(handover.note, new)
    if checkpoint.origin != new.name or checkpoint.size == 0:
        raise AuditError("audit.integrity", f"a change of the key of another log than {new.name}")
    last = checkpoint.size - 1
    check_inclusion(handover.entry, last, checkpoint.size, checkpoint.root, handover.proof)


def _is_signed(note: bytes, key: VerifierKey) -> bool:
    parse_checkpoint(unverified_text(note))
    try:
        open_checkpoint(note, key)
    except IdentityError:
        return False
    return True


def read_rotation(data: bytes) -> VerifierKey | None:
    """The new key, if an entry names one; quick for all other entries.

    Args:
        data: The bytes of an entry.

    Returns:
        The key that signs the log after this entry, or None.

    Raises:
        ProtocolError: ``protocol.malformed`` if such an entry cannot be read or names no key.
    """
    if not data.endswith(ROTATION_END):
        return None
    entry = Entry.parse(data)
    if entry.new_key is None:
        raise ProtocolError("protocol.malformed", "a change of the key that names none")
    return VerifierKey.decode(entry.new_key)


def signatures_of(note: bytes) -> int:
    """How many signatures a checkpoint has, as the log itself wrote it."""
    return note.count(b"\n") - _NOTE_LINES


def is_rotation(note: bytes) -> bool:
    """Whether a checkpoint, as the log itself wrote it, is by two keys."""
    return signatures_of(note) > 1
