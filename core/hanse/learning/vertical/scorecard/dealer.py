"""The coordinator's part: seeds at the start, correlated randomness for each iteration, nothing back."""

import os
from collections.abc import Callable
from typing import Final

from hanse.crypto import JsonValue
from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.scorecard.dealing import (
    Factors,
    Own,
    Products,
    Shared,
    Sizes,
    deal_products,
    deal_shared,
    feature_mask,
)
from hanse.learning.vertical.scorecard.messages import hear, receive, say, send
from hanse.learning.vertical.scorecard.ring import GRADIENT_BITS, WEIGHT_BITS, Ring, halvings
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
    sizes = _agreed_sizes([hear(party, "sizes", 0) for party in parties], settings)
    seeds = [entropy(SEED_BYTES) for _ in parties]
    for party, seed in zip(parties, seeds, strict=True):
        say(party, "seed", 0, {"seed": seed.hex()})
    masks = [feature_mask(seed, sizes, number) for number, seed in enumerate(seeds)]
    checks = [Factors.for_check(seed, sizes, number) for number, seed in enumerate(seeds)]
    _send_products(parties, masks, checks, 0, "check")
    for iteration in range(settings.iterations):
        first, second = (Own.make(seed, sizes, number, iteration) for number, seed in enumerate(seeds))
        _send_products(parties, masks, [first.factors, second.factors], iteration, "next")
        shared = deal_shared(first, second, Shared.of_first(seeds[0], sizes, iteration))
        for waves in shared.waves:
            send(feature_holder, "waves", iteration, waves)
        send(feature_holder, "tops", iteration, shared.tops)
        progress(iteration + 1)


def _send_products(
    parties: tuple[PeerChannel, PeerChannel],
    masks: list[Ring],
    factors: list[Factors],
    iteration: int,
    asked: str,
) -> None:
    """Deals products when they are asked for: they never wait in memory by the hundreds of megabytes."""
    for number, party in enumerate(parties):
        products = deal_products(masks[1 - number], factors[1 - number], factors[number])
        hear(party, asked, iteration)
        send(party, "logits", iteration, products.logits)
        send(party, "gradient", iteration, products.gradient)


def receive_products(dealer: PeerChannel, sizes: Sizes, party: int, count: int, iteration: int) -> Products:
    """What a party is dealt of products.

    Args:
        dealer: The channel.
        sizes: Of the run.
        party: Who receives.
        count: Of products.
        iteration: In which.
    """
    return Products(
        receive(dealer, "logits", iteration, "u8", count, sizes.rows),
        receive(dealer, "gradient", iteration, "u8", count, sizes.features[1 - party]),
    )


def sizes_of(rows: int, features: tuple[int, int], settings: ScorecardSettings) -> Sizes:
    """What everybody knows of a run."""
    return Sizes(rows, features, GRADIENT_BITS - WEIGHT_BITS + halvings(rows), settings.combinations)


def _agreed_sizes(said: list[dict[str, JsonValue]], settings: ScorecardSettings) -> Sizes:
    if said[0] != said[1]:
        raise ProtocolError("protocol.malformed", "the parties do not name the same sizes to the dealer")
    match said[0]:
        case {"rows": int(rows), "features": [int(first), int(second)], **rest} if (
            not rest
            and MIN_ROWS <= rows <= MAX_ROWS
            and min(first, second) >= 1
            and max(first, second) <= MAX_FEATURES
        ):
            return sizes_of(rows, (first, second), settings)
        case _:
            raise ProtocolError("protocol.malformed", "the parties name impossible sizes to the dealer")
