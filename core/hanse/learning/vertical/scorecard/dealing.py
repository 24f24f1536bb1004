"""Correlated randomness: what each party makes of its seed, and what the dealer adds.

Party 0 is the label holder, party 1 the feature holder. In an iteration, for each party P with features Q
(rows, features), masked once by U from P's seed, and its counterpart O:

* ``Q w`` for O's share w of P's weights: O opens ``w - v`` with v from O's seed; P has a share s of ``U v``
  from its seed, O is dealt ``U v - s``. With ``E = Q - U``, which O was given once,
  ``Q w = E w + U (w - v) + U v``.
* the transpose times O's share of the residuals, in the same way;
* masks a of logits' places, one half from each seed, and shares of the waves of a: party 0's from its seed,
  the rest dealt to party 1;
* masks of numbers to round, one half from each seed, and shares of their high parts and highest bits.

The dealer sends only what is uniform to its receiver, receives nothing but requests, and sees neither data
nor what parties open. A dealer that deals wrong numbers spoils the model, which the label holder sees in its
metrics; it learns nothing by it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learning.vertical.scorecard.ring import Ring, backward, elements, forward, stream
from hanse.learning.vertical.scorecard.wave import WAVES, waves_of


@dataclass(frozen=True, slots=True)
class Sizes:
    """What everybody knows.

    Attributes:
        rows: People.
        features: Of party 0 and party 1.
        bits: By which numbers are divided in rounding.
    """

    rows: int
    features: tuple[int, int]
    bits: int


def feature_mask(seed: bytes, sizes: Sizes, party: int) -> Ring:
    """U of a party, from its own seed."""
    return elements(stream(seed, "features"), sizes.rows, sizes.features[party])


@dataclass(frozen=True, slots=True)
class Own:
    """What a party makes of its seed for an iteration.

    Attributes:
        trial: Mask of its share of the other's weights, shape (features of the other,).
        logits: Its share of U v, shape (rows,).
        residuals: Mask of its share of the residuals, shape (rows,).
        gradient: Its share of the transposed product, shape (own features,).
        places: Its half of the mask of places, shape (rows,).
        rounding: Its half of the mask of numbers to round, shape (all features,).
    """

    trial: Ring
    logits: Ring
    residuals: Ring
    gradient: Ring
    places: NDArray[np.uint16]
    rounding: Ring

    @classmethod
    def make(cls, seed: bytes, sizes: Sizes, party: int, iteration: int) -> "Own":
        """From a party's seed."""
        random = stream(seed, "iteration", iteration)
        own, other, rows = sizes.features[party], sizes.features[1 - party], sizes.rows
        return cls(
            trial=elements(random, other),
            logits=elements(random, rows),
            residuals=elements(random, rows),
            gradient=elements(random, own),
            places=np.frombuffer(random.draw_bytes(2 * rows), dtype="<u2").astype(np.uint16),
            rounding=elements(random, own + other),
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """A party's shares of what depends on both masks: waves (2 * WAVES, rows), rounding (2, all features)."""

    waves: Ring
    rounding: Ring

    @classmethod
    def of_first(cls, seed: bytes, sizes: Sizes, iteration: int) -> "Shared":
        """Party 0's, from its seed."""
        random = stream(seed, "shares", iteration)
        return cls(elements(random, 2 * WAVES, sizes.rows), elements(random, 2, sum(sizes.features)))


@dataclass(frozen=True, slots=True)
class Products:
    """What a party is dealt of the products with the other's features: shapes (rows,), (other features,)."""

    logits: Ring
    gradient: Ring


def deal_products(mask: Ring, holder: Own, counterpart: Own) -> Products:
    """What the counterpart of a party with features is dealt."""
    return Products(
        forward(mask, counterpart.trial) - holder.logits,
        backward(mask, counterpart.residuals) - holder.gradient,
    )


def deal_shared(first: Own, second: Own, share: Shared, bits: int) -> Shared:
    """What party 1 is dealt so that it and party 0 share waves and masks."""
    mask = first.rounding + second.rounding
    rounding = np.stack([mask >> np.uint64(bits), mask >> np.uint64(63)])
    return Shared(waves_of(first.places + second.places) - share.waves, rounding - share.rounding)
