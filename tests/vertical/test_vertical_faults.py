"""Each fault of a vertical run ends in a named error or a finished run, and in logs that agree."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from tests.exchange.hostile_relay import Action, Fault, HostileRelay
from tests.vertical.faulty_runs import PHASES, Ended, Faulty, build, cut_in, faulty
from tests.vertical.test_vertical_trees_dealer import TwoWrongBins

from hanse.aggregation.steps import say
from hanse.client.vertical import member, protocols
from hanse.crypto import SigningKey
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.runs.terms import trees_terms
from hanse.server.vertical import run as vertical_run

LEFT = "run.insufficient-members"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """One federation for all of it: what a fault leaves behind would show in the runs after it."""
    folder = tmp_path_factory.mktemp("faults")
    with faulty(*build(folder)) as made:
        yield made


def marked(value: Any, *, slow: bool) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow if slow else pytest.mark.soak)


def hostile(run: Faulty, monkeypatch: pytest.MonkeyPatch, fault: Fault, phase: str) -> tuple[Ended, bool]:
    monkeypatch.setattr(run.local.hub, "open", run.local.hub.open)  # taken back afterwards
    relay = HostileRelay(run.local.hub, fault, PHASES[phase])
    return run.run(), relay.done


SEALED = {"sealed.broken", "sealed.truncated", "exchange.timeout"}
"""What a member says when a message is not what the other one sealed, or does not come."""


def test_an_altered_message_of_the_alignment(run: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, done = hostile(run, monkeypatch, Fault("insurer", "brand", 2, "alter"), "align")
    assert done
    assert ended.code == LEFT
    assert set(ended.left.values()) <= SEALED
    assert "sealed.broken" in ended.told
    run.check(ended)


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
    foreign = SigningKey("insurer", bytes(32))
    step: Any = getattr(member.VerticalMember, f"_{phase}")

    def with_other_key(self: Any, session: Any, name: str) -> Any:
        if session.member == "insurer":
            monkeypatch.setattr(self, "_key", foreign)
        return step(self, session, name)

    monkeypatch.setattr(member.VerticalMember, f"_{phase}", with_other_key)
    ended = run.run()
    assert ended.code == LEFT
    # The key is part of what both mean; who hides that cannot sign (identity.bad-signature).
    assert "sealed.foreign" in ended.left.values()
    run.check(ended)


def test_a_dealer_that_cheats(run: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    def dealing(agreement: Any, people: int, root: bytes) -> Any:
        cheat = TwoWrongBins(trees_terms(agreement, people, root))
        return lambda channels: cheat.deal(channels, np.random.default_rng().bytes)

    monkeypatch.setattr(vertical_run, "make_dealer", dealing)
    ended = run.run()
    assert ended.code == LEFT
    assert "vertical.dealing" in ended.left.values()
    assert "vertical.dealing" in ended.told
    run.check(ended)


Deals = Callable[[Mapping[str, PeerChannel]], bool]
"""What a dealer does first; whether it then deals as it should."""


def silent(_: Mapping[str, PeerChannel]) -> bool:
    """Deals nothing."""
    return False


def stops(_: Mapping[str, PeerChannel]) -> bool:
    """Breaks off."""
    raise ProtocolError("protocol.malformed", "a dealer that breaks off")


def other_form(channels: Mapping[str, PeerChannel]) -> bool:
    """Says something else than a seed."""
    for channel in channels.values():
        say(channel, "seed", np.zeros(3))
    return True


def no_message(channels: Mapping[str, PeerChannel]) -> bool:
    """Sends bytes that are no message."""
    for channel in channels.values():
        channel.send(b"\xff" * 40)
    return True


DEALERS: dict[Deals, set[str]] = {
    silent: {"exchange.timeout"},
    stops: {"exchange.timeout", "protocol.malformed"},
    other_form: {"protocol.malformed", "exchange.timeout"},
    no_message: {"protocol.malformed", "exchange.timeout"},
}
"""What a dealer does that is broken, and with which codes a run ends of it, or a member leaves."""


@pytest.mark.parametrize("dealer", [marked(one, slow=one is no_message) for one in DEALERS])
def test_a_dealer_that_is_broken(run: Faulty, monkeypatch: pytest.MonkeyPatch, dealer: Deals) -> None:
    make: Any = vertical_run.__dict__["make_dealer"]

    def dealing(*given: Any) -> Any:
        deal = make(*given)

        def first(channels: Mapping[str, PeerChannel]) -> None:
            if dealer(channels):
                deal(channels)

        return first

    monkeypatch.setattr(vertical_run, "make_dealer", dealing)
    ended = run.run()
    codes = set(ended.left.values()) or {ended.code}
    assert codes <= DEALERS[dealer], ended
    run.check(ended)


def other_root(_: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """The insurer tells the coordinator other people than it found with the brand."""
    found: Any = protocols.aligned_people

    def other(session: Any, *rest: Any) -> Any:
        alignment = found(session, *rest)
        return replace(alignment, root=bytes(32)) if session.member == "insurer" else alignment

    monkeypatch.setattr(member, "aligned_people", other)


def other_rows(_: Faulty, monkeypatch: pytest.MonkeyPatch, *, root: bool) -> None:
    """The insurer trains on its rows in another order than the common one; and says so, or does not."""
    step: Any = member.VerticalMember._train

    def train(self: Any, session: Any, name: str) -> Any:
        if session.member == "insurer":
            session.vertical.subject_ids = session.vertical.subject_ids[::-1]
            session.vertical.root = session.vertical.root[::-1] if root else session.vertical.root
        return step(self, session, name)

    monkeypatch.setattr(member.VerticalMember, "_train", train)


def labels(expression: str, run: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """The brand's file has other labels from now on."""
    path = run.local.federation.sites[0].written.data
    good = path.read_bytes()
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * REPLACE ({expression} AS bought_90d) FROM '{path}') TO '{path}.new'"  # noqa: S608
            " (FORMAT parquet)"
        )
    Path(f"{path}.new").replace(path)
    step: Any = run.served.engine.run

    def back(*given: Any) -> None:
        try:
            step(*given)
        finally:
            path.write_bytes(good)

    monkeypatch.setattr(run.served.engine, "run", back)


