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
from hanse.learning.vertical.scorecard.dealing import Own, Products, Shared, Sizes, feature_mask
from hanse.learning.vertical.scorecard.messages import receive, say, swap
from hanse.learning.vertical.scorecard.ring import (
    MOMENTUM_BITS,
    RESIDUAL_BITS,
    Ring,
    backward,
    encode,
    forward,
    lifted,
    masked_for_rounding,
    multiplied,
    rounded_share,
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
        sizes: Of the run.
        settings: The run's.
    """

    party: int
    features: Ring
    labels: NDArray[np.bool_] | None
    peer: PeerChannel
    dealer: PeerChannel
    seed: bytes
    sizes: Sizes
    settings: ScorecardSettings

    def train(self, start: Ring, progress: Callable[[int], None]) -> Ring:
        """Runs all iterations.

        Args:
            start: This party's share of its own weights at the start; the other one's is 0.
            progress: Called with the number of finished iterations.

        Returns:
            Its own weights, of which the other party has now sent its share.
        """
        mask = feature_mask(self.seed, self.sizes, self.party)
        masked = swap(
            self.peer, "features", 0, self.features - mask, *self._shape(1 - self.party), first=self._first
        )
        ours, theirs = self.party, 1 - self.party
        weights = {ours: start, theirs: np.zeros(self.sizes.features[theirs], dtype=np.uint64)}
        trial = {party: lifted(value, MOMENTUM_BITS) for party, value in weights.items()}
        for iteration in range(self.settings.iterations):
            own, dealt, shared = self._randomness(iteration)
            logits = self._logits(iteration, trial, mask, masked, own, dealt)
            residuals = self._residuals(iteration, logits, own, shared)
            gradients = self._gradients(iteration, residuals, mask, masked, own, dealt)
            after = self._step(iteration, trial, gradients, own, shared)
            trial = {
                party: lifted(after[party], MOMENTUM_BITS)
                + multiplied(after[party] - weights[party], _MOMENTUM)
                for party in weights
            }
            weights = after
            progress(iteration + 1)
        return weights[ours] + swap(
            self.peer, "weights", 0, weights[theirs], self.sizes.features[ours], first=self._first
        )

    @property
    def _first(self) -> bool:
        return self.party == 0

    def _shape(self, party: int) -> tuple[int, int]:
        return self.sizes.rows, self.sizes.features[party]

    def _randomness(self, iteration: int) -> tuple[Own, Products, Shared]:
        rows, other = self.sizes.rows, self.sizes.features[1 - self.party]
        say(self.dealer, "next", iteration)
        dealt = Products(
            receive(self.dealer, "logits", iteration, "u8", rows),
            receive(self.dealer, "gradient", iteration, "u8", other),
        )
        if self._first:
            shared = Shared.of_first(self.seed, self.sizes, iteration)
        else:
            shared = Shared(
                receive(self.dealer, "waves", iteration, "u8", 2 * WAVES, rows),
                receive(self.dealer, "rounding", iteration, "u8", 2, sum(self.sizes.features)),
            )
        return Own.make(self.seed, self.sizes, self.party, iteration), dealt, shared

    def _logits(
        self, iteration: int, trial: dict[int, Ring], mask: Ring, masked: Ring, own: Own, dealt: Products
    ) -> Ring:
        ours, theirs = trial[self.party], trial[1 - self.party]
        opened = swap(self.peer, "trial", iteration, theirs - own.trial, len(ours), first=self._first)
        with_own = forward(self.features, ours) + forward(mask, opened) + own.logits
        return with_own + forward(masked, theirs) + dealt.logits

    def _residuals(self, iteration: int, logits: Ring, own: Own, shared: Shared) -> Ring:
        place = place_share(logits, first=self._first) - own.places
        opened = place + swap(self.peer, "places", iteration, place, first=self._first)
        share = logistic_share(opened, shared.waves)
        if self.labels is not None:
            share += encode(0.5 - self.labels.astype(np.float64), RESIDUAL_BITS)
        return share

    def _gradients(
        self, iteration: int, residuals: Ring, mask: Ring, masked: Ring, own: Own, dealt: Products
    ) -> dict[int, Ring]:
        opened = swap(self.peer, "residuals", iteration, residuals - own.residuals, first=self._first)
        of_own = backward(self.features, residuals) + backward(mask, opened) + own.gradient
        return {self.party: of_own, 1 - self.party: backward(masked, residuals) + dealt.gradient}

    def _step(
        self, iteration: int, trial: dict[int, Ring], gradients: dict[int, Ring], own: Own, shared: Shared
    ) -> dict[int, Ring]:
        """New weights: of those to try, less what ridge and gradient take off, rounded."""
        lift = self.sizes.bits - MOMENTUM_BITS
        kept = np.uint64((1 << lift) - (1 << (lift - self.settings.ridge)))
        numbers = np.concatenate([trial[party] * kept - gradients[party] for party in (0, 1)])
        masked = masked_for_rounding(numbers, own.rounding, first=self._first)
        opened = masked + swap(self.peer, "rounding", iteration, masked, first=self._first)
        rounded = rounded_share(
            opened, shared.rounding[0], shared.rounding[1], self.sizes.bits, first=self._first
        )
        first, second = np.split(rounded, [self.sizes.features[0]])
        return {0: first, 1: second}
