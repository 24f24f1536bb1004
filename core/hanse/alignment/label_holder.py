"""The label holder's side of a pass."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import malformed, say
from hanse.alignment.curve import POINT_BYTES, make_reversible_key
from hanse.alignment.identifiers import HASH_BYTES, Hashes, as_keys
from hanse.alignment.messages import (
    Rows,
    as_rows,
    gather,
    hear_rows,
    hear_secret,
    hear_table,
    say_rows,
)
from hanse.alignment.passing import Pass, blocks, permutation
from hanse.alignment.table import VALUE_BYTES, look_up, proofs
from hanse.alignment.worker import DERIVED_BYTES, Job
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.policies.agreement.alignment import bucket


def find_as_label_holder(
    this: Pass, hashes: Hashes, channels: Mapping[str, PeerChannel]
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Finds which of the label holder's identifiers all others have too.

    1. It sends a random multiple of the point of each identifier, and of fillers.
    2. Each feature holder sends their multiples by its own key, in an order that only feature holders know;
       the label holder takes its own factor out again. What is derived from the result opens the feature
       holder's table.
    3. The values of all tables for one identifier cancel out if all have it. So their number is known, not
       yet which; if there are enough, the feature holders tell the order.
    4. The label holder proves to each feature holder which of its identifiers are in common.

    Args:
        this: The pass.
        hashes: Of the label holder's identifiers that are left.
        channels: To the feature holders.

    Returns:
        Positions of the common ones in ``hashes``, and the filled-up size of each feature holder's set.

    Raises:
        HanseError: ``alignment.nobody``, ``alignment.too-few``, ``protocol.malformed`` and what the channels
            raise.
    """
    size = bucket(len(hashes), this.smallest_set)
    undo = _send_blinded(this, hashes, size, channels)
    values = np.zeros((size, VALUE_BYTES), np.uint8)
    sizes, proven = {}, {}
    for name, channel in channels.items():
        derived = _hear_evaluated(this, channel, undo, size)
        table, sizes[name] = hear_table(channel)
        values ^= look_up(table, derived)
        proven[name] = proofs(derived).copy()
    hits = np.flatnonzero(~values.any(axis=1))
    # Of too few it is not said how many, only whether there is anybody.
    told = len(hits) if len(hits) >= this.minimum else min(1, len(hits))
    for channel in channels.values():
        say(channel, "count", count=told)
    this.require_enough(len(hits))
    positions = _hear_order(channels, size)[hits]
    if (positions >= len(hashes)).any():
        raise ProtocolError("protocol.malformed", "a member answered so that a filler seems to be in common")
    for name, channel in channels.items():
        found = proven[name][hits]
        say_rows(channel, "found", found[np.argsort(as_keys(found))])
    return positions, sizes


def _send_blinded(this: Pass, hashes: Hashes, size: int, channels: Mapping[str, PeerChannel]) -> bytes:
    """Step 1; what takes the factor out again."""
    key, undo = make_reversible_key(this.entropy)
    fillers = as_rows(this.entropy((size - len(hashes)) * HASH_BYTES), HASH_BYTES)
    padded = np.concatenate([hashes, fillers])
    sent = 0
    for block in this.pool.run(Job.HASH_MULTIPLY, key, this.context, blocks(padded), "this member"):
        rows = as_rows(block, POINT_BYTES)
        for channel in channels.values():
            say(channel, "blinded", rows, at=sent, of=size)
        sent += len(rows)
        this.progress("blinding", sent, size)
    return undo


def _hear_evaluated(this: Pass, channel: PeerChannel, undo: bytes, size: int) -> Rows:
    """Step 2, for one feature holder."""
    coming = (rows.tobytes() for rows, _ in hear_rows(channel, "evaluated", POINT_BYTES, size))
    parts, done = [], 0
    for block in this.pool.run(Job.MULTIPLY_DERIVE, undo, this.context, coming, channel.peer):
        parts.append(as_rows(block, DERIVED_BYTES))
        done += len(parts[-1])
        this.progress(f"comparing with {channel.peer}", done, size)
    return gather(iter(parts), DERIVED_BYTES)


def _hear_order(channels: Mapping[str, PeerChannel], size: int) -> NDArray[np.int64]:
    seeds = {name: hear_secret(channel, "order") for name, channel in channels.items()}
    for name, channel in channels.items():
        if seeds[name] != seeds[min(seeds)]:
            raise malformed(channel, "its order is not that of the other feature holders")
    return permutation(seeds[min(seeds)], size)