NAN = "CASE WHEN hash(subject_id) % 50 = 0 THEN 'nan'::DOUBLE ELSE (bought_90d = 'yes')::INT::DOUBLE END"

Fate = tuple[Callable[..., Any], str, dict[str, set[str]]]
"""What is done, the code of the run, and codes with which members may leave."""

FATES: dict[str, Fate] = {
    "tells another root": (other_root, "run.accounts-differ", {}),
    "states other rows": (
        partial(other_rows, root=True),
        LEFT,
        {"insurer": {"run.update-rejected"}},
    ),
    # What nothing can notice: only the insurer knows which of its rows is whose.
    "lies about its rows": (partial(other_rows, root=False), "", {}),
    "NaN for labels": (partial(labels, NAN), LEFT, {"brand": {"config.bad-data"}}),
    "labels of one class": (
        partial(labels, "(bought_90d = 'yes')::INT"),
        LEFT,
        {"brand": {"config.bad-data"}},
    ),
    # One value counts as yes; whatever else there is counts as no.
    "three labels": (
        partial(
            labels,
            "CASE WHEN bought_90d = 'no' AND hash(subject_id) % 2 = 0 THEN 'perhaps' ELSE bought_90d END",
        ),
        "",
        {},
    ),
}


# One of each kind by default; the whole grid with the drills that repeat for many minutes.
SLOW_FATES = {"tells another root", "NaN for labels"}
SLOW_RELAYS = {("train", "swap", ("insurer", "brand")), ("train", "alter", ("brand", "insurer"))}


@pytest.mark.parametrize("fate", [marked(fate, slow=fate in SLOW_FATES) for fate in FATES])
def test_what_a_member_does_wrong(run: Faulty, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    do, code, left = FATES[fate]
    do(run, monkeypatch)
    ended = run.run()
    assert ended.code == code, ended
    assert ended.left.keys() >= left.keys(), ended
    assert all(ended.left[name] in codes for name, codes in left.items()), ended
    run.check(ended)


ACTIONS: tuple[Action, ...] = ("duplicate", "swap", "truncate", "alter", "drop")
WAYS = (("insurer", "brand"), ("brand", "insurer"))


@pytest.mark.parametrize(
    ("phase", "action", "way"),
    [
        # In an evaluation of trees, the label holder says no more than hello and proof.
        marked(cell, slow=cell in SLOW_RELAYS)
        for cell in itertools.product(PHASES, ACTIONS, WAYS)
        if (cell[0], cell[2][0]) != ("evaluate", "brand")
    ],
)
def test_what_a_relay_does_to_a_sealed_message(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, phase: str, action: Action, way: tuple[str, str]
) -> None:
    ended, done = hostile(run, monkeypatch, Fault(*way, 2, action), phase)
    assert done
    assert ended.code == LEFT, ended
    assert set(ended.left.values()) <= SEALED, ended
    run.check(ended)


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
