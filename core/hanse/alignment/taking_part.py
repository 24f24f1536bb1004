"""The whole alignment of one member: greeting, passes, common order, and what all log equal.

1. *Greeting*, between every two members: what they agreed on, which must be the same; the commitment to the
   input set; a commitment to a coin.
2. *Passes*, one for each kind of identifier in the agreement's order. Whoever is found in one is not in the
   next: two rows are the same person by the first kind by which they are found to be, and no row is in two
   pairs. The pass of the first kind must reach the minimum by itself.
3. *Order*: the coins are opened. The hash of each common identifier under the coins together says where its
   row stands: an order that is the same for all, and random for each.
4. *Root*: SHA-256 over these hashes in their order. All members compare it, and log it; it tells a reader of
   the log nothing, as only the members know the coins.

Every two members need a channel: feature holders share secrets that the label holder must not know.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.alignment.feature_holder import find_as_feature_holder
from hanse.alignment.identifiers import HASH_BYTES, Hashes, Prepared, as_keys
from hanse.alignment.label_holder import find_as_label_holder
from hanse.alignment.messages import (
    SECRET_BYTES,
    VERSION,
    Entropy,
    as_rows,
    hear_secret,
    say_secret,
)
from hanse.alignment.passing import Pass, Progress
from hanse.alignment.pool import GroupPool
from hanse.alignment.terms import Terms
from hanse.crypto import Toss
from hanse.errors import ConfigurationError, PolicyError, ProtocolError
from hanse.exchange.peers import PeerChannel


@dataclass(frozen=True, slots=True)
class Alignment:
    """What an alignment gives to one member.

    Attributes:
        rows: Positions of the common people in the member's own table, in the order that all have.
        root: Of the aligned set, 32 bytes: the same for all members, for the log.
        commitments: Every member's commitment to its input set, the own one too, for the log.
        found: People found by each kind of identifier.
        sizes: What other members' sets, filled up, were in each pass, as far as this member was told.
    """

    rows: NDArray[np.int64]
    root: bytes
    commitments: Mapping[str, bytes]
    found: Mapping[str, int]
    sizes: Mapping[str, tuple[int, ...]]


def take_part(
    me: str,
    identifiers: Prepared,
    peers: Mapping[str, PeerChannel],
    terms: Terms,
    entropy: Entropy = os.urandom,
    progress: Progress = lambda *_: None,
    processes: int = 0,
) -> Alignment:
    """Takes part in an alignment. Blocks until it is done.

    Args:
        me: This member.
        identifiers: What :func:`hanse.alignment.identifiers.prepare` made under the same rules.
        peers: A channel to every other member.
        terms: What was agreed.
        entropy: Where all secrets of this run come from; they are never used again.
        progress: Is told how far it is.
        processes: That compute beside this one; 0 for none.

    Returns:
        The common rows, and what belongs into the log.

    Raises:
        ConfigurationError: ``config.invalid`` if a channel is missing.
        PolicyError: ``alignment.terms`` if another member has other terms, ``alignment.nobody``,
            ``alignment.too-few``.
        ProtocolError: ``protocol.malformed``, ``protocol.unexpected-step``, ``alignment.root`` if the members
            did not find the same people; and what the channels raise.
        TrainingError: ``alignment.worker``.
    """
    if set(peers) != set(terms.members) - {me} or me not in terms.members:
        raise ConfigurationError("config.invalid", "an alignment needs a channel to every other member")
    coin = entropy(SECRET_BYTES)
    commitments, coins = _greet(me, identifiers, peers, terms, coin)
    with GroupPool(processes) as pool:
        rows, hashes, found, sizes = _Member(me, identifiers, peers, terms, entropy, progress, pool).run()
    joint = _open_coins(me, peers, _toss(terms), coin, coins)
    keys = _keys(hashes, joint)
    order = np.argsort(as_keys(keys))
    root = _root(keys[order])
    _compare(peers, root)
    return Alignment(rows[order], root, commitments, found, sizes)


def _greet(
    me: str, identifiers: Prepared, peers: Mapping[str, PeerChannel], terms: Terms, coin: bytes
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Commitments to input sets and to coins, by member."""
    stated = terms.stated()
    committed = np.frombuffer(identifiers.commitment + _toss(terms).commitment(me, coin), np.uint8)
    for channel in peers.values():
        say(channel, "hello", committed, version=VERSION, **stated)
    commitments, coins = {me: identifiers.commitment}, {}
    for name, channel in peers.items():
        header, arrays = hear_step(channel, "hello")
        if header.get("version") != VERSION:
            raise ProtocolError("protocol.version", f"{name} aligns by another version of the protocol")
        if differing := [field for field, value in stated.items() if header.get(field) != value]:
            raise PolicyError(
                "alignment.terms", f"{name} aligns with another {differing[0]} than this member"
            )
        if len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].shape != (2 * SECRET_BYTES,):
            raise malformed(channel, "its commitments are of another form")
        commitments[name] = arrays[0][:SECRET_BYTES].tobytes()
        coins[name] = arrays[0][SECRET_BYTES:].tobytes()
    return commitments, coins


