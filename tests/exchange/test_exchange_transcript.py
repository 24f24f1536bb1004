"""Digests of what was said."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import ProtocolError
from hanse.exchange import LONGEST_BODY_BYTES, Said, Transcript, memory_pair

BODIES = st.lists(st.binary(max_size=20), max_size=6)


def talk(there: list[bytes], back: list[bytes]) -> tuple[Transcript, Transcript]:
    brand, insurer = (Transcript(end) for end in memory_pair("brand", "insurer"))
    for body in there:
        brand.send(body)
    for body in back:
        insurer.send(body)
    assert [insurer.receive() for _ in there] == there
    assert [brand.receive() for _ in back] == back
    return brand, insurer


@given(BODIES, BODIES)
def test_what_one_sent_is_what_the_other_received(there: list[bytes], back: list[bytes]) -> None:
    brand, insurer = talk(there, back)
    assert (brand.sent, brand.received) == (insurer.received, insurer.sent)
    assert (brand.sent == brand.received) == (there == back)
    assert (brand.sent.messages, brand.sent.bytes) == (len(there), sum(map(len, there)))


def test_the_digest_is_that_of_the_messages_with_their_lengths() -> None:
    brand, insurer = talk([b"ab", b""], [b"a", b"b"])
    assert brand.peer == "insurer"
    framed = bytes(7) + b"\x02ab" + bytes(8)
    assert brand.sent == Said(2, 2, hashlib.sha256(framed).hexdigest())
    assert insurer.received == brand.sent


def test_a_message_that_was_not_queued_was_not_said() -> None:
    brand = Transcript(memory_pair("brand", "insurer")[0])
    before = brand.sent
    with pytest.raises(ProtocolError):
        brand.send(bytes(LONGEST_BODY_BYTES + 1))
    assert brand.sent == before
