"""A process that sums up pieces; see :mod:`hanse.pieces.helpers` for who starts it.

On its input come pieces: the length of the rest (8 bytes, little-endian), index of the first entry (8),
number of entries (4), the lengths of all entries and of all their hashes (4 each), entries, hashes. For each
it writes a line: the summary as JSON, or ``null`` if anything is wrong within the piece.
"""

import gc
import json
import struct
import sys
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import BinaryIO, Final

from hanse.pieces.summary import Actor, Piece, Summary, sum_up

_LENGTH: Final = struct.Struct("<Q")
_HEAD: Final = struct.Struct("<QI")


def write_piece(piece: Piece) -> bytes:
    """A piece as it is handed to a process."""
    columns = (*piece.data, *piece.hashes)
    rest = b"".join(
        (
            _HEAD.pack(piece.first, len(piece.data)),
            struct.pack(f"<{len(columns)}I", *map(len, columns)),
            *columns,
        )
    )
    return _LENGTH.pack(len(rest)) + rest


def _read_piece(rest: bytes) -> Piece:
    first, count = _HEAD.unpack_from(rest)
    lengths = struct.unpack_from(f"<{2 * count}I", rest, _HEAD.size)
    bounds = accumulate(lengths, initial=_HEAD.size + 8 * count)
    columns = tuple([rest[start:end] for start, end in pairwise(bounds)])
    return Piece(first, columns[:count], columns[count:])


def write_summary(summary: Summary | None) -> bytes:
    """A summary as it is handed back: a line of JSON, bytes as hexadecimal digits."""
    return json.dumps(summary, default=bytes.hex).encode() + b"\n"


def read_summary(line: bytes) -> Summary | None:
    """Reads what :func:`write_summary` wrote; None for anything else as well."""
    try:
        return _summary_of(*json.loads(line))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _summary_of(
    first: int,
    end: int,
    peaks: Sequence[str],
    above: str,
    first_time: str,
    last_time: str,
    actors: dict[str, Sequence[int]],
    rotations: Sequence[tuple[int, str]],
    blocks: Sequence[str],
) -> Summary:
    return Summary(
        first,
        end,
        tuple(map(bytes.fromhex, peaks)),
        bytes.fromhex(above),
        bytes.fromhex(first_time),
        bytes.fromhex(last_time),
        {actor: Actor(*part) for actor, part in actors.items()},
        tuple((entry, bytes.fromhex(data)) for entry, data in rotations),
        tuple(map(bytes.fromhex, blocks)),
    )


def serve(source: BinaryIO, answers: BinaryIO, is_valid: Callable[[Piece], bool] | None = None) -> None:
    """Sums up pieces until there are no more.

    Args:
        source: Gives them.
        answers: Takes the summaries.
        is_valid: What else is asked of a piece.
    """
    gc.freeze()  # what is loaded by now stays: no need to go through it again and again
    while len(length := source.read(_LENGTH.size)) == _LENGTH.size:
        piece = _read_piece(source.read(_LENGTH.unpack(length)[0]))
        summary = sum_up(piece)
        if summary is not None and is_valid is not None and not is_valid(piece):
            summary = None
        answers.write(write_summary(summary))
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
