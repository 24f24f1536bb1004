"""A dealer of a scorecard whose numbers do not fit together is found out, and nobody keeps a half."""

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from tests.vertical.faulty_runs import MEMBERS, build, faulty
from tests.vertical.test_vertical_run import log_of, of_type
from tests.vertical.test_vertical_scorecard import SETTINGS, cut, made_up

from hanse.audit import EventType
from hanse.errors import HanseError
from hanse.exchange import memory_pair
from hanse.learning.vertical.scorecard import HalfCard, dealer, train_feature_holder, train_label_holder
from hanse.learning.vertical.scorecard.checking import Check
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

if TYPE_CHECKING:
    from hanse.learning.vertical.scorecard.ring import Ring

ITERATIONS = 3
WRONG = np.uint64(12_345)
TOP = np.uint64(1 << 63)

Lie: TypeAlias = Callable[[int, Any], Any]
"""What is dealt instead, by the number of the call and what is right."""


def changed(at: int, place: tuple[int, ...], error: np.uint64, field: str) -> Lie:
    """Moves one number of one call."""

    def lie(call: int, right: Any) -> Any:
        array: Ring = getattr(right, field)
        if call == at:
            array[place] ^= error
        return right

    return lie


def every(step: int, error: np.uint64) -> Lie:
    """Moves a wave of every so many masks of places."""

    def lie(_: int, right: Any) -> Any:
        right.waves[:, 0, ::step] += error
        return right

    return lie


def lying(monkeypatch: pytest.MonkeyPatch, name: str, lie: Lie) -> None:
    """The dealer's function of a name, followed by a lie."""
    right: Any = getattr(dealer, name)
    calls = iter(range(1_000_000))
    monkeypatch.setattr(dealer, name, lambda *given: lie(next(calls), right(*given)))


