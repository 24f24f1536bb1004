"""A feature holder's answers to questions for sums, and the form of them that needs a dealer."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.masks import SEED_BYTES
from hanse.aggregation.steps import malformed, say
from hanse.crypto import COIN_BYTES
from hanse.errors import ConfigurationError, ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.tossing import toss_second
from hanse.learning.vertical.trees.dealing import (
    check_share,
    coin_toss,
    combined,
    feature_share,
    fits,
    mask_seed,
)
from hanse.learning.vertical.trees.messages import (
    BINS,
    CHECKED,
    COLUMNS,
    COMBINED,
    PROOF,
    SEED,
    SUMS,
    check_array,
    hear_array,
    receive_matrix,
    send_matrix,
)
from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.ring import Ring
from hanse.learning.vertical.trees.terms import TreesTerms

_MATRIX: Final = 2


class Answers(Protocol):
    """How a feature holder answers without learning what it is asked.

    Attributes:
        asked: Columns that sums were asked of so far.
    """

    asked: int

    def begin(self, dealer: PeerChannel | None) -> None:
        """Before the label holder is greeted."""
        ...

    def open(self, label: PeerChannel) -> None:
        """After the columns are shown."""
        ...

    def answer(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...], most: int) -> None:
        """Answers a question for sums.

        Args:
            label: Channel to the label holder.
            arrays: The question.
            most: How many columns may have been asked by now.

        Raises:
            ProtocolError: ``protocol.malformed`` if it is none, or asks for more.
        """
        ...

    def check(
        self,
        label: PeerChannel,
        header: Mapping[str, Any],
        arrays: tuple[NDArray[Any], ...],
        entropy: Callable[[int], bytes],
    ) -> bytes:
        """Tosses a coin after an answer, and checks by it what is not checked yet; returns the coin."""
        ...


class MaskedAnswers:
    """Shares of sums, with a dealer's numbers; see :class:`Answers`.

    Args:
        terms: The run's.
        one_hot: The rows' bins.
    """

    def __init__(self, terms: TreesTerms, one_hot: OneHot) -> None:
        self._terms = terms
        self._one_hot = one_hot
        self._seed = b""
        self.asked = 0
        self._checked = self._checks = 0
        self._share: tuple[int, Ring] | None = None

    def begin(self, dealer: PeerChannel | None) -> None:
        """Gets the seed."""
        if dealer is None:
            raise ConfigurationError("config.invalid", "sums behind masks need a dealer")
        say(dealer, COLUMNS, terms=self._terms.digest, bins=self._one_hot.width)
        self._seed = hear_array(dealer, SEED, np.uint8, (SEED_BYTES,)).tobytes()

    def open(self, label: PeerChannel) -> None:
        """Opens the one-hot rows behind a mask."""
        for _, block in self._one_hot.opened(mask_seed(self._seed)):
            send_matrix(label, BINS, block)

    def answer(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...], most: int) -> None:
        """See :class:`Answers`."""
        if len(arrays) != 1 or arrays[0].ndim != _MATRIX or not len(arrays[0]):
            raise malformed(label, "a question for sums has another form")
        masked = check_array(label, arrays[0], np.uint32, (len(arrays[0]), self._terms.rows))
        if self.asked + len(masked) > most:
            raise malformed(label, "more sums than the run needs")
        share = np.stack([self._share_of(self.asked + number) for number in range(len(masked))])
        self.asked += len(masked)
        say(label, SUMS, self._one_hot.sums(masked) + share)

    def check(
        self,
        label: PeerChannel,
        header: Mapping[str, Any],
        arrays: tuple[NDArray[Any], ...],
        entropy: Callable[[int], bytes],
    ) -> bytes:
        """Tests the dealer's numbers; see :mod:`hanse.learning.vertical.trees.dealing`."""
        terms, batches = self._terms, header.get("batches")
        if type(batches) is not int or batches != -(-self.asked // terms.batch):
            raise malformed(label, "not all batches are checked")
        check, self._checks = self._checks, self._checks + 1
        tossed, own = coin_toss(terms.digest, check), entropy(COIN_BYTES)
        coin = toss_second(label, tossed, terms.label_holder, own, arrays)
        columns = receive_matrix(label, PROOF, (terms.combinations, terms.rows))
        share = receive_matrix(label, COMBINED, (terms.combinations, self._one_hot.width))
        share += check_share(self._seed, check, terms.combinations, self._one_hot.width)
        for batch in range(self._checked, batches):
            mine = feature_share(self._seed, batch, terms.batch, self._one_hot.width)
            share += combined(coin, batch, terms.combinations, mine)
        good = fits(columns, self._seed, share)
        say(label, CHECKED, good=good)
        if not good:
            raise ProtocolError("vertical.dealing", "the dealer's numbers do not fit together")
        self._checked = batches
        return coin

    def _share_of(self, column: int) -> Ring:
        batch, number = divmod(column, self._terms.batch)
        if self._share is None or self._share[0] != batch:
            share = feature_share(self._seed, batch, self._terms.batch, self._one_hot.width)
            self._share = batch, share
        row: Ring = self._share[1][number]
        return row
