"""The label holder's supply of masks: columns to hide gradients behind, and its shares of their sums."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import say
from hanse.crypto import COIN_BYTES
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.trees.dealing import check_columns, combined, label_columns
from hanse.learning.vertical.trees.messages import DEAL, DEALT, DEALT_CHECK, receive_matrix
from hanse.learning.vertical.trees.remote import Integers, Remote
from hanse.learning.vertical.trees.ring import Ring, multiply
from hanse.learning.vertical.trees.terms import TreesTerms

_MESSAGE_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Taken:
    """Some masks, each for one use.

    Attributes:
        columns: V, shape (columns, rows).
        shares: Of each feature holder ``V E + S_L``, shape (columns, bins).
    """

    columns: Ring
    shares: tuple[Ring, ...]


class Masks:
    """Asks the dealer for batches, one ahead, and hands out their columns once each.

    Args:
        terms: The run's.
        dealer: The channel.
        seed: The label holder's, from the dealer.
        opened: Of each feature holder E, shape (rows, bins).
    """

    def __init__(self, terms: TreesTerms, dealer: PeerChannel, seed: bytes, opened: Sequence[Ring]) -> None:
        self._terms = terms
        self._dealer = dealer
        self._seed = seed
        self._opened = tuple(opened)
        self._asked = 0
        self._dealt: list[list[Ring]] = []  # batches that are not checked yet
        self._ahead: list[Ring] | None = None
        self._checked = 0
        self._check = -1
        self._used = terms.batch  # columns of the newest batch
        self._newest: Taken | None = None
        self._checks: list[Ring] = []
        self._ask()

    @property
    def batches(self) -> int:
        """Those of which some columns were handed out."""
        return self._checked + len(self._dealt)

    def take(self, most: int) -> Taken:
        """The next masks.

        Args:
            most: How many, at least one.

        Returns:
            As many, or as many as are left of a batch.

        Raises:
            ProtocolError: If the dealer does not send what is due.
        """
        if self._newest is None or self._used == self._terms.batch:
            self._newest, self._used = self._next(), 0
        part = slice(self._used, min(self._used + most, self._terms.batch))
        self._used = part.stop
        return Taken(self._newest.columns[part], tuple(share[part] for share in self._newest.shares))

    def proof(self, holder: int, coin: bytes) -> tuple[Ring, Ring]:
        """What a feature holder checks the dealer by; see :mod:`hanse.learning.vertical.trees.dealing`.

        Args:
            holder: Number of the feature holder, whose check columns are used up by this.
            coin: The joint one.

        Returns:
            W, shape (combinations, rows), and the combined shares, shape (combinations, bins).
        """
        terms, size = self._terms, self._terms.combinations
        columns = check_columns(self._seed, holder, self._check, size, terms.rows)
        share = self._checks[holder].copy()
        for batch, dealt in enumerate(self._dealt, self._checked):
            columns += combined(coin, batch, size, label_columns(self._seed, batch, terms.batch, terms.rows))
            share += combined(coin, batch, size, dealt[holder])
        return columns, share

    def receive_checks(self) -> int:
        """Gets the dealer's shares for a check: what it is about is dealt now, and coins may be tossed.

        Returns:
            Number of the check.
        """
        if self._ahead is None and self._asked > self.batches:
            self._ahead = self._receive()  # of a later check, if it is needed at all
        self._check += 1
        say(self._dealer, DEALT_CHECK)
        size = self._terms.combinations
        self._checks = [
            receive_matrix(self._dealer, DEALT_CHECK, (size, opened.shape[1])) for opened in self._opened
        ]
        return self._check

    def forget_checked(self) -> None:
        """All feature holders have checked the batches so far: no later check is about them."""
        self._checked, self._dealt, self._checks = self.batches, [], []

    def _ask(self) -> None:
        if self._asked < self._terms.max_batches:
            say(self._dealer, DEAL)
            self._asked += 1

    def _receive(self) -> list[Ring]:
        size = self._terms.batch
        return [receive_matrix(self._dealer, DEALT, (size, opened.shape[1])) for opened in self._opened]

    def _next(self) -> Taken:
        batch = self.batches
        if batch == self._asked:
            raise ProtocolError("protocol.unexpected-step", "the run needs more masks than it may")
        dealt, self._ahead = self._receive() if self._ahead is None else self._ahead, None
        self._ask()
        self._dealt.append(dealt)
        columns = label_columns(self._seed, batch, self._terms.batch, self._terms.rows)
        pairs = zip(self._opened, dealt, strict=True)
        return Taken(columns, tuple(multiply(columns, opened) + share for opened, share in pairs))


class MaskedSums:
    """Asks feature holders behind masks; see :class:`hanse.learning.vertical.trees.sums.Others`.

    Args:
        remotes: Feature holders.
        masks: With what each has opened.
    """

    def __init__(self, remotes: Sequence[Remote], masks: Masks) -> None:
        self._remotes = tuple(remotes)
        self._masks = masks

    def sums(self, secret: NDArray[np.int32], meanwhile: Callable[[], None]) -> Integers:
        """See :class:`hanse.learning.vertical.trees.sums.Others`."""
        totals = secret.sum(axis=1, dtype=np.int64)
        found = []
        for part, taken in self._taken(secret):
            masked = secret[part].view(np.uint32) - taken.columns
            for remote in self._remotes:
                remote.ask(masked)
            if not part.start:
                meanwhile()
            heard = [
                remote.hear(share, totals[part])
                for remote, share in zip(self._remotes, taken.shares, strict=True)
            ]
            found.append(np.concatenate(heard, axis=1))
        return np.concatenate(found)

    def check(self, entropy: Callable[[int], bytes]) -> list[bytes]:
        """Lets everybody check the dealer; see :class:`hanse.learning.vertical.trees.sums.Others`."""
        check = self._masks.receive_checks()
        coins = []
        for number, remote in enumerate(self._remotes):
            coins.append(remote.toss(self._masks.batches, entropy(COIN_BYTES), check))
            remote.prove(*self._masks.proof(number, coins[-1]))
        self._masks.forget_checked()
        return coins

    def _taken(self, secret: NDArray[np.int32]) -> Iterator[tuple[slice, Taken]]:
        """Masks for so many columns, in parts that fit into a message, with where they go."""
        count, rows = secret.shape
        most = max(CHANNELS, _MESSAGE_BYTES // (4 * rows) // CHANNELS * CHANNELS)
        start = 0
        while start < count:
            taken = self._masks.take(min(most, count - start))
            yield slice(start, start + len(taken.columns)), taken
            start += len(taken.columns)
