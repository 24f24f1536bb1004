"""What is not as it must be ends the alignment with an error that names who sent it."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alignment.aligning import align, connect, make_rules, make_terms

from hanse.aggregation.body import decode_body, encode_body
from hanse.alignment.identifiers import Column, prepare
from hanse.alignment.messages import VERSION, hear_count, hear_rows, hear_secret, hear_table
from hanse.alignment.taking_part import take_part
from hanse.errors import ConfigurationError, HanseError, PolicyError, ProtocolError
from hanse.exchange.peers import MemoryChannel, memory_pair

RULES = make_rules(["code"])
TABLE = {"code": [str(number) for number in range(20)]}
READERS: list[Callable[[Any], object]] = [
    lambda channel: list(hear_rows(channel, "blinded", 32)),
    lambda channel: hear_secret(channel, "coin"),
    lambda channel: hear_count(channel, 10),
    hear_table,
]


@given(
    st.sampled_from(READERS),
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            encode_body,
            st.fixed_dictionaries(
                {"step": st.sampled_from(["blinded", "coin", "count", "table"])},
                optional={name: st.integers(-1, 2**40) for name in ("at", "of", "count", "keys")},
            ),
            st.integers(0, 40).map(lambda size: np.zeros(size, np.uint8)),
        ),
    ),
)
@settings(deadline=None)
def test_messages_are_read_totally(read: Callable[[Any], object], body: bytes) -> None:
    ours, theirs = memory_pair("brand", "insurer", 0.01)
    theirs.send(body)
    theirs.close()
    try:
        outcome: object = read(ours)
    except HanseError as error:
        outcome = error.detail
    assert not isinstance(outcome, str) or "insurer" in outcome


class Altered:
    """A channel of a member that changes what it says at one step."""

    def __init__(self, inner: MemoryChannel, step: str, change: Callable[[Any, Any], bytes]) -> None:
        self.inner, self.step, self.change = inner, step, change
        self.peer = inner.peer

    def send(self, body: bytes) -> None:
        header, arrays = decode_body(body)
        self.inner.send(self.change(header, arrays) if header["step"] == self.step else body)

    def receive(self) -> bytes:
        return self.inner.receive()

    def close(self) -> None:
        self.inner.close()


def zeros(header: Any, arrays: Any) -> bytes:
    return encode_body(header, np.zeros_like(arrays[0]))


def counted(number: int) -> Callable[[Any, Any], bytes]:
    return lambda header, _: encode_body({**header, "count": number})


@pytest.mark.parametrize(
    ("liar", "step", "change", "victim", "says"),
    [
        ("insurer", "evaluated", zeros, "brand", "a value from insurer is no point"),
        ("brand", "blinded", zeros, "insurer", "a value from brand is no point"),
        ("insurer", "order", zeros, "brand", "its order is not that of the other feature holders"),
        ("insurer", "coin", zeros, "brand", "insurer: its coin is not the one that it committed to"),
        ("brand", "found", zeros, "insurer", "brand: it names people in common without proof"),
        ("brand", "count", counted(21), "insurer", "brand: the number of people in common"),
        ("insurer", "root", zeros, "brand", "insurer has found other people in common"),
        ("insurer", "share", zeros, "brand", "nothing in common"),
    ],
)
def test_what_does_not_fit_is_found(
    liar: str, step: str, change: Callable[[Any, Any], bytes], victim: str, says: str
) -> None:
    # A third member could find it first and hang up: it is there only where it takes part in the finding.
    names = ("brand", "insurer", "media") if step in {"order", "share"} else ("brand", "insurer")
    channels: dict[str, dict[str, Any]] = {**connect(names)}
    channels[liar] = {name: Altered(end, step, change) for name, end in channels[liar].items()}
    error = align(dict.fromkeys(names, TABLE), RULES, channels=channels)[victim]
    if step == "share":  # only the shares of the two feature holders disagree: nothing cancels out
        assert isinstance(error, PolicyError)
        assert error.code == "alignment.nobody"
        return
    assert isinstance(error, ProtocolError)
    assert says in error.detail


@pytest.mark.parametrize("differing", ["agreement", "run", "purpose"])
def test_members_with_other_terms_do_not_align(differing: str) -> None:
    names = ("brand", "insurer")
    other = {"agreement": "cd" * 32, "run": "run-2", "purpose": "joint_modelling"}
    terms = {
        "brand": make_terms(names, RULES),
        "insurer": make_terms(names, RULES, **{differing: other[differing]}),
    }
    for error in align(dict.fromkeys(names, TABLE), RULES, terms=terms).values():
        assert isinstance(error, PolicyError)
        assert error.code == "alignment.terms"
        assert f"aligns with another {differing} than this member" in error.detail


def test_a_channel_to_everybody_is_needed() -> None:
    prepared = prepare({"code": Column("id", ["1"])}, RULES, "crm.csv", os.urandom)
    with pytest.raises(ConfigurationError, match="a channel to every other member"):
        take_part("brand", prepared, {}, make_terms(("brand", "insurer"), RULES))


def test_progress_is_told_and_a_member_that_leaves_ends_the_others() -> None:
    ours, theirs = memory_pair("brand", "insurer", 5.0)
    prepared = prepare({"code": Column("id", ["1", "2"])}, RULES, "crm.csv", os.urandom)
    told: list[tuple[str, int, int]] = []

    def leave() -> None:
        while decode_body(theirs.receive())[0]["step"] != "blinded":
            theirs.send(_hello(theirs))
        theirs.close()

    thread = threading.Thread(target=leave)
    thread.start()
    terms = make_terms(("brand", "insurer"), RULES)
    with pytest.raises(ProtocolError, match=r"exchange\.closed"):
        take_part("brand", prepared, {"insurer": ours}, terms, progress=lambda *done: told.append(done))
    thread.join()
    assert told == [("blinding", 16, 16)]


def _hello(channel: MemoryChannel) -> bytes:
    stated = make_terms(("brand", "insurer"), RULES).stated()
    assert channel.peer == "brand"
    return encode_body({"step": "hello", "version": VERSION, **stated}, np.zeros(64, np.uint8))
