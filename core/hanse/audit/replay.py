"""What the entries of a log add up to, recomputed from their bytes. Pure: the database is read elsewhere.

Pieces of the log come in order, each of :data:`~hanse.audit.store.CHUNK_ENTRIES` but the last. A piece is
hashed level by level, which takes a third of the time of adding leaf after leaf.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hanse.audit.entry import FRAME_END, FRAME_SEQ, FRAME_START, Entry
from hanse.audit.event import EventType
from hanse.audit.rotation import read_rotation
from hanse.audit.store import CHUNK_ENTRIES
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

    def take(self, chunk: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Takes the next piece of the log.

        Args:
            chunk: Not empty; shorter than :data:`~hanse.audit.store.CHUNK_ENTRIES` only at the end.

        Raises:
            AuditError: ``audit.integrity`` if an entry is not the one that a writer would have written next,
                or has other hashes beside it; ``entry`` is the first such. The state is then void.
        """
        expected = self._hash(chunk)
        beside = [hashes for _, _, hashes in chunk]
        if beside == expected:
            self._follow(chunk)
            return
        wrong = next(place for place, hashes in enumerate(beside) if hashes != expected[place])
        self._follow(chunk[:wrong])
        own = beside[wrong][:HASH_BYTES] == expected[wrong][:HASH_BYTES]
        what = "the tree that ends with it" if own else "its leaf hash"
        raise _bad(chunk[wrong][0], f"does not have beside it {what}")

    def _follow(self, chunk: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Checks entries against the ones before them. One loop without calls: it runs for every entry."""
        start, actor, seq, last_time = b"?", "", 0, self.last_time.encode()
        for entry, data, _ in chunk:
            if self.detailed:
                _require_entry(entry, data)
            if not data.startswith(start):  # the actor's bytes; entries of one mostly come together
                self._note(actor, seq, entry - 1)
                start, actor = _actor(entry, data)
                seq = self.sequences.get(actor, 0)
            end = FRAME_END.fullmatch(data, data.rfind(FRAME_SEQ))
            if end is None:
                raise _bad(entry, "cannot be read: no number, time and type at its end")
            number, time, kind = end.groups()
            if int(number) != seq:
                raise _bad(entry, "is not the next of its actor: one is missing or repeated")
            if time < last_time:
                raise _bad(entry, "is older than the one before")
            seq, last_time = seq + 1, time
            if kind == _ROTATED:
                self.rotations.append((entry, _new_key(entry, data)))
        if chunk:
            self._note(actor, seq, chunk[-1][0])
        self.last_time = last_time.decode()

    def _note(self, actor: str, seq: int, last_entry: int) -> None:
        """Keeps what is known of an actor when another's entries begin."""
        if actor:
            self.sequences[actor], self.last_entries[actor] = seq, last_entry

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
