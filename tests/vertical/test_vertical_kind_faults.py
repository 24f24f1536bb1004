"""Faults in whole runs of every kind of model but trees with a dealer; those are in test_vertical_faults.py.

After each fault the same nodes and coordinator give a model.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest
from tests.exchange.hostile_relay import Action, Fault
from tests.vertical.faulty_runs import PHASES, Faulty, build, cut_in, faulty
from tests.vertical.killed_nodes import kill_at_message
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
from tests.vertical.trees_run import need_homomorphic

from hanse.policies import Trust

if TYPE_CHECKING:
    from hanse.learning.vertical.recipe import VerticalModel

KindOfRun: TypeAlias = Literal["scorecard", "late_fusion", "split_network", "encrypted"]
KINDS: tuple[KindOfRun, ...] = ("scorecard", "late_fusion", "split_network", "encrypted")
"""The last one is trees without a dealer."""

CHANGED: dict[KindOfRun, dict[str, Any]] = {
    # Of few people, a flipped label may by chance look like more than it is.
    "late_fusion": {"maximum_leakage": 0.95},
    "encrypted": {"trust": Trust(mode="homomorphic", key_bits=2048)},
}
# What members do the same in all kinds is in the alignment; the phases after it are each kind's own.
OWN_PHASES = ("train", "evaluate")
MEMBERS = ("brand", "insurer")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[KindOfRun], Faulty]]:
    """One federation for all faults of a kind: what one leaves behind would show in the runs after it."""
    made: dict[KindOfRun, Faulty] = {}
    with ExitStack() as stack:

        def of(kind: KindOfRun) -> Faulty:
            if kind not in made:
                model: VerticalModel = "trees" if kind == "encrypted" else kind
                folder = tmp_path_factory.mktemp(kind)
                built = build(folder, trees=1, model=model, changed=CHANGED.get(kind, {}))
                made[kind] = stack.enter_context(faulty(*built))
            return made[kind]

        yield of


@pytest.fixture
def run(runs: Callable[[KindOfRun], Faulty], kind: KindOfRun) -> Faulty:
    if kind == "encrypted":
        need_homomorphic()
    return runs(kind)


def cells(
    names: str, *axes: Any, kinds: tuple[KindOfRun, ...] = KINDS, slow: Any = ()
) -> pytest.MarkDecorator:
    """Each kind with each combination; the ``slow`` ones in continuous integration, the rest in the soak."""
    found = []
    for cell in itertools.product(kinds, *axes):
        mark = pytest.mark.slow if cell in slow else pytest.mark.soak
        found.append(pytest.param(*cell, marks=mark))
    return pytest.mark.parametrize(("kind", *names.split()), found)


@cells(
    "phase action way",
    OWN_PHASES,
    ACTIONS,
    WAYS,
    slow={
        ("scorecard", "train", "duplicate", WAYS[0]),
        ("late_fusion", "train", "alter", WAYS[1]),
        ("split_network", "train", "truncate", WAYS[0]),
    },
)
def test_what_a_relay_does_to_a_sealed_message(
    run: Faulty,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    action: Action,
    way: tuple[str, str],
) -> None:
    ended, done = hostile(run, monkeypatch, Fault(*way, first_message(phase, way[0]), action), phase)
    assert done
    assert ended.code == LEFT, ended
    assert set(ended.left.values()) <= SEALED, ended
    run.check(ended, phase)
    monkeypatch.undo()
    run.check_next()


@cells("phase", OWN_PHASES)
def test_a_member_with_another_key_than_the_agreement_pins(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    other_key(monkeypatch, phase)
    ended = run.run()
    assert ended.code == LEFT
    assert "sealed.foreign" in ended.left.values()
    run.check(ended, phase)
    monkeypatch.undo()
    run.check_next()


@cells(
    "dealer",
    list(DEALERS),
    kinds=("scorecard",),
    slow={("scorecard", no_message)},
)
def test_a_dealer_that_is_broken(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dealer: Deals
) -> None:
    check_dealer(run, monkeypatch, caplog, dealer)
    monkeypatch.undo()
    run.check_next()


@cells("fate", list(FATES))
def test_what_a_member_does_wrong(run: Faulty, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    check_fate(run, monkeypatch, fate)
    monkeypatch.undo()
    run.check_next()


@cells(
    "member phase",
    MEMBERS,
    PHASES,
    slow={("scorecard", "insurer", "train"), ("split_network", "brand", "evaluate")},
)
def test_a_member_that_is_killed(run: Faulty, kind: KindOfRun, member: str, phase: str) -> None:
    killed = kill_at_message(run.local, member, PHASES[phase], first_message(phase, member))
    ended = run.run()
    assert killed == [PHASES[phase]]
    if kind == "encrypted" and phase != "align":
        assert ended.code == "", ended  # trees go on
        run.check(ended)
    else:
        assert (ended.code, set(ended.left)) == (LEFT, {member}), ended
        run.check(ended, phase, member)
    run.check_next()


@cells("member phase", MEMBERS, OWN_PHASES, slow={("late_fusion", "insurer", "train")})
def test_a_connection_that_is_cut_and_comes_back(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, member: str, phase: str
) -> None:
    vertical = run.node(member)._vertical
    for target, name in ((vertical, "_dial"), (run.local.hub, "open")):
        monkeypatch.setattr(target, name, getattr(target, name))  # taken back afterwards
    cut = cut_in(run, member, PHASES[phase], first_message(phase, member) + 1, seconds=2.0)
    ended = run.run()
    assert cut
    assert ended.code == "", ended
    run.check(ended)
