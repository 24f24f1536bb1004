"""A feature holder's half: it answers with shares of sums and with sides of all rows."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear, hear_step, malformed, say, unexpected
from hanse.errors import ConfigurationError, PolicyError, ServingError, TrainingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.columns import Binning, Codes, check_left_codes
from hanse.learning.boosting.model import unpack_codes
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.tossing import COMMIT
from hanse.learning.vertical.trees.answers import Answers, MaskedAnswers
from hanse.learning.vertical.trees.homomorphic.feature_holder import EncryptedAnswers
from hanse.learning.vertical.trees.messages import (
    BEGIN,
    COLUMNS,
    OVER,
    POINT,
    POINTED,
    SIDES,
    SUMS,
    check_array,
    pieces,
)
from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.parts import Cut, FeaturePart
from hanse.learning.vertical.trees.points import FeaturePoint, Keeper, Mark, point_digest
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
        keeper: Of points; None keeps none. With one it goes on as it began: with columns in the order in
            which they were shown before.

    Raises:
        ConfigurationError: ``config.bad-data`` if a column is missing, or the rows are not as many.
        TrainingError: ``run.interrupted`` if what is kept cannot be gone on from.
    """

    def __init__(
        self,
        terms: TreesTerms,
        binning: Binning,
        columns: Mapping[str, NDArray[Any]],
        random: SecureRandom | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._terms = terms
        self._keeper = keeper
        kept = None if keeper is None else FeaturePoint.decode(keeper.load(), terms.digest)
        if kept is None:
            shuffle = SecureRandom() if random is None else random
            released = release(binning, columns, terms.min_bin_rows, shuffle)
            kept = FeaturePoint(terms=terms.digest, released=released)
        self._point = kept
        self.released: tuple[ReleasedColumn, ...] = tuple(kept.released)
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
        self._before = 0  # columns that were asked in earlier attempts

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
        checked, said = None, ""
        while True:
            step, header, arrays = hear(label)
            if step == SUMS and checked is None:
                self._answers.answer(label, arrays, self._most)
            elif step == SIDES and checked is None:
                self._answer_sides(label, arrays)
            elif step == COMMIT and checked is None:
                checked = self._answers.check(label, header, arrays, entropy)
                said = "" if self._keeper is None else self._keeper.said(label.peer)
            elif step == POINT and checked is not None and self._keeper is not None:
                self._reach(label, header, said, self._keeper)
                checked = None
            elif step == OVER and checked is not None:
                return self._part(label, checked, arrays)
            else:
                raise unexpected(label, "a step of the training")

    def _open(self, label: PeerChannel) -> None:
        header, _ = hear_step(label, BEGIN)
        if header.get("terms") != self._terms.digest:
            raise PolicyError("policy.denied", f"{label.peer} has other terms of the run, or other rows")
        self._go_back(label, header.get("point", ""))
        codes = np.array(self.layout.codes, dtype=np.int64)
        ordered = np.array(self.layout.ordered, dtype=np.uint8)
        say(label, COLUMNS, codes, ordered, np.array(self._bins, dtype=np.int64))
        self._answers.open(label)
        if self._cuts:
            sides = self._sides([cut.column for cut in self._cuts], [self._left(cut) for cut in self._cuts])
            for part in pieces(len(sides), sides.shape[1]):
                say(label, SIDES, sides[part])

    def _go_back(self, label: PeerChannel, digest: object) -> None:
        """To the point that the label holder has, which is the last one here, or the one before."""
        if not isinstance(digest, str):
            raise malformed(label, "a point has another form")
        point = self._point.at(digest)
        if point is None:
            raise TrainingError("run.interrupted", f"{label.peer} goes on from trees that are not kept here")
        self._point, self._cuts, self._before = point, list(point.cuts), point.asked
        if self._keeper is not None:
            self._keeper.keep(point.encode())
            if point.digest:
                self._keeper.goes_on(point.digest)

    @property
    def _most(self) -> int:
        """Columns that may have been asked in this attempt by now.

        No more than trees need from one point to the next, and over all attempts, up to their points, no more
        than a run needs.
        """
        most = self._terms.max_columns - self._before
        if self._keeper is None or self._terms.settings.patience:
            return most  # there are no points
        return min(most, self._point.asked - self._before + self._terms.point_columns)

    def _reach(self, label: PeerChannel, header: Mapping[str, Any], own: str, keeper: Keeper) -> None:
        """Keeps how far the run has come."""
        point = self._point
        match header:
            case {"trees": int() as trees, "said": dict() as said} if type(trees) is int:
                pass
            case _:
                raise malformed(label, "a point has another form")
        if not point.trees < trees < self._terms.settings.trees:
            raise malformed(label, "a point without a tree more, or after the last one")
        if own not in said.values() or sorted(said) != sorted(self._terms.feature_holders):
            raise malformed(label, "it tells another conversation than this one")
        digest = point_digest(point.digest, self._terms.digest, trees, said)
        asked = self._before + self._answers.asked
        mark = Mark(digest=digest, trees=trees, cuts=len(self._cuts), asked=asked)
        self._point = point.model_copy(update={"cuts": tuple(self._cuts), "marks": (*point.marks, mark)})
        keeper.keep(self._point.encode())
        say(label, POINTED, point=digest)

    def _answer_sides(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...]) -> None:
        """Sides of all rows, so that the question does not say which rows are in the node."""
        columns, left = self._read_cuts(label, arrays)
        if len(self._cuts) + len(columns) > self._terms.max_cuts:
            raise malformed(label, "more splits than the run needs")
        for column, codes in zip(columns, left, strict=True):
            self._cuts.append(Cut(column=column, left=tuple(np.flatnonzero(codes).tolist())))
        say(label, SIDES, self._sides(columns, list(left)))

    def _sides(self, columns: list[int], left: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
        """Bits, the lowest first, 1 for left; shape (cuts, ceil(rows / 8))."""
        sides = [codes[self.codes[:, column]] for column, codes in zip(columns, left, strict=True)]
        return np.packbits(np.stack(sides), axis=1, bitorder="little")

    def _left(self, cut: Cut) -> NDArray[np.bool_]:
        left = np.zeros(self.layout.width, dtype=np.bool_)
        left[list(cut.left)] = True
        return left

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
