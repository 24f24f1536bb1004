"""Correlated randomness: what each party makes of its seed, and what the dealer adds.

Party 0 is the label holder, party 1 the feature holder. In an iteration, for each party P with features Q
(rows, features), masked once by U from P's seed, and its counterpart O:

* ``Q w`` for O's share w of P's weights: O opens ``w - v`` with v from O's seed; P has a share s of ``U v``
  from its seed, O is dealt ``U v - s``. With ``E = Q - U``, which O was given once,
  ``Q w = E w + U (w - v) + U v``.
* the transpose times O's share of the residuals, in the same way;
* masks a of logits' places, one half from each seed, and shares of the waves of a: party 0's from its seed,
  the rest dealt to party 1. Of each there are two, of which a coin of the parties picks one;
* for each weight, masks of the highest bits of both shares, one from each seed, and shares of their product.

The dealer sends only what is uniform to its receiver, receives nothing but requests, and sees neither data
nor what parties open. How its numbers are tested: :mod:`hanse.learning.vertical.scorecard.checking`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.scorecard.ring import Ring, backward, elements, forward, stream
from hanse.learning.vertical.scorecard.wave import WAVES, waves_of

PAIR: Final = 2
"""Masks of a place with their waves, of which one is used and the other one opened."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What everybody knows.

    Attributes:
        rows: People.
        features: Of party 0 and party 1.
        bits: By which numbers are divided in rounding.
        combinations: By which the dealer is checked.
    """

    rows: int
    features: tuple[int, int]
    bits: int
    combinations: int


def feature_mask(seed: bytes, sizes: Sizes, party: int) -> Ring:
    """U of a party, from its own seed."""
    return elements(stream(seed, "features"), sizes.rows, sizes.features[party])


@dataclass(frozen=True, slots=True)
class Factors:
    """What a party makes of its seed for some products with features: one in an iteration.

    Attributes:
        trial: Masks of its share of the other's weights, shape (products, features of the other).
        logits: Its shares of U v, shape (products, rows).
        residuals: Masks of its share of the residuals, shape (products, rows).
        gradient: Its shares of the transposed product, shape (products, own features).
    """

    trial: Ring
    logits: Ring
    residuals: Ring
    gradient: Ring

    @classmethod
    def make(cls, random: SecureRandom, sizes: Sizes, party: int, products: int) -> "Factors":
        """From a stream of a party's seed."""
        own, other = sizes.features[party], sizes.features[1 - party]
        lengths = (other, sizes.rows, sizes.rows, own)
        return cls(*(elements(random, products, length) for length in lengths))

    @classmethod
    def for_check(cls, seed: bytes, sizes: Sizes, party: int) -> "Factors":
        """Those that serve nothing but the check."""
        return cls.make(stream(seed, "check"), sizes, party, sizes.combinations)


@dataclass(frozen=True, slots=True)
class Own:
    """What a party makes of its seed for an iteration.

    Attributes:
        factors: Of one product each.
        places: Its halves of masks of places, shape (PAIR, rows).
        tops: Masks of its shares' highest bits, shape (1, all features); at party 1 also
            those of the check, shape (1 + combinations, all features).
    """

    factors: Factors
    places: NDArray[np.uint16]
    tops: Ring

    @classmethod
    def make(cls, seed: bytes, sizes: Sizes, party: int, iteration: int) -> "Own":
        """From a party's seed."""
        random = stream(seed, "iteration", iteration)
        factors = Factors.make(random, sizes, party, 1)
        drawn = np.frombuffer(random.draw_bytes(2 * PAIR * sizes.rows), dtype="<u2")
        places = drawn.astype(np.uint16).reshape(PAIR, sizes.rows)
        return cls(factors, places, elements(random, 1 + party * sizes.combinations, sum(sizes.features)))


@dataclass(frozen=True, slots=True)
class Shared:
    """A party's shares of what depends on both masks.

    Attributes:
        waves: Of :func:`waves_of` the masks of places, shape (PAIR, 2 * WAVES, rows).
        tops: Of products of masks of highest bits, shape (1 + combinations, all features).
    """

    waves: Ring
    tops: Ring

    @classmethod
    def of_first(cls, seed: bytes, sizes: Sizes, iteration: int) -> "Shared":
        """Party 0's, from its seed."""
        random = stream(seed, "shares", iteration)
        waves = elements(random, PAIR, 2 * WAVES, sizes.rows)
        return cls(waves, elements(random, 1 + sizes.combinations, sum(sizes.features)))


@dataclass(frozen=True, slots=True)
class Products:
    """What a party is dealt of the products with the other's features.

    Attributes:
        logits: Shape (products, rows).
        gradient: Shape (products, features of the other).
    """

    logits: Ring
    gradient: Ring


def deal_products(mask: Ring, holder: Factors, counterpart: Factors) -> Products:
    """What the counterpart of a party with features is dealt."""
    return Products(
        forward(mask, counterpart.trial) - holder.logits,
        backward(mask, counterpart.residuals) - holder.gradient,
    )


def deal_shared(first: Own, second: Own, share: Shared) -> Shared:
    """What party 1 is dealt so that it and party 0 share waves and products of highest bits."""
    waves = np.stack([waves_of(places) for places in first.places + second.places])
    return Shared(waves - share.waves, first.tops * second.tops - share.tops)
