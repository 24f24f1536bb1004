"""A feature holder's half: it answers with shares of sums and with sides of all rows."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear, hear_step, malformed, say, unexpected
from hanse.errors import ConfigurationError, PolicyError, ServingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.columns import Binning, Codes, check_left_codes
from hanse.learning.boosting.model import unpack_codes
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.tossing import COMMIT
from hanse.learning.vertical.trees.answers import Answers, MaskedAnswers
from hanse.learning.vertical.trees.homomorphic.feature_holder import EncryptedAnswers
from hanse.learning.vertical.trees.messages import BEGIN, COLUMNS, OVER, SIDES, SUMS, check_array
from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.parts import Cut, FeaturePart
from hanse.learning.vertical.trees.released import ReleasedColumn, layout_of, release, show
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
        one_hot = OneHot(self.codes, tuple(used))
        form = MaskedAnswers if terms.key_bits is None else EncryptedAnswers
        self._answers: Answers = form(terms, one_hot)
        self._bins = used
        self._cuts: list[Cut] = []

    def take_part(
        self,
        peers: Mapping[str, PeerChannel],
        dealer: PeerChannel | None,
        entropy: Callable[[int], bytes],
    ) -> FeaturePart:
        """Answers until the label holder says that the run is over.

        Args:
            peers: The channel to the label holder, by name.
            dealer: The channel to the dealer; None if the terms have a key.
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
        self._answers.begin(dealer)
        self._open(label)
        checked = None
        while True:
            step, header, arrays = hear(label)
            if step == SUMS and checked is None:
                self._answers.answer(label, arrays)
            elif step == SIDES and checked is None:
                self._answer_sides(label, arrays)
            elif step == COMMIT and checked is None:
                checked = self._answers.check(label, header, arrays, entropy)
            elif step == OVER and checked is not None:
                return self._part(label, checked, arrays)
            else:
                raise unexpected(label, "a step of the training")

    def _open(self, label: PeerChannel) -> None:
        header, _ = hear_step(label, BEGIN)
        if header.get("terms") != self._terms.digest:
            raise PolicyError("policy.denied", f"{label.peer} has other terms of the run, or other rows")
        codes = np.array(self.layout.codes, dtype=np.int64)
        ordered = np.array(self.layout.ordered, dtype=np.uint8)
        say(label, COLUMNS, codes, ordered, np.array(self._bins, dtype=np.int64))
        self._answers.open(label)

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
