"""A feature holder's half: it answers with shares of sums and with sides of all rows."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.masks import SEED_BYTES
from hanse.errors import ConfigurationError, PolicyError, ProtocolError, ServingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.columns import Binning, Codes, check_left_codes
from hanse.learning.boosting.model import unpack_codes
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.trees.dealing import (
    COIN_BYTES,
    check_share,
    combined,
    commitment,
    feature_share,
    fits,
    joint_coin,
    mask_seed,
)
from hanse.learning.vertical.trees.messages import (
    BEGIN,
    BINS,
    CHECKED,
    COIN,
    COLUMNS,
    COMBINED,
    COMMIT,
    OVER,
    PROOF,
    REVEAL,
    SEED,
    SIDES,
    SUMS,
    check_array,
    hear,
    hear_array,
    hear_step,
    malformed,
    receive_matrix,
    say,
    send_matrix,
    unexpected,
)
from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.parts import Cut, FeaturePart
from hanse.learning.vertical.trees.released import ReleasedColumn, layout_of, release, show
from hanse.learning.vertical.trees.ring import Ring
from hanse.learning.vertical.trees.terms import TreesTerms

_MAX_CUTS_AT_ONCE = 1 << 16


class FeatureHolder:
    """Takes part in one run with columns of its own.

    Args:
        terms: The run's.
        binning: Of the columns.
        columns: Values of the aligned rows in their common order, by column name.
        random: For the order in which columns are shown; None for a new one.

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing, or the rows are not as many.
    """

    def __init__(
        self,
        terms: TreesTerms,
        binning: Binning,
        columns: Mapping[str, NDArray[Any]],
        random: SecureRandom | None = None,
    ) -> None:
        self._terms = terms
        shuffle = SecureRandom() if random is None else random
        self.released: tuple[ReleasedColumn, ...] = release(binning, columns, terms.min_bin_rows, shuffle)
        self.layout = layout_of(self.released)
        self.codes: Codes = show(self.released, columns)
        if len(self.codes) != terms.rows:
            raise ConfigurationError(
                "config.bad-data", f"{len(self.codes)} rows of columns for {terms.rows} aligned rows"
            )
        last = np.array(self.layout.codes) - 1
        used: list[int] = np.where((self.codes == last).any(axis=0), last + 1, last).tolist()
        self._one_hot = OneHot(self.codes, tuple(used))
        self._bins = used
        self._cuts: list[Cut] = []
        self._seed = b""
        self._asked = 0
        self._share: tuple[int, Ring] | None = None

    def take_part(
        self,
        peers: Mapping[str, PeerChannel],
        dealer: PeerChannel,
        entropy: Callable[[int], bytes],
    ) -> FeaturePart:
        """Answers until the label holder says that the run is over.

        Args:
            peers: The channel to the label holder, by name.
            dealer: The channel to the dealer.
            entropy: Random bytes.

        Returns:
            This party's part of the model: the cuts that are used, and what they mean.

        Raises:
            ProtocolError: ``vertical.dealing`` if the dealer's numbers do not fit together;
                ``protocol.malformed`` or ``protocol.unexpected-step``, naming the party.
            PolicyError: ``policy.denied`` if the label holder has other terms.
            HanseError: As :class:`hanse.exchange.peers.PeerChannel`.
        """
        label = peers[self._terms.label_holder]
        say(dealer, COLUMNS, terms=self._terms.digest, bins=self._one_hot.width)
        self._seed = hear_array(dealer, SEED, np.uint8, (SEED_BYTES,)).tobytes()
        self._open(label)
        checked = None
        while True:
            step, header, arrays = hear(label)
            if step == SUMS and checked is None:
                self._answer_sums(label, arrays)
            elif step == SIDES and checked is None:
                self._answer_sides(label, arrays)
            elif step == COMMIT and checked is None:
                checked = self._check(label, header, arrays, entropy)
            elif step == OVER and checked is not None:
                return self._part(label, checked, arrays)
            else:
                raise unexpected(label)

    def _open(self, label: PeerChannel) -> None:
        header, _ = hear_step(label, BEGIN)
        if header.get("terms") != self._terms.digest:
            raise PolicyError("policy.denied", f"{label.peer} has other terms of the run, or other rows")
        codes = np.array(self.layout.codes, dtype=np.int64)
        ordered = np.array(self.layout.ordered, dtype=np.uint8)
        say(label, COLUMNS, codes, ordered, np.array(self._bins, dtype=np.int64))
        for _, block in self._one_hot.opened(mask_seed(self._seed)):
            send_matrix(label, BINS, block)

    def _answer_sums(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...]) -> None:
        if len(arrays) != 1 or arrays[0].ndim != 2 or not len(arrays[0]):  # noqa: PLR2004
            raise malformed(label, "a question for sums has another form")
        masked = check_array(label, arrays[0], np.uint32, (len(arrays[0]), self._terms.rows))
        if self._asked + len(masked) > self._terms.max_columns:
            raise malformed(label, "more sums than the run needs")
        share = np.stack([self._share_of(self._asked + number) for number in range(len(masked))])
        self._asked += len(masked)
        say(label, SUMS, self._one_hot.sums(masked) + share)

    def _share_of(self, column: int) -> Ring:
        batch, number = divmod(column, self._terms.batch)
        if self._share is None or self._share[0] != batch:
            share = feature_share(self._seed, batch, self._terms.batch, self._one_hot.width)
            self._share = batch, share
        row: Ring = self._share[1][number]
        return row

    def _answer_sides(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...]) -> None:
        """Sides of all rows, so that the question does not say which rows are in the node."""
        columns, left = self._read_cuts(label, arrays)
        if len(self._cuts) + len(columns) > self._terms.max_cuts:
            raise malformed(label, "more splits than the run needs")
        sides = [codes[self.codes[:, column]] for column, codes in zip(columns, left, strict=True)]
        for column, codes in zip(columns, left, strict=True):
            self._cuts.append(Cut(column=column, left=tuple(np.flatnonzero(codes).tolist())))
        say(label, SIDES, np.packbits(np.stack(sides), axis=1, bitorder="little"))

    def _read_cuts(
        self, label: PeerChannel, arrays: tuple[NDArray[Any], ...]
    ) -> tuple[list[int], NDArray[np.bool_]]:
        if len(arrays) != 2 or arrays[0].ndim != 1 or not 0 < len(arrays[0]) <= _MAX_CUTS_AT_ONCE:  # noqa: PLR2004
            raise malformed(label, "a question for sides has another form")
        columns = check_array(label, arrays[0], np.int64, arrays[0].shape)
        try:
            left = unpack_codes(arrays[1], self.layout.width)
        except ServingError as error:
            raise malformed(label, error.detail) from error
        known = bool(((columns >= 0) & (columns < len(self.layout.codes))).all()) and len(left) == len(
            columns
        )
        if not known or not check_left_codes(self.layout, columns, left):
            raise malformed(label, "a split that cannot be made")
        return columns.tolist(), left

    def _check(
        self,
        label: PeerChannel,
        header: Mapping[str, Any],
        arrays: tuple[NDArray[Any], ...],
        entropy: Callable[[int], bytes],
    ) -> bytes:
        """Tests the dealer's numbers; see :mod:`hanse.learning.vertical.trees.dealing`."""
        terms, batches = self._terms, header.get("batches")
        if type(batches) is not int or len(arrays) != 1 or batches != -(-self._asked // terms.batch):
            raise malformed(label, "not all batches are checked")
        bound = check_array(label, arrays[0], np.uint8, (COIN_BYTES,)).tobytes()
        own = entropy(COIN_BYTES)
        say(label, COIN, np.frombuffer(own, dtype=np.uint8))
        other = hear_array(label, REVEAL, np.uint8, (COIN_BYTES,)).tobytes()
        if commitment(other) != bound:
            raise malformed(label, "not the half of the coin that it was bound to")
        coin = joint_coin(terms.digest, other, own)
        columns = receive_matrix(label, PROOF, (terms.combinations, terms.rows))
        share = receive_matrix(label, COMBINED, (terms.combinations, self._one_hot.width))
        share += check_share(self._seed, terms.combinations, self._one_hot.width)
        for batch in range(batches):
            mine = feature_share(self._seed, batch, terms.batch, self._one_hot.width)
            share += combined(coin, batch, terms.combinations, mine)
        good = fits(columns, self._seed, share)
        say(label, CHECKED, good=good)
        if not good:
            raise ProtocolError("vertical.dealing", "the dealer's numbers do not fit together")
        return coin

    def _part(self, label: PeerChannel, coin: bytes, arrays: tuple[NDArray[Any], ...]) -> FeaturePart:
        """The cuts that the model uses, in the order that the label holder names."""
        if len(arrays) != 1 or arrays[0].ndim != 1 or arrays[0].dtype != np.int64:
            raise malformed(label, "the end of the run has another form")
        kept = arrays[0].tolist()
        if len(set(kept)) != len(kept) or not all(0 <= cut < len(self._cuts) for cut in kept):
            raise malformed(label, "the model has cuts that were never made")
        return FeaturePart.make(pair_of(coin), self.released, [self._cuts[cut] for cut in kept])


def pair_of(coin: bytes) -> str:
    """What both parts of a model have in common, and no other run; 64 hex digits."""
    return hashlib.sha256(b"hanse vertical trees pair\n" + coin).hexdigest()
