"""A scorecard over two parties: what plaintext gives, from messages in which nothing is found."""

import json
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.errors import ConfigurationError, HanseError, ProtocolError, ServingError
from hanse.exchange import MemoryChannel, PeerChannel, memory_pair
from hanse.learning.boosting.columns import Binning
from hanse.learning.metrics import roc_auc
from hanse.learning.vertical.leakage import Recorder, attack_labels
from hanse.learning.vertical.scorecard import (
    HalfCard,
    ScorecardSettings,
    deal,
    probabilities,
    receive_points,
    send_points,
    train_feature_holder,
    train_label_holder,
    whole_card,
)
from hanse.learning.vertical.scorecard.dealer import sizes_of
from hanse.learning.vertical.scorecard.dealing import PAIR, Own, Shared, deal_shared
from hanse.learning.vertical.scorecard.design import Design, own_binning
from hanse.learning.vertical.scorecard.ring import (
    FEATURE_BITS,
    decode,
    elements,
    encode,
    halvings,
    lifted_share,
    product_share,
    rounded_share,
    stream,
    top_bits,
)
from hanse.learning.vertical.scorecard.wave import LARGEST_ERROR, logistic_share, place_share
from hanse.policies import PointScale

FINE = PointScale(points=0, odds=1.0, doubling=10_000)
BINS = 6
SETTINGS = ScorecardSettings(scale=FINE, min_rows=20, iterations=40)
ROWS = 1500
Columns = dict[str, NDArray[np.generic]]


def made_up(rows: int = ROWS) -> tuple[Columns, Columns, NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    age, income, visits = rng.normal(size=(3, rows))
    visits = np.where(rng.random(rows) < 0.1, np.nan, np.round(np.abs(visits) * 3))
    plan = rng.choice(np.array(["a", "b", "rare"], dtype=object), rows, p=[0.6, 0.395, 0.005])
    logit = age + income**2 - 1.5 + 1.5 * (plan == "a") - 0.2 * np.nan_to_num(visits)
    labels = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return {"age": age, "visits": visits}, {"income": income + 0.5 * age, "plan": plan}, labels


def cut(columns: Columns) -> Binning:
    return own_binning(columns, BINS, SETTINGS.min_rows)


def run(
    settings: ScorecardSettings,
    wrap: Callable[[MemoryChannel], PeerChannel] = lambda channel: channel,
) -> tuple[HalfCard, HalfCard, NDArray[np.int64]]:
    """All three parties; the label holder's channel to the feature holder is wrapped."""
    own, other, labels = made_up()
    here, there = memory_pair("brand", "partner", 10.0)
    dealer, brand = memory_pair("", "brand", 10.0)
    dealer_too, partner = memory_pair("", "partner", 10.0)
    halves: list[HalfCard] = []

    def feature_holder() -> None:
        halves.append(train_feature_holder(cut(other), other, settings, b"root", there, dealer_too))
        send_points(halves[0], other, there)

    threads = [
        threading.Thread(target=feature_holder),
        threading.Thread(target=deal, args=(brand, partner, settings)),
    ]
    for thread in threads:
        thread.start()
    half = train_label_holder(cut(own), own, labels, settings, b"root", wrap(here), dealer)
    points = half.score(half.binning.encode(own)) + receive_points(here, len(labels))
    for thread in threads:
        thread.join()
    return half, halves[0], points


def plaintext() -> NDArray[np.float64]:
    """Probabilities of the same model by Newton's method on all columns in one place."""
    own, other, labels = made_up()
    parts = []
    for columns, constant in ((own, True), (other, False)):
        binning = cut(columns)
        codes = binning.encode(columns)
        design = Design.fit(binning, codes, SETTINGS, constant=constant)
        parts.append(decode(design.rows_in_ring(codes), FEATURE_BITS))
    features = np.concatenate(parts, axis=1)
    ridge = 2.0 ** (halvings(len(labels)) - SETTINGS.ridge)
    weights = np.zeros(features.shape[1])
    for _ in range(20):
        fitted = 1 / (1 + np.exp(-features @ weights))
        slope = features.T @ (fitted - labels) + ridge * weights
        bend = (features * (fitted * (1 - fitted))[:, None]).T @ features + ridge * np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    return 1 / (1 + np.exp(-features @ weights))


def test_the_card_is_that_of_all_columns_in_one_place_and_its_messages_say_nothing() -> None:
    _, _, labels = made_up()
    recorders: list[Recorder] = []

    def record(channel: MemoryChannel) -> PeerChannel:
        recorders.append(Recorder(channel, ROWS))
        return recorders[0]

    half, other, points = run(SETTINGS, record)
    scores = probabilities(FINE, points)
    assert np.abs(scores - plaintext()).max() < 0.005
    assert (roc_auc(points.astype(np.float64), labels.astype(np.float32)) or 0) > 0.7
    # Masked features, places and residuals, first and averaged, four attacks each. The standard deviation of
    # an area is .016 here, and .03 of one that knows a positive: .6 is more than five of the larger.
    found = attack_labels(recorders[0].surfaces(), labels, np.random.default_rng(1))
    assert {finding.seen.split(",")[0] for finding in found} == {
        "features",
        "places",
        "residuals",
        "proof-residuals",
    }
    assert max(finding.area for finding in found) < 0.6
    card = whole_card(half, other.rows())
    assert "missing" in card.as_text()
    assert {row.column for row in card.rows} == {"age", "visits", "income", "plan"}
    rare = [row.points for row in card.rows if row.cell == "missing or other"]
    assert rare == [0]  # eight people with a rare plan count as average


def test_whole_points_move_a_probability_little() -> None:
    coarse = SETTINGS.model_copy(update={"scale": PointScale(points=600, odds=1.0, doubling=50)})
    _, _, points = run(coarse)
    # Five roundings of half a point, 72 points per log-odd, a slope of at most 1/4.
    assert np.abs(probabilities(coarse.scale, points) - plaintext()).max() < 0.005 + 2.5 / 72 / 4


@given(
    st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=8),
    st.integers(1, 60),
    st.binary(min_size=1),
)
def test_rounding_shares_never_fails(numbers: list[int], bits: int, seed: bytes) -> None:
    value = np.array(numbers, dtype=np.int64).view(np.uint64)
    random = stream(seed, "test")
    share, mask, other_mask, product = (elements(random, len(numbers)) for _ in range(4))
    first, second = lifted_share(share, first=True), lifted_share(value - share, first=False)
    tops = top_bits(first), top_bits(second)
    both = product_share(tops[0], tops[1] - other_mask, mask, product, first=True)
    rest = product_share(tops[1], tops[0] - mask, other_mask, mask * other_mask - product, first=False)
    assert ((both + rest) == tops[0] * tops[1]).all()
    rounded = rounded_share(first, both, bits, first=True) + rounded_share(second, rest, bits, first=False)
    error = rounded.view(np.int64) - (np.array(numbers) >> bits)
    assert set(error.tolist()) <= {0, 1}


