"""How a log changes the key that signs it: an entry that names the new key, under a checkpoint by both."""

from typing import Final

from hanse.audit.entry import Entry
from hanse.audit.event import EventType
from hanse.crypto import VerifierKey
from hanse.errors import ProtocolError

ROTATION_END: Final = b'"type":"%b","version":1}' % EventType.LOG_KEY_ROTATED.value.encode()
_NOTE_LINES: Final = 4  # three of the checkpoint and an empty one; then one for each signature of the log


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
