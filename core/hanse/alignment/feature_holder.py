"""A feature holder's side of a pass."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import malformed
from hanse.alignment.curve import KEY_BYTES, POINT_BYTES
from hanse.alignment.identifiers import Hashes, as_keys
from hanse.alignment.messages import (
    Rows,
    as_rows,
    gather,
    hear_count,
    hear_rows,
    say_rows,
    say_secret,
    say_table,
)
from hanse.alignment.passing import Pass, blocks, permutation
from hanse.alignment.pool import take
from hanse.alignment.table import VALUE_BYTES, build, proofs
from hanse.alignment.worker import DERIVED_BYTES, Job
from hanse.exchange.peers import PeerChannel
from hanse.policies.agreement.alignment import bucket


def find_as_feature_holder(
    this: Pass, hashes: Hashes, channel: PeerChannel, shared: Mapping[str, bytes], order: bytes
) -> tuple[NDArray[np.int64], int]:
    """Finds which of a feature holder's identifiers all others have too; the steps are the label holder's.

    Args:
        this: The pass.
        hashes: Of the feature holder's identifiers that are left.
        channel: To the label holder.
        shared: A secret with each other feature holder, for this pass.
        order: A secret of all feature holders, for this pass.

    Returns:
        Positions of the common ones in ``hashes``, and the filled-up size of the label holder's set.

    Raises:
        HanseError: ``alignment.nobody``, ``alignment.too-few``, ``protocol.malformed`` and what the channel
            raises.
    """
    key = this.entropy(KEY_BYTES)
    # The label holder waits for these values, so they come before the own ones.
    evaluating = [
        this.pool.submit(Job.MULTIPLY, key, this.context, rows.tobytes())
        for rows, _ in hear_rows(channel, "blinded", POINT_BYTES)
    ]
    own = [this.pool.submit(Job.HASH_MULTIPLY_DERIVE, key, this.context, block) for block in blocks(hashes)]
    evaluated = _collect(this, evaluating, POINT_BYTES, channel.peer, "answering")
    asked = len(evaluated)
    say_rows(channel, "evaluated", evaluated[permutation(order, asked)])
    del evaluated  # the table needs the room
    derived = _collect(this, own, DERIVED_BYTES, "this member", "hashing")
    _send_table(this, channel, derived, zero_shares(hashes, shared))
    count = hear_count(channel, min(len(hashes), asked))
    this.require_enough(count)
    say_secret(channel, "order", order)
    found = gather((rows for rows, _ in hear_rows(channel, "found", VALUE_BYTES, count)), VALUE_BYTES)
    return _positions(found, proofs(derived), channel), asked


def zero_shares(hashes: Hashes, shared: Mapping[str, bytes]) -> Rows:
    """A value for each identifier; those of all feature holders for one identifier cancel out.

    Each alone looks random to who lacks one of the secrets, as the label holder lacks all of them. With one
    feature holder there are no secrets, and the values are zero.

    Args:
        hashes: The identifiers.
        shared: A secret with each other feature holder.
    """
    values = np.zeros((len(hashes), VALUE_BYTES), np.uint8)
    for secret in shared.values():
        start = hashlib.blake2b(key=secret, digest_size=VALUE_BYTES)
        made = bytearray()
        for row in hashes:
            state = start.copy()
            state.update(row.tobytes())
            made += state.digest()
        values ^= as_rows(bytes(made), VALUE_BYTES)
    return values


def _collect(this: Pass, begun: list[Future[bytes | None]], width: int, origin: str, stage: str) -> Rows:
    parts = []
    for done, job in enumerate(begun, 1):
        parts.append(as_rows(take(job, origin), width))
        this.progress(stage, done, len(begun))
    begun.clear()  # the results are here twice otherwise
    return gather(iter(parts), width)


def _send_table(this: Pass, channel: PeerChannel, derived: Rows, values: Rows) -> None:
    """Fillers are keys that nobody can compute; they look like the others."""
    size = bucket(len(derived), this.smallest_set)
    more = size - len(derived)
    keys = np.concatenate([derived, as_rows(this.entropy(more * DERIVED_BYTES), DERIVED_BYTES)])
    noise = as_rows(this.entropy(more * VALUE_BYTES), VALUE_BYTES)
    say_table(channel, build(keys, np.concatenate([values, noise]), this.entropy), size)


def _positions(found: Rows, own: Rows, channel: PeerChannel) -> NDArray[np.int64]:
    """Where the label holder's proofs are among the own ones."""
    keys, wanted = as_keys(own), as_keys(found)
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    if (keys[order[at]] != wanted).any() or len(np.unique(at)) != len(at):
        raise malformed(channel, "it names people in common without proof")
    return order[at]
