"""Whatever bytes a party sends, the other side gives a value or one of our errors."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.aggregation.secure_sums import QUESTION, Federation, Stage, drawn_from, staged

from hanse.errors import HanseError

Take = Callable[[bytes], object]


def member_steps() -> dict[str, tuple[Take, bytes]]:
    """Each step of a member that is due, with the message that would be right."""
    fresh, opened, shown, prepared, signed = (
        staged(Federation(4, entropy=drawn_from("p"))) for _ in range(5)
    )
    keys = opened.advertise()["m0"]
    sealed = shown.share()["m0"]
    prepared.prepare()
    lists = prepared.gather(silent=["m3"]).close_inputs()["m0"]
    signed.prepare()
    certificate = signed.confirm(signed.gather(silent=["m3"]))["m0"]
    return {
        "open": (fresh.members["m0"].open, fresh.terms.opening()),
        "advertised": (opened.members["m0"].advertised, keys),
        "shared": (shown.members["m0"].shared, sealed),
        "survivors": (prepared.members["m0"].survivors, lists),
        "reveal": (signed.members["m0"].reveal, certificate),
    }


def coordinator_steps() -> dict[str, tuple[Take, bytes]]:
    """Each step of the coordinator that waits for m0, with the message that would be right."""
    one, two, three, four, five = (staged(Federation(4, entropy=drawn_from("p"))) for _ in range(5))
    shares = two.members["m0"].advertised(two.advertise()["m0"])
    three.prepare()
    inputs = three.coordinator.sum(0, QUESTION, np.zeros(2, "<u4"))
    four.prepare()
    signing = four.gather(silent=["m3"])
    confirmation = four.members["m0"].survivors(signing.close_inputs()["m0"])
    five.prepare()
    revealing = five.gather()
    reveal = five.members["m0"].reveal(five.confirm(revealing)["m0"])
    return {
        "advertisement": (
            for_m0(one.coordinator.take_advertisement),
            one.members["m0"].open(one.terms.opening()),
        ),
        "shares": (for_m0(two.coordinator.take_shares), shares),
        "input": (for_m0(inputs.take_input), three.members["m0"].mask(0, QUESTION, np.zeros(2, "<u4"))),
        "confirmation": (for_m0(signing.take_confirmation), confirmation),
        "reveal": (for_m0(revealing.take_reveal), reveal),
    }


def for_m0(take: Callable[[str, bytes], object]) -> Take:
    return lambda data: take("m0", data)


STEPS = {**{f"member {k}": v for k, v in member_steps().items()}, **coordinator_steps()}
by_step = pytest.mark.parametrize("step", STEPS)


@by_step
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes(step: str, data: bytes) -> None:
    take, _ = STEPS[step]
    with pytest.raises(HanseError):
        take(data)


@by_step
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_edited_bytes(step: str, data: st.DataObject) -> None:
    take, right = STEPS[step]
    start = data.draw(st.integers(0, len(right) - 1))
    stop = data.draw(st.integers(start, min(len(right), start + 8)))
    with suppress(HanseError):
        take(right[:start] + data.draw(st.binary(max_size=8)) + right[stop:])


def test_what_was_refused_leaves_no_trace() -> None:
    """After all that nonsense the right messages are still taken."""
    stage: Stage = staged(Federation(3, entropy=drawn_from("p")))
    for name, member in stage.members.items():
        with pytest.raises(HanseError):
            member.open(b"\xff")
        stage.coordinator.take_advertisement(name, member.open(stage.terms.opening()))
    for name, shown in stage.coordinator.close_advertisements().items():
        with pytest.raises(HanseError):
            stage.members[name].advertised(shown[:-1])
        stage.coordinator.take_shares(name, stage.members[name].advertised(shown))
    for name, sealed in stage.coordinator.close_shares().items():
        with pytest.raises(HanseError):
            stage.members[name].shared(sealed[:-1])
        stage.members[name].shared(sealed)
    total, survivors = stage.finish(stage.gather())
    assert list(survivors) == stage.federation.names
    assert not total.any()
