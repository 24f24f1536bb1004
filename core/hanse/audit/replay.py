"""What the entries of a log add up to, recomputed from their bytes. Pure: the database is read elsewhere.

Pieces of the log come in order, each of :data:`~hanse.audit.store.CHUNK_ENTRIES` but the last, and each is
summed up by itself (:mod:`hanse.pieces.summary`), here or in another process.
"""

from dataclasses import dataclass, field

from hanse.audit.entry import Entry
from hanse.audit.rotation import read_rotation
from hanse.audit.store import CHUNK_ENTRIES, Piece
from hanse.audit.tree import HASH_BYTES, Frontier, node_hash
from hanse.crypto import VerifierKey
from hanse.errors import AuditError, HanseError
from hanse.pieces.ends import FRAME_START, read_ends
from hanse.pieces.summary import ROTATED, Summary, sum_up


@dataclass(slots=True)
class Replay:
    """The state of a log after the entries read so far.

    Attributes:
        detailed: Whether each entry is parsed and validated, which takes most of the time.
        tree: The tree of the entries.
        last_time: Time of the last entry; empty before the first.
        sequences: By actor, as canonical JSON: how many entries it wrote.
        last_entries: By actor: index of its last entry.
        rotations: Entries by which the log changed its key, and the new keys.
        blocks: See :class:`hanse.pieces.summary.Summary`: who reads an entry again later compares.
    """

    detailed: bool = True
    tree: Frontier = field(default_factory=Frontier)
    last_time: str = ""
    sequences: dict[str, int] = field(default_factory=dict)
    last_entries: dict[str, int] = field(default_factory=dict)
    rotations: list[tuple[int, VerifierKey]] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)

    def take(self, piece: Piece) -> None:
        """Takes the next piece of the log.

        Args:
            piece: Not empty; shorter than :data:`~hanse.audit.store.CHUNK_ENTRIES` only at the end.

        Raises:
            AuditError: ``audit.integrity`` if an entry is not the one that a writer would have written next,
                or has other hashes beside it; ``entry`` is the first such. The state is then void.
        """
        summary = sum_up(piece)
        if summary is None or (self.detailed and not are_entries(piece)) or not self.extend(summary):
            _Finder(self).refuse(piece)

    def extend(self, summary: Summary) -> bool:
        """Takes the next piece of the log when it was summed up, and parsed if that is due.

        Args:
            summary: What the piece adds up to.

        Returns:
            Whether it goes on from this state. If not, the state is as it was, and :meth:`take` says what is
            wrong.
        """
        first_time, last_time = summary.first_time.decode(), summary.last_time.decode()
        if summary.first != self.tree.size or first_time < self.last_time:
            return False
        if any(self.sequences.get(actor, 0) != part.begun for actor, part in summary.actors.items()):
            return False
        peaks, above = self._joined(summary)
        if above != summary.above:
            return False
        try:
            keys = [(entry, _new_key(entry, data)) for entry, data in summary.rotations]
        except AuditError:
            return False
        self.tree = Frontier(summary.end, peaks)
        self.last_time = last_time
        for actor, part in summary.actors.items():
            self.sequences[actor], self.last_entries[actor] = part.after, part.last_entry
        self.rotations += keys
        self.blocks += summary.blocks
        return True

    def _joined(self, summary: Summary) -> tuple[list[bytes], bytes]:
        """The roots of complete subtrees with the piece, and the nodes above it that it completes."""
        peaks = self.tree.peaks.copy()
        if summary.end - summary.first < CHUNK_ENTRIES:
            return [*peaks, *summary.peaks], b""
        nodes, digest = [], summary.peaks[0]
        complete = self.tree.size // CHUNK_ENTRIES
        while complete & 1:
            digest = node_hash(peaks.pop(), digest)
            nodes.append(digest)
            complete >>= 1
        return [*peaks, digest], b"".join(nodes)


class _Finder:
    """Goes through a piece entry by entry, to name the first that is wrong.

    Args:
        state: Of the log before the piece.
    """

    def __init__(self, state: Replay) -> None:
        self._detailed = state.detailed
        self._tree = state.tree.copy()
        self._last_time = state.last_time.encode()
        self._sequences = state.sequences.copy()

    def refuse(self, piece: Piece) -> None:
        """Raises for the first entry that is wrong."""
        for entry, (data, hashes) in enumerate(zip(piece.data, piece.hashes, strict=True), piece.first):
            expected = self._tree.append(data)
            if hashes != expected:
                own = hashes[:HASH_BYTES] == expected[:HASH_BYTES]
                what = "the tree that ends with it" if own else "its leaf hash"
                raise _bad(entry, f"does not have beside it {what}")
            self._follow(entry, data)
        raise _bad(piece.first, "and those after it cannot be followed")

    def _follow(self, entry: int, data: bytes) -> None:
        if self._detailed:
            _parse(entry, data)
        start = FRAME_START.match(data)
        if start is None:
            raise _bad(entry, "cannot be read: no actor at its beginning")
        end = read_ends([data])[0]
        if end is None:
            raise _bad(entry, "cannot be read: no number, time and type at its end")
        number, time, kind = end
        actor = start[1].decode("ascii", "replace")
        seq = self._sequences.get(actor, 0)
        if int(number) != seq:
            raise _bad(entry, "is not the next of its actor: one is missing or repeated")
        if time < self._last_time:
            raise _bad(entry, "is older than the one before")
        if kind == ROTATED:
            _new_key(entry, data)
        self._sequences[actor], self._last_time = seq + 1, time


def are_entries(piece: Piece) -> bool:
    """Whether each entry of a piece parses and is valid."""
    try:
        for entry, data in enumerate(piece.data, piece.first):
            _parse(entry, data)
    except AuditError:
        return False
    return True


def _parse(entry: int, data: bytes) -> None:
    try:
        Entry.parse(data)
    except HanseError as error:
        raise _bad(entry, f"cannot be read: {error.detail}") from error


def _new_key(entry: int, data: bytes) -> VerifierKey:
    try:
        key = read_rotation(data)
    except HanseError as error:
        raise _bad(entry, f"cannot be read: {error.detail}") from error
    if key is None:
        raise _bad(entry, "cannot be read: no new key")
    return key


def _bad(entry: int, problem: str) -> AuditError:
    return AuditError("audit.integrity", f"entry {entry} {problem}", entry=entry)