def conduct() -> tuple[list[HalfCard], dict[str, str]]:
    """A run of all three; halves, and codes of errors by party."""
    own, other, labels = made_up(300)
    settings = SETTINGS.model_copy(update={"iterations": ITERATIONS})
    here, there = memory_pair("brand", "partner", 10.0)
    (mine, brand), (theirs, partner) = memory_pair("", "brand", 10.0), memory_pair("", "partner", 10.0)
    halves: list[HalfCard] = []
    codes: dict[str, str] = {}

    def part(name: str, train: Callable[[], HalfCard | None]) -> None:
        try:
            half = train()
        except HanseError as error:
            codes[name] = error.code
        else:
            halves.extend([half] if half else [])

    parts = {
        "brand": lambda: train_label_holder(cut(own), own, labels, settings, b"root", here, mine),
        "partner": lambda: train_feature_holder(cut(other), other, settings, b"root", there, theirs),
        "dealer": lambda: dealer.deal(brand, partner, settings),
    }
    threads = [threading.Thread(target=part, args=given) for given in parts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return halves, codes


# Calls of deal_products: two for the check, then two in each iteration, that of the label holder first.
LIES: dict[str, tuple[str, Lie]] = {
    "one logit": ("deal_products", changed(2 + 2 * 1, (0, 7), WRONG, "logits")),
    "one highest bit": ("deal_products", changed(2 + 2 * 2 + 1, (0, 299), TOP, "logits")),
    "one gradient": ("deal_products", changed(2 + 2 * 0 + 1, (0, 1), WRONG, "gradient")),
    "only the check": ("deal_products", changed(0, (3, 9), WRONG, "logits")),
    "one highest bit's product": ("deal_shared", changed(1, (0, 0), WRONG, "tops")),
    "the constant in the last step": ("deal_shared", changed(ITERATIONS - 1, (0, 3), TOP, "tops")),
    "every fourth wave": ("deal_shared", every(4, WRONG)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_dealer_is_found_out(monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    lying(monkeypatch, *LIES[lie])
    halves, codes = conduct()
    assert not halves
    # Of 150 wrong masks of places, or by 40 combinations: it passes with a probability below 1e-12.
    assert codes == {"brand": "vertical.dealing", "partner": "vertical.dealing"}


def test_a_dealer_that_deals_for_another_seed_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = dealer.__dict__["say"]

    def say(party: Any, step: str, number: int, fields: dict[str, Any]) -> None:
        right(party, step, number, {"seed": hashlib.sha256(fields["seed"].encode()).hexdigest()})

    monkeypatch.setattr(dealer, "say", say)
    halves, codes = conduct()
    assert (halves, codes) == ([], {"brand": "vertical.dealing", "partner": "vertical.dealing"})


def test_an_honest_dealer_passes() -> None:
    halves, codes = conduct()
    assert (len(halves), codes) == (2, {})


SIZES = Sizes(rows=8, features=(2, 1), bits=20, combinations=1)
SEEDS = (bytes(32), bytes([1]) * 32)
ITERATIONS_CHECKED = 2


class Table:
    """What both parties have of two iterations, and their checks by one combination and any coin."""

    def __init__(self) -> None:
        self.masks = [feature_mask(seed, SIZES, party) for party, seed in enumerate(SEEDS)]
        self.own = [
            [Own.make(seed, SIZES, party, iteration) for party, seed in enumerate(SEEDS)]
            for iteration in range(ITERATIONS_CHECKED)
        ]
        self.shared = [
            (share, deal_shared(first, second, share))
            for iteration, (first, second) in enumerate(self.own)
            for share in [Shared.of_first(SEEDS[0], SIZES, iteration)]
        ]
        self.dealt = [self._products([one.factors for one in own]) for own in self.own]

    def _products(self, factors: list[Factors]) -> list[Products]:
        return [deal_products(self.masks[1 - party], factors[1 - party], factors[party]) for party in (0, 1)]

    def passes(self, number: int) -> bool:
        """Whether both parties find nothing with a coin."""
        coin, ends = number.to_bytes(32, "big"), memory_pair("brand", "partner", 10.0)
        checks = self._products([Factors.for_check(seed, SIZES, party) for party, seed in enumerate(SEEDS)])
        codes: list[str] = []

        def part(party: int) -> None:
            check = Check(coin, SEEDS[party], SIZES, party, checks[party])
            for iteration in range(ITERATIONS_CHECKED):
                own, shared = self.own[iteration][party], self.shared[iteration][party]
                check.add(iteration, own.factors, self.dealt[iteration][party])
                check.add_spares(iteration, ends[party], own, shared, check.pick(iteration))
                check.add_tops(iteration, ends[party], own, shared)
            try:
                check.conclude(ends[party], self.masks[party])
            except HanseError as error:
                codes.append(error.code)

        thread = threading.Thread(target=part, args=(1,))
        thread.start()
        part(0)
        thread.join()
        assert codes in ([], ["vertical.dealing"] * 2)
        return not codes


def wrong_logit(table: Table) -> None:
    table.dealt[0][0].logits[0, 3] ^= TOP


def wrong_top(table: Table) -> None:
    table.shared[1][1].tops[0, 2] ^= TOP


def wrong_wave(table: Table) -> None:
    table.shared[0][1].waves[1, 4, 5] += WRONG


def wrong_waves(table: Table) -> None:
    for iteration in range(ITERATIONS_CHECKED):
        table.shared[iteration][1].waves[0, 0, ::4] += WRONG


def wrong_pair(table: Table) -> None:
    table.shared[0][1].waves[:, 0, 0] += WRONG


TOSSES = 400


CHANCES: list[tuple[Callable[[Table], None] | None, float]] = [
    (None, 1.0),
    (wrong_logit, 1 / 2),
    (wrong_top, 1 / 2),
    (wrong_wave, 1 / 2),
    (wrong_waves, 1 / 16),
    (wrong_pair, 0.0),
]


@pytest.mark.parametrize(("wrong", "chance"), CHANCES)
def test_a_lie_passes_with_the_stated_probability(
    wrong: Callable[[Table], None] | None, chance: float
) -> None:
    table = Table()
    if wrong is not None:
        wrong(table)
    passed = sum(table.passes(number) for number in range(TOSSES))
    # Five standard deviations: a fair coin is outside of this with a probability of 6e-7.
    assert abs(passed / TOSSES - chance) <= 5 * (chance * (1 - chance) / TOSSES) ** 0.5


def test_a_run_whose_dealer_lies_is_refused_and_logged(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying(monkeypatch, "deal_products", changed(2 + 2 * 5, (0, 0), WRONG, "logits"))
    with faulty(*build(tmp_path, model="scorecard")) as run:
        ended = run.run()
        assert ended.code == "run.insufficient-members"
        assert set(ended.left.values()) == {"vertical.dealing"}
        assert "vertical.dealing" in ended.told
        run.check(ended)
        for member in MEMBERS:
            (refused,) = of_type(log_of(run.site(member)), EventType.RUN_REFUSED)
            assert refused.reasons == ("vertical.dealing",)
