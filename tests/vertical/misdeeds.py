"""What members, relays and dealers of whole vertical runs do wrong, whatever kind of model is trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from tests.exchange.hostile_relay import Action, Fault, HostileRelay
from tests.vertical.faulty_runs import PHASES, Ended, Faulty

from hanse.aggregation.steps import say
from hanse.client.vertical import member, protocols
from hanse.client.vertical.state import order_digest
from hanse.crypto import SigningKey
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.server.vertical import run as vertical_run

LEFT = "run.insufficient-members"

ACTIONS: tuple[Action, ...] = ("duplicate", "swap", "truncate", "alter", "drop")
WAYS = (("insurer", "brand"), ("brand", "insurer"))

SEALED = {"sealed.broken", "sealed.truncated", "exchange.timeout"}
"""What a member says when a message is not what the other one sealed, or does not come."""


def first_message(phase: str, source: str) -> int:
    """Number of the first message with something in it, after hello and proof.

    In an evaluation the label holder has none: its proof is taken.
    """
    return 1 if (phase, source) == ("evaluate", "brand") else 2


def hostile(run: Faulty, monkeypatch: pytest.MonkeyPatch, fault: Fault, phase: str) -> tuple[Ended, bool]:
    """A run with a relay that does something to a message; whether it did."""
    monkeypatch.setattr(run.local.hub, "open", run.local.hub.open)  # taken back afterwards
    relay = HostileRelay(run.local.hub, fault, PHASES[phase])
    return run.run(), relay.done


def other_key(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """The insurer's node signs with another key than the agreement pins, from a phase on."""
    foreign = SigningKey("insurer", bytes(32))
    step: Any = getattr(member.VerticalMember, f"_{phase}")

    def with_other_key(self: Any, session: Any, name: str) -> Any:
        if session.member == "insurer":
            monkeypatch.setattr(self, "_key", foreign)
        return step(self, session, name)

    monkeypatch.setattr(member.VerticalMember, f"_{phase}", with_other_key)


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
    other_form: {"protocol.malformed", "protocol.unexpected-step", "exchange.timeout"},
    no_message: {"protocol.malformed", "exchange.timeout"},
}
"""What a dealer does that is broken, and with which codes a run ends of it, or a member leaves."""


def break_dealer(monkeypatch: pytest.MonkeyPatch, dealer: Deals) -> None:
    """The coordinator deals like this from now on."""
    make: Any = vertical_run.__dict__["make_dealer"]

    def dealing(*given: Any) -> Any:
        deal = make(*given)

        def first(channels: Mapping[str, PeerChannel]) -> None:
            if dealer(channels):
                deal(channels)

        return first

    monkeypatch.setattr(vertical_run, "make_dealer", dealing)


def check_dealer(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dealer: Deals
) -> None:
    """A run with one of :data:`DEALERS` ends as it says."""
    break_dealer(monkeypatch, dealer)
    ended = run.run()
    codes = set(ended.left.values()) or {ended.code}
    assert codes <= DEALERS[dealer], ended
    # No member can know of a dealer that says nothing why; each node's output says whose message was due.
    assert dealer is not silent or "a message of the coordinator itself was due" in caplog.text
    run.check(ended, "train")


def other_root(_: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """The insurer tells the coordinator other people than it found with the brand."""
    found: Any = protocols.aligned_people

    def other(session: Any, *rest: Any) -> Any:
        alignment = found(session, *rest)
        return replace(alignment, root=bytes(32)) if session.member == "insurer" else alignment

    monkeypatch.setattr(member, "aligned_people", other)


def other_rows(_: Faulty, monkeypatch: pytest.MonkeyPatch, *, root: bool, means_it: bool = True) -> None:
    """The insurer trains on its rows in another order, meaning it or not; and says so, or does not."""
    step: Any = member.VerticalMember._train

    def train(self: Any, session: Any, name: str) -> Any:
        if session.member == "insurer":
            session.vertical.subject_ids = session.vertical.subject_ids[::-1]
            session.vertical.root = session.vertical.root[::-1] if root else session.vertical.root
            if means_it:
                session.vertical.order = order_digest(session.vertical.subject_ids, session.vertical.root)
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

Fate = tuple[Callable[..., Any], str, dict[str, set[str]], str]
"""What is done, the code of the run, codes with which members may leave, and in which phase."""

FATES: dict[str, Fate] = {
    "tells another root": (other_root, "run.accounts-differ", {}, "align"),
    "states other rows": (
        partial(other_rows, root=True),
        LEFT,
        {"insurer": {"run.update-rejected"}},
        "train",
    ),
    "has its rows in another order": (
        partial(other_rows, root=False, means_it=False),
        LEFT,
        {"insurer": {"run.order-changed"}},
        "train",
    ),
    # What nothing can notice: only the insurer knows which of its rows is whose.
    "lies about its rows": (partial(other_rows, root=False), "", {}, "train"),
    "NaN for labels": (partial(labels, NAN), LEFT, {"brand": {"config.bad-data"}}, "align"),
    "labels of one class": (
        partial(labels, "(bought_90d = 'yes')::INT"),
        LEFT,
        {"brand": {"config.bad-data"}},
        "train",
    ),
    # One value counts as yes; whatever else there is counts as no.
    "three labels": (
        partial(
            labels,
            "CASE WHEN bought_90d = 'no' AND hash(subject_id) % 2 = 0 THEN 'perhaps' ELSE bought_90d END",
        ),
        "",
        {},
        "train",
    ),
}


def check_fate(run: Faulty, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    """A run with one of :data:`FATES` ends as it says."""
    do, code, left, phase = FATES[fate]
    do(run, monkeypatch)
    ended = run.run()
    assert ended.code == code, ended
    assert ended.left.keys() >= left.keys(), ended
    assert all(ended.left[name] in codes for name, codes in left.items()), ended
    run.check(ended, phase if code else "")
