"""What the entries of a log add up to, recomputed from their bytes. Pure: the database is read elsewhere.

Pieces of the log come in order, each of :data:`~hanse.audit.store.CHUNK_ENTRIES` but the last. A piece is
hashed level by level, which takes a third of the time of adding leaf after leaf.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.entry import FRAME_START, End, Entry, read_ends
from hanse.audit.event import EventType
from hanse.audit.rotation import read_rotation
from hanse.audit.store import CHUNK_ENTRIES, Piece
from hanse.audit.tree import HASH_BYTES, Frontier, node_hash
from hanse.crypto import VerifierKey
from hanse.errors import AuditError, HanseError

BLOCK_ENTRIES: Final = 256
_ROTATED: Final = EventType.LOG_KEY_ROTATED.value.encode()


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
        blocks: For each :data:`BLOCK_ENTRIES` entries, a digest of their leaf hashes: who reads an entry
            again later compares.
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
        expected = self._hash(piece.data)
        if list(piece.hashes) == expected:
            self._follow(piece.first, piece.data)
            return
        wrong = next(place for place, hashes in enumerate(piece.hashes) if hashes != expected[place])
        self._follow(piece.first, piece.data[:wrong])
        own = piece.hashes[wrong][:HASH_BYTES] == expected[wrong][:HASH_BYTES]
        what = "the tree that ends with it" if own else "its leaf hash"
        raise _bad(piece.first + wrong, f"does not have beside it {what}")

    def _follow(self, first: int, leaves: Sequence[bytes]) -> None:
        """Checks entries against the ones before them."""
        ends = read_ends(leaves)
        if not self._follow_run(first, leaves, ends):
            self._follow_each(first, leaves, ends)

    def _follow_run(self, first: int, leaves: Sequence[bytes], ends: Sequence[End | None]) -> bool:
        """Takes entries at a time if one actor wrote all of them, as mostly, and nothing is to be said."""
        if self.detailed or not leaves or None in ends:
            return False
        start, actor = _actor(first, leaves[0])
        seq = self.sequences.get(actor, 0)
        numbers, times, kinds = zip(*ends, strict=True)
        if (
            [data for data in leaves if not data.startswith(start)]
            or [*map(int, numbers)] != [*range(seq, seq + len(leaves))]
            or [self.last_time.encode(), *times] != sorted([self.last_time.encode(), *times])
            or _ROTATED in kinds
        ):
            return False
        self._note(actor, seq + len(leaves), first + len(leaves) - 1)
        self.last_time = times[-1].decode()
        return True

    def _follow_each(self, first: int, leaves: Sequence[bytes], ends: Sequence[End | None]) -> None:
        """Takes entries one by one, in one loop without calls: it runs for every entry of several actors."""
        start, actor, seq, last_time = b"", "", 0, self.last_time.encode()
        for entry, (data, end) in enumerate(zip(leaves, ends, strict=True), first):
            if self.detailed:
                _require_entry(entry, data)
            if not (actor and data.startswith(start)):  # the actor's bytes; those of one mostly come together
                self._note(actor, seq, entry - 1)
                start, actor = _actor(entry, data)
                seq = self.sequences.get(actor, 0)
            if end is None:
                raise _bad(entry, "cannot be read: no number, time and type at its end")
            number, time, kind = end
            if int(number) != seq:
                raise _bad(entry, "is not the next of its actor: one is missing or repeated")
            if time < last_time:
                raise _bad(entry, "is older than the one before")
            seq, last_time = seq + 1, time
            if kind == _ROTATED:
                self.rotations.append((entry, _new_key(entry, data)))
        if leaves:
            self._note(actor, seq, first + len(leaves) - 1)
        self.last_time = last_time.decode()

    def _note(self, actor: str, seq: int, last_entry: int) -> None:
        """Keeps what is known of an actor when another's entries begin."""
        if actor:
            self.sequences[actor], self.last_entries[actor] = seq, last_entry

    def _hash(self, leaves: Sequence[bytes]) -> list[bytes]:
        """Grows the tree by a piece; gives the hashes that belong beside each of its entries."""
        sha256 = hashlib.sha256
        level = [sha256(b"\x00" + data).digest() for data in leaves]
        self.blocks += [
            block_digest(level[start : start + BLOCK_ENTRIES])
            for start in range(0, len(level), BLOCK_ENTRIES)
        ]
        beside, step, odd = level.copy(), 1, []
        while len(level) > 1:
            if len(level) & 1:
                odd.append(level[-1])
            level = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(level[::2], level[1::2], strict=False)
            ]
            step *= 2
            beside[step - 1 :: step] = map(bytes.__add__, beside[step - 1 :: step], level)
        if len(leaves) == CHUNK_ENTRIES:
            beside[-1] += self._join(level[0])
        else:
            self.tree.peaks += [*level, *reversed(odd)]
        self.tree.size += len(leaves)
        return beside

    def _join(self, digest: bytes) -> bytes:
        """Adds the root of a whole piece; gives the nodes above it that it completes."""
        nodes = []
        complete = self.tree.size // CHUNK_ENTRIES
        while complete & 1:
            digest = node_hash(self.tree.peaks.pop(), digest)
            nodes.append(digest)
            complete >>= 1
        self.tree.peaks.append(digest)
        return b"".join(nodes)


def block_digest(leaf_hashes: Sequence[bytes]) -> bytes:
    """The digest of :attr:`Replay.blocks`."""
    return hashlib.sha256(b"".join(leaf_hashes)).digest()


def _actor(entry: int, data: bytes) -> tuple[bytes, str]:
    """How an entry begins, and the actor that it names."""
    found = FRAME_START.match(data)
    if found is None:
        raise _bad(entry, "cannot be read: no actor at its beginning")
    return found[0], found[1].decode("ascii", "replace")


def _require_entry(entry: int, data: bytes) -> None:
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
