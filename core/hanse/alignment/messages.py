"""What members say to each other in an alignment, and how it is read: a value, or an error that names who.

Messages are those of :mod:`hanse.aggregation.steps`. What has many rows is sent in several, each with the
position of its first row (``at``) and the number of all (``of``).
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.alignment.pool import BLOCK
from hanse.alignment.table import VALUE_BYTES, Table, slots_for
from hanse.alignment.terms import MOST_IDENTIFIERS
from hanse.exchange.peers import PeerChannel

VERSION: Final = 2
SECRET_BYTES: Final = 32

Rows = NDArray[np.uint8]


def say_secret(channel: PeerChannel, step: str, secret: bytes) -> None:
    """Sends 32 bytes."""
    say(channel, step, np.frombuffer(secret, np.uint8))


def hear_secret(channel: PeerChannel, step: str) -> bytes:
    """Receives 32 bytes; raises as :func:`hanse.aggregation.steps.hear_step`."""
    _, arrays = hear_step(channel, step)
    if len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].shape != (SECRET_BYTES,):
        raise malformed(channel, f"its {step} is of another form")
    return arrays[0].tobytes()


def hear_count(channel: PeerChannel, most: int) -> int:
    """Receives how many people are in common; raises as :func:`hanse.aggregation.steps.hear_step`."""
    header, arrays = hear_step(channel, "count")
    match header.get("count"):
        case int(count) if 0 <= count <= most and not arrays and not isinstance(header["count"], bool):
            return count
    raise malformed(channel, "the number of people in common is no number, or more than there are")


def say_rows(channel: PeerChannel, step: str, rows: Rows) -> None:
    """Sends many rows."""
    for at in range(0, len(rows), BLOCK):
        say(channel, step, rows[at : at + BLOCK], at=at, of=len(rows))


def hear_rows(
    channel: PeerChannel, step: str, width: int, of: int | None = None
) -> Iterator[tuple[Rows, int]]:
    """Receives many rows.

    Args:
        channel: From whom.
        step: What is due.
        width: Bytes of a row.
        of: How many rows there must be; None for what the peer says, between 1 and 20 million.

    Yields:
        Some of them, and how many there are in all.

    Raises:
        ProtocolError: As :func:`hanse.aggregation.steps.hear_step`.
    """
    at = 0
    while of is None or at < of:
        header, arrays = hear_step(channel, step)
        total = header.get("of") if of is None else of
        if not isinstance(total, int) or not 0 < total <= MOST_IDENTIFIERS:
            raise malformed(channel, f"the number of rows of its {step} is out of range")
        of = total
        if (header.get("at"), header.get("of")) != (at, of) or len(arrays) != 1:
            raise malformed(channel, f"the rows of its {step} do not follow each other")
        rows = arrays[0]
        if rows.dtype != np.uint8 or rows.shape != (min(BLOCK, of - at), width):
            raise malformed(channel, f"the rows of its {step} are of another form")
        at += len(rows)
        yield rows, of


def say_table(channel: PeerChannel, table: Table, keys: int) -> None:
    """Sends a table for so many keys."""
    say(channel, "table", table.seed, keys=keys)
    say_rows(channel, "slots", table.slots)


def hear_table(channel: PeerChannel) -> tuple[Table, int]:
    """Receives a table, and the number of its keys; raises as :func:`hanse.aggregation.steps.hear_step`."""
    header, arrays = hear_step(channel, "table")
    keys = header.get("keys")
    if not isinstance(keys, int) or not 0 < keys <= MOST_IDENTIFIERS:
        raise malformed(channel, "the size of its table is out of range")
    if len(arrays) != 1 or arrays[0].dtype != np.uint64 or arrays[0].shape != (3,):
        raise malformed(channel, "the seed of its table is of another form")
    slots = (rows for rows, _ in hear_rows(channel, "slots", VALUE_BYTES, slots_for(keys)))
    return Table(arrays[0], gather(slots, VALUE_BYTES)), keys


def gather(parts: Iterator[Rows], width: int) -> Rows:
    """All rows of several parts."""
    return np.concatenate([np.empty((0, width), np.uint8), *parts])


def as_rows(data: bytes, width: int) -> Rows:
    """Bytes as rows of one width."""
    return np.frombuffer(data, np.uint8).reshape(-1, width)


Entropy = Callable[[int], bytes]
"""Gives so many random bytes."""
