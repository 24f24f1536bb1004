"""Conversations within one process."""

import threading

import pytest

from hanse.errors import ProtocolError
from hanse.exchange import LONGEST_BODY_BYTES, memory_pair


def test_messages_arrive_in_order_and_are_counted() -> None:
    here, there = memory_pair("brand", "insurer")
    assert (here.peer, there.peer) == ("insurer", "brand")

    def sending() -> None:
        for number in range(50):
            here.send(bytes([number]))

    sender = threading.Thread(target=sending)
    sender.start()
    assert [there.receive() for _ in range(50)] == [bytes([number]) for number in range(50)]
    sender.join()
    assert (here.sent_bytes, here.sent_messages) == (50, 50)


def test_who_waits_too_long_is_told_for_whom() -> None:
    here, _ = memory_pair("brand", "insurer", timeout_s=0.01)
    with pytest.raises(ProtocolError, match="insurer said nothing") as caught:
        here.receive()
    assert caught.value.code == "exchange.timeout"


def test_what_was_sent_before_the_end_is_received() -> None:
    here, there = memory_pair("brand", "insurer")
    here.send(b"last")
    here.close("run.cancelled")
    assert there.receive() == b"last"
    with pytest.raises(ProtocolError) as caught:
        there.receive()
    assert caught.value.code == "run.cancelled"
    with pytest.raises(ProtocolError):
        there.send(b"too late")


def test_a_message_that_is_too_long_is_refused() -> None:
    here, _ = memory_pair("brand", "insurer")
    with pytest.raises(ProtocolError, match="insurer") as caught:
        here.send(bytes(LONGEST_BODY_BYTES + 1))
    assert caught.value.code == "exchange.too-large"
