"""Sums up a piece of a log: entries that follow each other, hashed level by level and followed by column.

That takes a third of the time of adding leaf after leaf, and needs nothing that stands before the piece. What
depends on that is stated as it stands in the log, for :class:`hanse.audit.replay.Replay` to hold against it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from hanse.pieces.ends import FRAME_START, End, read_ends

CHUNK_ENTRIES: Final = 2_048
"""Entries of a whole piece: a power of two, so that it is one subtree. Only the last piece is shorter."""

BLOCK_ENTRIES: Final = 256
ROTATED: Final = b"log.key-rotated"


class Piece(NamedTuple):
    """Rows of the log that follow each other, by column: a reviewer reads millions.

    Attributes:
        first: Index of the first entry.
        data: The canonical bytes of each entry.
        hashes: The nodes of the tree that each completes, 32 bytes each, its leaf hash first.
    """

    first: int
    data: tuple[bytes, ...]
    hashes: tuple[bytes, ...]


class Actor(NamedTuple):
    """The entries of one actor in a piece.

    Attributes:
        begun: Number of its first entry here.
        after: The number after that of its last.
        last_entry: Index of its last entry.
    """

    begun: int
    after: int
    last_entry: int


class Summary(NamedTuple):
    """A piece of which each entry is the one that a writer would have written after the one before it.

    Attributes:
        first: Index of the first entry.
        end: Index after the last.
        peaks: Roots of the complete subtrees within the piece, largest first: one for a whole piece.
        above: Nodes above a whole piece that stand beside its last entry.
        first_time: Time of the first entry.
        last_time: Time of the last.
        actors: What each actor wrote; by canonical JSON.
        rotations: The entries by which the log changed its key: index and bytes.
        blocks: For each :data:`BLOCK_ENTRIES` entries, :func:`block_digest` of their leaf hashes.
    """

    first: int
    end: int
    peaks: tuple[bytes, ...]
    above: bytes
    first_time: bytes
    last_time: bytes
    actors: dict[str, Actor]
    rotations: tuple[tuple[int, bytes], ...]
    blocks: tuple[bytes, ...]


def block_digest(leaf_hashes: Sequence[bytes]) -> bytes:
    """One digest for many leaf hashes: who reads an entry again later compares."""
    return hashlib.sha256(b"".join(leaf_hashes)).digest()


def sum_up(piece: Piece) -> Summary | None:
    """Hashes and follows the entries of a piece.

    Args:
        piece: Bytes from anywhere, at least one entry.

    Returns:
        What they add up to; None if anything is wrong within the piece.
    """
    leaves = piece.data
    peaks, beside, blocks = _hash(leaves)
    last = beside.pop()
    if list(piece.hashes[:-1]) != beside or not piece.hashes[-1].startswith(last):
        return None
    above = piece.hashes[-1][len(last) :]
    if above and len(leaves) < CHUNK_ENTRIES:
        return None
    ends = [end for end in read_ends(leaves) if end is not None]
    if len(ends) != len(leaves):
        return None
    times = [time for _, time, _ in ends]
    actors = _follow(piece.first, leaves, ends)
    if actors is None or times != sorted(times):
        return None
    rotations = [(piece.first + at, leaves[at]) for at, end in enumerate(ends) if end[2] == ROTATED]
    return Summary(
        piece.first,
        piece.first + len(leaves),
        peaks,
        above,
        times[0],
        times[-1],
        actors,
        tuple(rotations),
        blocks,
    )


def _hash(leaves: Sequence[bytes]) -> tuple[tuple[bytes, ...], list[bytes], tuple[bytes, ...]]:
    """Roots of the complete subtrees, the hashes that belong beside each entry, and the blocks."""
    sha256 = hashlib.sha256
    level = [sha256(b"\x00" + data).digest() for data in leaves]
    blocks = [
        block_digest(level[start : start + BLOCK_ENTRIES]) for start in range(0, len(level), BLOCK_ENTRIES)
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
    return (*level, *reversed(odd)), beside, tuple(blocks)


def _follow(first: int, leaves: Sequence[bytes], ends: Sequence[End]) -> dict[str, Actor] | None:
    """What each actor wrote; None if a number is not the next of its actor, or an entry names no actor."""
    actors: dict[str, Actor] = {}
    numbers = [int(number) for number, _, _ in ends]
    place = 0
    while place < len(leaves):
        found = FRAME_START.match(leaves[place])
        if found is None:
            return None
        start, after = found[0], place + 1
        while after < len(leaves) and leaves[after].startswith(start):  # those of one mostly come together
            after += 1
        begun, count = numbers[place], after - place
        actor = found[1].decode("ascii", "replace")
        known = actors.get(actor)
        if numbers[place:after] != [*range(begun, begun + count)] or (known and known.after != begun):
            return None
        actors[actor] = Actor(known.begun if known else begun, begun + count, first + after - 1)
        place = after
    return actors