@dataclass(frozen=True, slots=True)
class _Member:
    """One member within the passes."""

    me: str
    identifiers: Prepared
    peers: Mapping[str, PeerChannel]
    terms: Terms
    entropy: Entropy
    progress: Progress
    pool: GroupPool

    def run(self) -> tuple[NDArray[np.int64], Hashes, dict[str, int], dict[str, tuple[int, ...]]]:
        """All passes: rows and hashes of the common people, how many by kind, and sizes of others' sets."""
        leads = self.me == self.terms.label_holder
        shared = {} if leads else self._share()
        rows, hashes = np.empty(0, np.int64), np.empty((0, HASH_BYTES), np.uint8)
        found: dict[str, int] = {}
        sizes: dict[str, tuple[int, ...]] = {}
        for position, rule in enumerate(self.terms.rules.identifiers):
            of_kind, places = self.identifiers.kinds[position]
            left = np.flatnonzero(~np.isin(places, rows))
            this = self._pass(position, minimum=0 if position else self.terms.rules.minimum)
            if leads:
                at, told = find_as_label_holder(this, of_kind[left], self._feature_channels())
            else:
                at, told = self._find(this, of_kind[left], shared)
            for name, size in told.items():
                sizes[name] = (*sizes.get(name, ()), size)
            found[rule.kind] = len(at)
            rows = np.concatenate([rows, places[left[at]]])
            hashes = np.concatenate([hashes, of_kind[left[at]]])
        return rows, hashes, found, sizes

    def _pass(self, position: int, minimum: int) -> Pass:
        rules = self.terms.rules
        return Pass(
            kind=rules.identifiers[position].kind,
            context=self.terms.context(position),
            minimum=minimum,
            smallest_set=rules.smallest_set,
            pool=self.pool,
            entropy=self.entropy,
            progress=self.progress,
        )

    def _find(
        self, this: Pass, hashes: Hashes, shared: Mapping[str, bytes]
    ) -> tuple[NDArray[np.int64], dict[str, int]]:
        secrets = {name: _derive(secret, this.context) for name, secret in shared.items()}
        order = secrets.pop("")
        holder = self.terms.label_holder
        at, size = find_as_feature_holder(this, hashes, self.peers[holder], secrets, order)
        return at, {holder: size}

    def _feature_channels(self) -> dict[str, PeerChannel]:
        return {name: self.peers[name] for name in self.terms.feature_holders}

    def _share(self) -> dict[str, bytes]:
        """A secret with each other feature holder; and, under the empty name, one of all together."""
        mine = {name: self.entropy(SECRET_BYTES) for name in self.terms.feature_holders}
        others = [name for name in mine if name != self.me]
        for name in others:
            say_secret(self.peers[name], "share", mine[name])
            say_secret(self.peers[name], "order share", mine[self.me])
        shared, orders = {}, {self.me: mine[self.me]}
        for name in others:
            theirs = hear_secret(self.peers[name], "share")
            orders[name] = hear_secret(self.peers[name], "order share")
            shared[name] = _join(b"share", sorted([mine[name], theirs]))
        shared[""] = _join(b"order", [orders[name] for name in sorted(orders)])
        return shared


def _open_coins(
    me: str, peers: Mapping[str, PeerChannel], toss: Toss, coin: bytes, committed: Mapping[str, bytes]
) -> bytes:
    """All coins together, which no member could choose."""
    for channel in peers.values():
        say_secret(channel, "coin", coin)
    coins = {me: coin}
    for name, channel in peers.items():
        coins[name] = hear_secret(channel, "coin")
        toss.check(name, coins[name], committed[name], name)
    return toss.joint(coins[name] for name in sorted(coins))


def _compare(peers: Mapping[str, PeerChannel], root: bytes) -> None:
    for channel in peers.values():
        say_secret(channel, "root", root)
    for name, channel in peers.items():
        if hear_secret(channel, "root") != root:
            raise ProtocolError("alignment.root", f"{name} has found other people in common; nothing is used")


def _keys(hashes: Hashes, joint: bytes) -> Hashes:
    """What each common person is ordered by: nobody outside can compute it."""
    start = hashlib.blake2b(key=joint, digest_size=HASH_BYTES, person=b"hanse aligned v1")
    made = bytearray()
    for row in hashes:
        state = start.copy()
        state.update(row.tobytes())
        made += state.digest()
    return as_rows(bytes(made), HASH_BYTES)


def _root(keys: Hashes) -> bytes:
    return _join(b"aligned set", [len(keys).to_bytes(8, "big"), keys.tobytes()])


def _toss(terms: Terms) -> Toss:
    return Toss("order of common people", terms.run.encode())


def _derive(secret: bytes, context: bytes) -> bytes:
    return _join(b"pass", [secret, context])


def _join(label: bytes, parts: Iterable[bytes]) -> bytes:
    """SHA-256 over parts that cannot run into each other."""
    state = hashlib.sha256(b"hanse alignment v1 " + label + b"\0")
    for part in parts:
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()
