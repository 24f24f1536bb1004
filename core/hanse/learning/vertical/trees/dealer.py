"""The dealer: gives out seeds and shares of products of what they make, and sees nothing else."""

from collections.abc import Callable, Mapping

import numpy as np

from hanse.aggregation.masks import SEED_BYTES
from hanse.aggregation.steps import hear, hear_step, malformed, say, unexpected
from hanse.errors import PolicyError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.trees.dealing import (
    check_columns,
    check_share,
    feature_share,
    label_columns,
    other_share,
)
from hanse.learning.vertical.trees.messages import (
    BEGIN,
    COLUMNS,
    DEAL,
    DEALT,
    DEALT_CHECK,
    OVER,
    SEED,
    send_matrix,
)
from hanse.learning.vertical.trees.ring import Ring
from hanse.learning.vertical.trees.terms import TreesTerms

MAX_BINS = 1 << 17
"""Of one feature holder."""


class Dealer:
    """Deals for one run.

    It learns the terms, how many bins each feature holder shows, and how many batches are needed. It sends
    to members and hears requests; members' messages to each other it must not be able to read, and it must
    not take sides with one of them: then it could open what that one is sent.

    Args:
        terms: The run's.
    """

    def __init__(self, terms: TreesTerms) -> None:
        self._terms = terms
        self._label_seed = b""
        self._bins: list[int] = []
        self._seeds: list[bytes] = []

    def deal(self, members: Mapping[str, PeerChannel], entropy: Callable[[int], bytes]) -> int:
        """Takes part in the run until the label holder says that it is over.

        Args:
            members: Channels to label holder and feature holders, by name.
            entropy: Random bytes.

        Returns:
            Batches that were dealt.

        Raises:
            ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step``, naming the member.
            PolicyError: ``policy.denied`` if a member has other terms.
            HanseError: As :class:`hanse.exchange.peers.PeerChannel`.
        """
        label = members[self._terms.label_holder]
        for name in self._terms.feature_holders:
            self._seeds.append(entropy(SEED_BYTES))
            self._bins.append(self._greet(members[name]))
            say(members[name], SEED, np.frombuffer(self._seeds[-1], dtype=np.uint8))
        header, _ = hear_step(label, BEGIN)
        self._check_terms(label, header.get("terms"))
        self._label_seed = entropy(SEED_BYTES)
        say(label, SEED, np.frombuffer(self._label_seed, dtype=np.uint8), bins=list(self._bins))
        return self._serve(label)

    def _greet(self, member: PeerChannel) -> int:
        header, _ = hear_step(member, COLUMNS)
        self._check_terms(member, header.get("terms"))
        match header.get("bins"):
            case int(bins) if type(bins) is int and 1 <= bins <= MAX_BINS:
                return bins
            case _:
                raise malformed(member, "not a number of bins")

    def _check_terms(self, member: PeerChannel, digest: object) -> None:
        if digest != self._terms.digest:
            raise PolicyError("policy.denied", f"{member.peer} has other terms of the run, or other rows")

    def _serve(self, label: PeerChannel) -> int:
        dealt = checks = 0
        while True:
            step, _, _ = hear(label)
            if step == OVER:
                return dealt
            if step == DEALT_CHECK and checks < self._terms.max_checks:
                self._deal_check(label, checks)
                checks += 1
            elif step == DEAL and dealt < self._terms.max_batches:
                self._deal_batch(label, dealt)
                dealt += 1
            else:
                raise unexpected(label, "a request to deal")

    def _deal_batch(self, label: PeerChannel, batch: int) -> None:
        size = self._terms.batch
        columns = label_columns(self._label_seed, batch, size, self._terms.rows)
        for seed, bins in zip(self._seeds, self._bins, strict=True):
            send_matrix(label, DEALT, self._share(columns, seed, feature_share(seed, batch, size, bins)))

    def _deal_check(self, label: PeerChannel, check: int) -> None:
        size = self._terms.combinations
        for number, (seed, bins) in enumerate(zip(self._seeds, self._bins, strict=True)):
            columns = check_columns(self._label_seed, number, check, size, self._terms.rows)
            send_matrix(label, DEALT_CHECK, self._share(columns, seed, check_share(seed, check, size, bins)))

    def _share(self, columns: Ring, seed: bytes, share: Ring) -> Ring:
        """The label holder's share; the one step that a dealer could do wrong on purpose."""
        return other_share(columns, seed, share)
