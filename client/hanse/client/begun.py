"""The run that a site's own log has begun and not ended. There is one at most: each ends before the next."""

from collections.abc import Iterable, Iterator
from typing import Final

from hanse.audit import AuditLog, Entry, EventType

_CHUNK_ENTRIES: Final = 2_048
_ENDS: Final = frozenset({EventType.RUN_FINISHED, EventType.RUN_FAILED})
_MARKS: Final = tuple(f'"type":"{kind}"'.encode() for kind in (EventType.AGREEMENT_ACCEPTED, *sorted(_ENDS)))


def open_run(log: AuditLog) -> Entry | None:
    """Finds the run that is still open, from the log alone: it knows of runs before this process began, too.

    Args:
        log: The site's own log; read backwards up to where a run began last.

    Returns:
        The entry by which it began; None if there is none.

    Raises:
        AuditError: ``audit.unavailable`` or ``audit.integrity`` if the log cannot be read.
        ProtocolError: ``protocol.malformed`` if an entry is none.
    """
    ended: set[str] = set()
    for entry in _tellers(_backwards(log)):
        if entry.run is None:
            continue
        if entry.type in _ENDS:
            ended.add(entry.run)
        else:
            return None if entry.run in ended else entry
    return None


def _backwards(log: AuditLog) -> Iterator[bytes]:
    with log.reader() as reader:
        for end in range(reader.size, 0, -_CHUNK_ENTRIES):
            yield from reversed(list(reader.leaves(max(0, end - _CHUNK_ENTRIES), end)))


def _tellers(leaves: Iterable[bytes]) -> Iterator[Entry]:
    """The entries by which runs begin and end; parsing all of them would take a hundred times as long."""
    for leaf in leaves:
        if any(mark in leaf for mark in _MARKS):
            yield Entry.parse(leaf)
