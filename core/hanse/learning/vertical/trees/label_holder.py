"""The label holder's half: it grows the trees, and keeps rows' nodes, gradients and hessians to itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.masks import SEED_BYTES
from hanse.aggregation.steps import hear_step, malformed, say
from hanse.errors import ConfigurationError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.columns import Binning
from hanse.learning.boosting.engine import Engine, Progress
from hanse.learning.boosting.forest import Forest
from hanse.learning.boosting.rows import Rows
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.trees.feature_holder import pair_of
from hanse.learning.vertical.trees.homomorphic.label_holder import EncryptedSums
from hanse.learning.vertical.trees.masks import MaskedSums, Masks
from hanse.learning.vertical.trees.messages import BEGIN, OVER, SEED, check_array
from hanse.learning.vertical.trees.parts import HolderCuts, LabelPart, with_cuts
from hanse.learning.vertical.trees.points import Keeper, LabelPoint, point_digest
from hanse.learning.vertical.trees.remote import MAX_COLUMNS, Remote
from hanse.learning.vertical.trees.sums import Others, SharedSums
from hanse.learning.vertical.trees.terms import TreesTerms

_TWO: Final = 2  # codes of a cut
_NO_PAIR: Final = "0" * 64
"""Of trees that are no model yet."""


class LabelHolder:
    """Conducts one run over columns of its own and those of feature holders.

    With no feature holder in the terms it grows trees over its own columns, without a dealer: the model to
    compare with, and to fall back on.

    Args:
        terms: The run's.
        binning: Of own columns.
        columns: Values of the aligned rows in their common order, by column name.
        labels: Shape (rows,) or (rows, labels): 0 and 1, or numbers; NaN where unknown.
        weights: Of the rows; None for 1 each.
        validation: Which rows are kept aside for early stopping; None for none. Nobody else learns which.
        coins: For row sampling; None for new ones.

    Raises:
        ConfigurationError: ``config.bad-data`` if the data is not as described.
    """

    def __init__(
        self,
        terms: TreesTerms,
        binning: Binning,
        columns: Mapping[str, NDArray[Any]],
        labels: NDArray[Any],
        *,
        weights: NDArray[Any] | None = None,
        validation: NDArray[np.bool_] | None = None,
        coins: SecureRandom | None = None,
    ) -> None:
        self._terms = terms
        self._settings = terms.exact
        self._binning = binning
        self._codes = binning.encode(columns)
        if len(self._codes) != terms.rows:
            raise ConfigurationError(
                "config.bad-data", f"{len(self._codes)} rows of columns for {terms.rows} aligned rows"
            )
        self._rows = Rows(
            self._settings, labels, terms.rows, weights=weights, validation=validation, coins=coins
        )

    def train(
        self,
        peers: Mapping[str, PeerChannel],
        dealer: PeerChannel | None,
        entropy: Callable[[int], bytes],
        progress: Callable[[Progress], None] = lambda _: None,
        keeper: Keeper | None = None,
    ) -> LabelPart:
        """Grows a model; nothing of it is kept before every feature holder has checked the dealer.

        With a keeper it goes on from the last point that is kept of the run, and keeps others.

        Args:
            peers: Channels to the feature holders, by name.
            dealer: The channel to the dealer; None if there are no feature holders, or the terms have a key.
            entropy: Random bytes.
            progress: Called after each iteration.
            keeper: Of points; None keeps none.

        Returns:
            This party's part of the model, after as many iterations as early stopping found best.

        Raises:
            ProtocolError: ``vertical.dealing`` if the dealer's numbers do not fit together, ``vertical.sums``
                if sums do not add up; ``protocol.malformed`` or ``protocol.unexpected-step`` name the party.
            HanseError: As :class:`hanse.exchange.peers.PeerChannel`.
        """
        point = self._point(keeper)
        remotes = [Remote(self._terms, peers[name], point) for name in self._terms.feature_holders]
        if keeper is not None and point is not None:
            keeper.goes_on(point.digest)
        others = self._others(dealer, remotes) if remotes else None
        members = (self._terms.label_holder, *self._terms.feature_holders)
        sums = SharedSums(
            self._settings, self._binning.layout, self._codes, self._rows, remotes, others, members
        )
        engine = Engine(sums, sums.layout, self._settings)
        if point is not None:
            engine = self._goes_on(sums, remotes, point)
        for done in engine.grow():
            progress(done)
            if keeper is not None and others is not None and self._is_point(done.iterations):
                sums.cut_of(engine.grown)  # so that what is kept has the sides of all of its cuts
                others.check(entropy)
                point = self._reach(engine, remotes, point, keeper)
        numbers, kept = sums.cut_of(engine.forest)
        coins = [] if others is None else others.check(entropy)
        holders = [
            HolderCuts(name=remote.name, pair=pair_of(coin), cuts=len(cuts))
            for remote, coin, cuts in zip(remotes, coins, kept, strict=True)
        ]
        part = self._part(engine.base, engine.forest, numbers, holders)
        for remote, cuts in zip(remotes, kept, strict=True):
            remote.end(cuts)
        if dealer is not None and remotes and self._terms.key_bits is None:
            say(dealer, OVER)
        return part

    def _is_point(self, iterations: int) -> bool:
        """Whether to keep how far the run has come: early stopping is not kept, so it has no points."""
        settings = self._settings
        return (
            not settings.patience and iterations < settings.trees and not iterations % self._terms.point_trees
        )

    def _point(self, keeper: Keeper | None) -> LabelPoint | None:
        if keeper is None:
            return None
        return LabelPoint.decode(keeper.load(), self._terms.digest, self._settings, self._binning)

    def _goes_on(self, sums: SharedSums, remotes: Sequence[Remote], point: LabelPoint) -> Engine:
        """An engine with the trees of a point, and rows with their scores."""
        for remote in remotes:
            remote.receive_sides()
        numbers, kept = sums.cut_of(point.forest)
        holders = [
            HolderCuts(name=remote.name, pair=_NO_PAIR, cuts=len(cuts))
            for remote, cuts in zip(remotes, kept, strict=True)
        ]
        part = self._part(point.base, point.forest, numbers, holders)
        sides = {remote.name: remote.packed_sides(cuts) for remote, cuts in zip(remotes, kept, strict=True)}
        self._rows.raw = part.raw_of(self._codes, sides).T.copy()
        return Engine(sums, sums.layout, self._settings, point.forest, point.base)

    def _reach(
        self, engine: Engine, remotes: Sequence[Remote], before: LabelPoint | None, keeper: Keeper
    ) -> LabelPoint:
        """Keeps a point here when every feature holder has it."""
        said = {remote.name: keeper.said(remote.name) for remote in remotes}
        trees = len(engine.grown) // self._settings.labels
        terms = self._terms.digest
        digest = point_digest("" if before is None else before.digest, terms, trees, said)
        for remote in remotes:
            remote.reach(trees, said, digest)
        grown = self._settings, engine.base, engine.grown
        holders = [remote.point for remote in remotes]
        point = LabelPoint.make(terms, digest, holders, grown, self._binning, before)
        keeper.keep(point.encode())
        return point

    def _others(self, dealer: PeerChannel | None, remotes: list[Remote]) -> Others:
        if self._terms.key_bits is not None:
            return EncryptedSums(self._terms, remotes)
        if dealer is None:
            raise ConfigurationError("config.invalid", "feature holders need a dealer")
        return MaskedSums(remotes, self._masks(dealer, remotes))

    def _masks(self, dealer: PeerChannel, remotes: list[Remote]) -> Masks:
        opened = [remote.receive_opened() for remote in remotes]
        say(dealer, BEGIN, terms=self._terms.digest)
        header, arrays = hear_step(dealer, SEED)
        if len(arrays) != 1 or header.get("bins") != [int(remote.bins.sum()) for remote in remotes]:
            raise malformed(dealer, "it deals for other columns than the feature holders show")
        seed = check_array(dealer, arrays[0], np.uint8, (SEED_BYTES,)).tobytes()
        return Masks(self._terms, dealer, seed, opened)

    def _part(
        self,
        base: tuple[float, ...],
        forest: Forest,
        numbers: Mapping[tuple[int, bytes], int],
        holders: list[HolderCuts],
    ) -> LabelPart:
        own = len(self._binning.columns)
        if own + len(numbers) > MAX_COLUMNS:
            raise ConfigurationError("config.invalid", "the trees have more cuts than a model can hold")
        width = max(_TWO if numbers else 0, self._binning.layout.width)
        cut = with_cuts(forest, own, numbers, width)
        return LabelPart.make(self._settings, base, self._binning, cut, holders)