def test_the_logistic_function_of_shares_is_right_up_to_its_bound() -> None:
    logits = np.linspace(-8, 8, 5000)
    whole = encode(logits, 40)
    seeds = [b"first", b"second"]
    sizes = sizes_of(len(logits), (1, 1), SETTINGS)
    own = [Own.make(seed, sizes, party, 0) for party, seed in enumerate(seeds)]
    share = elements(stream(b"share", "test"), len(logits))
    shared = Shared.of_first(seeds[0], sizes, 0)
    dealt = deal_shared(own[0], own[1], shared)
    for one in range(PAIR):
        opened = place_share(share, first=True) + place_share(whole - share, first=False)
        opened = opened - own[0].places[one] - own[1].places[one]
        found = logistic_share(opened, shared.waves[one]) + logistic_share(opened, dealt.waves[one])
        # A place is right or one off, 2^-11, at a slope of at most 1/4; tables are rounded.
        error = np.abs(decode(found, 26) + 0.5 - 1 / (1 + np.exp(-logits)))
        assert error.max() < LARGEST_ERROR + 2**-11 / 4 + 2e-3


def test_other_people_or_settings_are_refused() -> None:
    own, other, labels = made_up()
    here, there = memory_pair("brand", "partner", 1.0)
    dealer, _ = memory_pair("", "brand", 1.0)

    def partner() -> None:
        with pytest.raises(HanseError):
            train_feature_holder(cut(other), other, SETTINGS, b"elsewhere", there, dealer)

    thread = threading.Thread(target=partner)
    thread.start()
    with pytest.raises(ProtocolError, match="partner comes with other settings"):
        train_label_holder(cut(own), own, labels, SETTINGS, b"root", here, dealer)
    thread.join()


@pytest.mark.parametrize(
    "said", [{"rows": 10, "features": [1, 1]}, {"rows": 100, "features": [0, 1]}, {"rows": 1 << 30}, {}]
)
def test_the_dealer_refuses_impossible_sizes(said: dict[str, int | list[int]]) -> None:
    from hanse.learning.vertical.scorecard.messages import say

    ends = [memory_pair("", name, 1.0) for name in ("brand", "partner")]
    for mine, _ in ends:
        say(mine, "sizes", 0, said)
    with pytest.raises(ProtocolError, match="impossible sizes"):
        deal(ends[0][1], ends[1][1], SETTINGS)


def test_labels_of_one_kind_and_tables_without_columns_are_refused() -> None:
    own, _, labels = made_up()
    here, _ = memory_pair("brand", "partner", 1.0)
    with pytest.raises(ConfigurationError, match="every label"):
        train_label_holder(cut(own), own, np.ones_like(labels), SETTINGS, b"root", here, here)
    with pytest.raises(ConfigurationError, match="yes or no"):
        train_label_holder(cut(own), own, labels[1:], SETTINGS, b"root", here, here)
    with pytest.raises(ConfigurationError, match="64 to"):
        train_feature_holder(cut(own), {}, SETTINGS, b"root", here, here)


def test_half_of_a_card_is_read_back_and_nothing_else_is() -> None:
    own, _, _ = made_up(64)
    binning = cut(own)
    half = HalfCard.of(FINE, binning, np.linspace(-1, 1, binning.layout.total), 0.5)
    file = half.encode()
    assert HalfCard.decode(file).encode() == file
    short = json.loads(file) | {"points": half.points.tolist()[1:]}
    for wrong in (json.dumps(short).encode(), file[:-1], b"", b"[]"):
        with pytest.raises(ServingError, match=r"model\.invalid: .*half of a card"):
            HalfCard.decode(wrong)
