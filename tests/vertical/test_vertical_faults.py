"""Each fault of a vertical run ends in a named error or a finished run, and in logs that agree."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.exchange.hostile_relay import Action, Fault
from tests.vertical.faulty_runs import PHASES, Faulty, build, cut_in, faulty
from tests.vertical.misdeeds import (
    ACTIONS,
    DEALERS,
    FATES,
    LEFT,
    SEALED,
    WAYS,
    Deals,
    check_dealer,
    check_fate,
    first_message,
    hostile,
    no_message,
    other_key,
)
from tests.vertical.test_vertical_trees_dealer import TwoWrongBins

from hanse.errors import HanseError
from hanse.learning.vertical.runs.terms import trees_terms
from hanse.server.vertical import run as vertical_run
from hanse.server.vertical.phase import Conductor, MemberGoneError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """One federation for all of it: what a fault leaves behind would show in the runs after it."""
    folder = tmp_path_factory.mktemp("faults")
    with faulty(*build(folder)) as made:
        yield made


def marked(value: Any, *, slow: bool) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow if slow else pytest.mark.soak)


def test_an_altered_message_of_the_alignment(run: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, done = hostile(run, monkeypatch, Fault("insurer", "brand", 2, "alter"), "align")
    assert done
    assert ended.code == LEFT
    assert set(ended.left.values()) <= SEALED
    assert "sealed.broken" in ended.told
    run.check(ended, "align")


@pytest.mark.parametrize(
    "phase",
    [
        "align",
        pytest.param("train", marks=pytest.mark.slow),
        pytest.param("evaluate", marks=pytest.mark.soak),
    ],
)
def test_a_member_with_another_key_than_the_agreement_pins(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    other_key(monkeypatch, phase)
    ended = run.run()
    assert ended.code == LEFT
    # The key is part of what both mean; who hides that cannot sign (identity.bad-signature).
    assert "sealed.foreign" in ended.left.values()
    run.check(ended, phase)


def test_a_dealer_that_cheats(run: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    def dealing(agreement: Any, people: int, root: bytes) -> Any:
        cheat = TwoWrongBins(trees_terms(agreement, people, root))
        return lambda channels: cheat.deal(channels, np.random.default_rng().bytes)

    monkeypatch.setattr(vertical_run, "make_dealer", dealing)
    ended = run.run()
    assert ended.code == LEFT
    assert "vertical.dealing" in ended.left.values()
    assert "vertical.dealing" in ended.told
    run.check(ended, "train")


@pytest.mark.parametrize("dealer", [marked(one, slow=one is no_message) for one in DEALERS])
def test_a_dealer_that_is_broken(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dealer: Deals
) -> None:
    check_dealer(run, monkeypatch, caplog, dealer)


# One of each kind by default; the whole grid with the drills that repeat for many minutes.
SLOW_FATES = {"tells another root", "NaN for labels"}
SLOW_RELAYS = {("train", "swap", ("insurer", "brand")), ("train", "alter", ("brand", "insurer"))}


@pytest.mark.parametrize("fate", [marked(fate, slow=fate in SLOW_FATES) for fate in FATES])
def test_what_a_member_does_wrong(run: Faulty, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    check_fate(run, monkeypatch, fate)


@pytest.mark.parametrize(
    ("phase", "action", "way"),
    [marked(cell, slow=cell in SLOW_RELAYS) for cell in itertools.product(PHASES, ACTIONS, WAYS)],
)
def test_what_a_relay_does_to_a_sealed_message(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, phase: str, action: Action, way: tuple[str, str]
) -> None:
    ended, done = hostile(run, monkeypatch, Fault(*way, first_message(phase, way[0]), action), phase)
    assert done
    assert ended.code == LEFT, ended
    assert set(ended.left.values()) <= SEALED, ended
    run.check(ended, phase)


@pytest.mark.slow
def test_who_found_a_message_wrong_is_named_where_another_seemed_to_be_gone(
    run: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose: Any = Conductor._lose

    def gone(self: Any, member: str, error: HanseError) -> None:
        # As if whoever waits for the message were noticed first, as one without a connection.
        if self._again:
            raise MemberGoneError("insurer", error, self._asked)
        lose(self, member, error)

    monkeypatch.setattr(Conductor, "_lose", gone)
    fault = Fault("insurer", "brand", first_message("train", "insurer"), "alter")
    ended, done = hostile(run, monkeypatch, fault, "train")
    assert done
    assert ended.code == LEFT, ended
    assert "sealed.broken" in ended.left.values(), ended
    run.check(ended, "train")


@pytest.mark.parametrize(
    ("who", "phase"), [marked(("insurer", "align"), slow=False), marked(("brand", "train"), slow=True)]
)
def test_a_connection_that_is_cut_and_comes_back(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, who: str, phase: str
) -> None:
    vertical = run.node(who)._vertical
    for target, name in ((vertical, "_dial"), (run.local.hub, "open")):
        monkeypatch.setattr(target, name, getattr(target, name))  # taken back afterwards
    cut = cut_in(run, who, PHASES[phase], 3, seconds=2.0)
    ended = run.run()
    assert cut
    assert ended.code == "", ended
    run.check(ended)
    assert threading.active_count() < 60
