"""One party's half of logistic regression on secret shares; nothing is opened but masked numbers.

Both parties run the same steps (Nesterov's, on the bound 1/4 of the logistic function's slope). Because each
party's features are uncorrelated with a mean square of 1 among themselves, all features together have a
largest eigenvalue of at most 2, and one step size, a power of two, is right for every data set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.exchange import PeerChannel
from hanse.learning.vertical.scorecard.checking import Check, Picks
from hanse.learning.vertical.scorecard.dealer import receive_products
from hanse.learning.vertical.scorecard.dealing import PAIR, Own, Products, Shared, Sizes, feature_mask
from hanse.learning.vertical.scorecard.messages import receive, say, swap
from hanse.learning.vertical.scorecard.ring import (
    MOMENTUM_BITS,
    RESIDUAL_BITS,
    Ring,
    backward,
    encode,
    forward,
    lifted,
    lifted_share,
    multiplied,
    product_share,
    rounded_share,
    top_bits,
)
from hanse.learning.vertical.scorecard.settings import ScorecardSettings
from hanse.learning.vertical.scorecard.wave import WAVES, logistic_share, place_share

_MOMENTUM: Final = 13
"""Sixteenths of the last step that are taken again."""


@dataclass(frozen=True, slots=True)
class Half:
    """One party's part.

    Attributes:
        party: 0 for the label holder, 1 for the feature holder.
        features: Its own in the ring, shape (rows, features).
        labels: Of the label holder, shape (rows,); None for the feature holder.
        peer: The other party.
        dealer: The coordinator.
        seed: From the dealer.
        coin: Joint with the other party, for the check of the dealer.
        sizes: Of the run.
        settings: The run's.
    """

    party: int
    features: Ring
    labels: NDArray[np.bool_] | None
    peer: PeerChannel
    dealer: PeerChannel
    seed: bytes
    coin: bytes
    sizes: Sizes
    settings: ScorecardSettings

    def train(self, start: Ring, progress: Callable[[int], None]) -> Ring:
        """Runs all iterations.

        Args:
            start: This party's share of its own weights at the start; the other one's is 0.
            progress: Called with the number of finished iterations.

        Returns:
            Its own weights, of which the other party has now sent its share.

        Raises:
            ProtocolError: ``vertical.dealing`` if the dealer's numbers do not fit together.
        """
        mask = feature_mask(self.seed, self.sizes, self.party)
        check = self._begin_check()
        masked = swap(
            self.peer, "features", 0, self.features - mask, *self._shape(1 - self.party), first=self._first
        )
        ours, theirs = self.party, 1 - self.party
        weights = {ours: start, theirs: np.zeros(self.sizes.features[theirs], dtype=np.uint64)}
        trial = {party: lifted(value, MOMENTUM_BITS) for party, value in weights.items()}
        for iteration in range(self.settings.iterations):
            own, dealt, shared = self._randomness(iteration)
            check.add(iteration, own.factors, dealt)
            logits = self._logits(iteration, trial, mask, masked, own, dealt)
            picks = check.pick(iteration)
            residuals = self._residuals(iteration, logits, own, shared, picks)
            check.add_spares(iteration, self.peer, own, shared, picks)
            gradients = self._gradients(iteration, residuals, mask, masked, own, dealt)
            after = self._step(iteration, trial, gradients, own, shared)
            check.add_tops(iteration, self.peer, own, shared)
            trial = {
                party: lifted(after[party], MOMENTUM_BITS)
                + multiplied(after[party] - weights[party], _MOMENTUM)
                for party in weights
            }
            weights = after
            progress(iteration + 1)
        # Before the weights are shown: nobody learns what wrong numbers made of them.
        check.conclude(self.peer, mask)
        return weights[ours] + swap(
            self.peer, "weights", 0, weights[theirs], self.sizes.features[ours], first=self._first
        )

    @property
    def _first(self) -> bool:
        return self.party == 0

    def _shape(self, party: int) -> tuple[int, int]:
        return self.sizes.rows, self.sizes.features[party]

    def _begin_check(self) -> Check:
        say(self.dealer, "check", 0)
        dealt = receive_products(self.dealer, self.sizes, self.party, self.sizes.combinations, 0)
        return Check(self.coin, self.seed, self.sizes, self.party, dealt)

    def _randomness(self, iteration: int) -> tuple[Own, Products, Shared]:
        say(self.dealer, "next", iteration)
        dealt = receive_products(self.dealer, self.sizes, self.party, 1, iteration)
        if self._first:
            shared = Shared.of_first(self.seed, self.sizes, iteration)
        else:
            rows, features = self.sizes.rows, sum(self.sizes.features)
            waves = [receive(self.dealer, "waves", iteration, "u8", 2 * WAVES, rows) for _ in range(PAIR)]
            tops = receive(self.dealer, "tops", iteration, "u8", 1 + self.sizes.combinations, features)
            shared = Shared(np.stack(waves), tops)
        return Own.make(self.seed, self.sizes, self.party, iteration), dealt, shared

    def _logits(
        self, iteration: int, trial: dict[int, Ring], mask: Ring, masked: Ring, own: Own, dealt: Products
    ) -> Ring:
        ours, theirs, factors = trial[self.party], trial[1 - self.party], own.factors
        opened = swap(self.peer, "trial", iteration, theirs - factors.trial[0], len(ours), first=self._first)
        with_own = forward(self.features, ours[None]) + forward(mask, opened[None]) + factors.logits
        share: Ring = (with_own + forward(masked, theirs[None]) + dealt.logits)[0]
        return share

    def _residuals(self, iteration: int, logits: Ring, own: Own, shared: Shared, picks: Picks) -> Ring:
        mask = np.where(picks, own.places[1], own.places[0])
        place = place_share(logits, first=self._first) - mask
        opened = place + swap(self.peer, "places", iteration, place, first=self._first)
        share = logistic_share(opened, np.where(picks, shared.waves[1], shared.waves[0]))
        if self.labels is not None:
            share += encode(0.5 - self.labels.astype(np.float64), RESIDUAL_BITS)
        return share

    def _gradients(
        self, iteration: int, residuals: Ring, mask: Ring, masked: Ring, own: Own, dealt: Products
    ) -> dict[int, Ring]:
        hidden, factors = residuals - own.factors.residuals[0], own.factors
        opened = swap(self.peer, "residuals", iteration, hidden, first=self._first)
        of_own = backward(self.features, residuals[None]) + backward(mask, opened[None]) + factors.gradient
        of_other = backward(masked, residuals[None]) + dealt.gradient
        return {self.party: of_own[0], 1 - self.party: of_other[0]}

    def _step(
        self, iteration: int, trial: dict[int, Ring], gradients: dict[int, Ring], own: Own, shared: Shared
    ) -> dict[int, Ring]:
        """New weights: of those to try, less what ridge and gradient take off, rounded."""
        lift = self.sizes.bits - MOMENTUM_BITS
        kept = np.uint64((1 << lift) - (1 << (lift - self.settings.ridge)))
        numbers = np.concatenate([trial[party] * kept - gradients[party] for party in (0, 1)])
        share, mask = lifted_share(numbers, first=self._first), own.tops[0]
        top = top_bits(share)
        opened = swap(self.peer, "rounding", iteration, top - mask, first=self._first)
        both = product_share(top, opened, mask, shared.tops[0], first=self._first)
        rounded = rounded_share(share, both, self.sizes.bits, first=self._first)
        first, second = np.split(rounded, [self.sizes.features[0]])
        return {0: first, 1: second}
