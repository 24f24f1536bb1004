"""The coordinator's part: seeds at the start, correlated randomness for each iteration, nothing back."""

import os
from collections.abc import Callable
from typing import Final

from hanse.crypto import JsonValue
from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.scorecard.dealing import (
    Own,
    Shared,
    Sizes,
    deal_products,
    deal_shared,
    feature_mask,
)
from hanse.learning.vertical.scorecard.messages import hear, say, send
from hanse.learning.vertical.scorecard.ring import GRADIENT_BITS, WEIGHT_BITS, halvings
from hanse.learning.vertical.scorecard.settings import MAX_FEATURES, MAX_ROWS, MIN_ROWS, ScorecardSettings

SEED_BYTES: Final = 32


def deal(
    label_holder: PeerChannel,
    feature_holder: PeerChannel,
    settings: ScorecardSettings,
    entropy: Callable[[int], bytes] = os.urandom,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Deals for one run.

    Args:
        label_holder: Party 0.
        feature_holder: Party 1.
        settings: The run's.
        entropy: Random bytes.
        progress: Called with the number of iterations that were dealt.

    Raises:
        ProtocolError: ``protocol.malformed`` if the parties do not name the same sizes, or impossible ones.
        HanseError: As the channels.
    """
    parties = (label_holder, feature_holder)
    sizes = _agreed_sizes([hear(party, "sizes", 0) for party in parties])
    seeds = [entropy(SEED_BYTES) for _ in parties]
    for party, seed in zip(parties, seeds, strict=True):
        say(party, "seed", 0, {"seed": seed.hex()})
    masks = [feature_mask(seed, sizes, number) for number, seed in enumerate(seeds)]
    for iteration in range(settings.iterations):
        first, second = (Own.make(seed, sizes, number, iteration) for number, seed in enumerate(seeds))
        to_first = deal_products(masks[1], second, first)
        to_second = deal_products(masks[0], first, second)
        shared = deal_shared(first, second, Shared.of_first(seeds[0], sizes, iteration), sizes.bits)
        # Asked for, so that what is dealt never waits in anybody's memory by the hundreds of megabytes.
        for party, products in ((label_holder, to_first), (feature_holder, to_second)):
            hear(party, "next", iteration)
            send(party, "logits", iteration, products.logits)
            send(party, "gradient", iteration, products.gradient)
        send(feature_holder, "waves", iteration, shared.waves)
        send(feature_holder, "rounding", iteration, shared.rounding)
        progress(iteration + 1)


def sizes_of(rows: int, features: tuple[int, int]) -> Sizes:
    """What everybody knows of a run."""
    return Sizes(rows, features, GRADIENT_BITS - WEIGHT_BITS + halvings(rows))


def _agreed_sizes(said: list[dict[str, JsonValue]]) -> Sizes:
    if said[0] != said[1]:
        raise ProtocolError("protocol.malformed", "the parties do not name the same sizes to the dealer")
    match said[0]:
        case {"rows": int(rows), "features": [int(first), int(second)], **rest} if (
            not rest
            and MIN_ROWS <= rows <= MAX_ROWS
            and min(first, second) >= 1
            and max(first, second) <= MAX_FEATURES
        ):
            return sizes_of(rows, (first, second))
        case _:
            raise ProtocolError("protocol.malformed", "the parties name impossible sizes to the dealer")
