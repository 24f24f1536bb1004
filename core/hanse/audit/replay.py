"""What the entries of a log add up to, recomputed from their bytes. Pure: the database is read elsewhere.

Pieces of the log come in order, each of :data:`~hanse.audit.store.CHUNK_ENTRIES` but the last. A piece is
hashed level by level, which takes a third of the time of adding leaf after leaf.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.entry import Entry, FrameReader
from hanse.audit.rotation import ROTATION_END, read_rotation
from hanse.audit.store import CHUNK_ENTRIES
from hanse.audit.tree import HASH_BYTES, Frontier, node_hash
from hanse.crypto import VerifierKey
from hanse.errors import AuditError, HanseError

BLOCK_ENTRIES: Final = 256


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
    _frames: FrameReader = field(default_factory=FrameReader)

    def take(self, chunk: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Takes the next piece of the log.

        Args:
            chunk: Not empty; shorter than :data:`~hanse.audit.store.CHUNK_ENTRIES` only at the end.

        Raises:
            AuditError: ``audit.integrity`` if an entry is not the one that a writer would have written next,
                or has other hashes beside it; ``entry`` is the first such. The state is then void.
        """
        expected = self._hash(chunk)
        for (entry, data, stored), hashes in zip(chunk, expected, strict=True):
            if stored != hashes:
                what = "its leaf hash" if stored[:HASH_BYTES] != hashes[:HASH_BYTES] else "the tree below it"
                raise _bad(entry, f"does not have beside it {what}")
            self._follow(entry, data)

    def _follow(self, entry: int, data: bytes) -> None:
        """Checks an entry against the ones before it."""
        frame = self._frames.read(data)
        if self.detailed or frame is None or data.endswith(ROTATION_END):
            self._parse(entry, data)
        if frame is None:
            raise _bad(entry, "has no actor, number and time in their places")
        actor, seq, time = frame
        if seq != self.sequences.get(actor, 0):
            raise _bad(entry, "is not the next of its actor: one is missing or repeated")
        if time < self.last_time:
            raise _bad(entry, "is older than the one before")
        self.sequences[actor] = seq + 1
        self.last_entries[actor] = entry
        self.last_time = time

    def _parse(self, entry: int, data: bytes) -> None:
        """Reads all of an entry, and follows a change of the key."""
        try:
            Entry.parse(data)
            key = read_rotation(data)
        except HanseError as error:
            raise _bad(entry, f"cannot be read: {error.detail}") from error
        if key is not None:
            self.rotations.append((entry, key))

    def _hash(self, chunk: Sequence[tuple[int, bytes, bytes]]) -> list[bytes]:
        """Grows the tree by a piece; gives the hashes that belong beside each of its entries."""
        sha256 = hashlib.sha256
        levels = [[sha256(b"\x00" + data).digest() for _, data, _ in chunk]]
        beside = levels[0].copy()
        for start in range(0, len(chunk), BLOCK_ENTRIES):
            self.blocks.append(block_digest(beside[start : start + BLOCK_ENTRIES]))
        while len(levels[-1]) > 1:
            below = levels[-1]
            nodes = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(below[::2], below[1::2], strict=False)
            ]
            step = 1 << len(levels)
            for last, digest in enumerate(nodes, 1):
                beside[last * step - 1] += digest
            levels.append(nodes)
        if len(chunk) == CHUNK_ENTRIES:
            beside[-1] += self._join(levels[-1][0])
        else:
            self.tree.peaks += [level[-1] for level in reversed(levels) if len(level) & 1]
        self.tree.size += len(chunk)
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


def _bad(entry: int, problem: str) -> AuditError:
    return AuditError("audit.integrity", f"entry {entry} {problem}", entry=entry)
