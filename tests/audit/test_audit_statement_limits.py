"""A member cannot make the shared log one that cannot be exported."""

import pytest

from hanse.audit import Checkpoint, Counts, Event, EventType, sign_checkpoint
from hanse.audit.event import MAX_COUNTED_COLUMNS
from hanse.audit.statement import read_statement, sign_statement
from hanse.crypto import SigningKey
from hanse.errors import ProtocolError


def statement(key: SigningKey, hidden_columns: int, count: int = 10**9) -> bytes:
    hidden = {str(place): count for place in range(hidden_columns)}
    event = Event(
        type=EventType.ROUND_SUBMITTED,
        agreement="0" * 64,
        run="r1",
        purpose="marketing",
        peer="Brand",
        detail="trained",
        member_checkpoint=sign_checkpoint(Checkpoint(key.name, 1, bytes(32)), key).decode(),
        counts=Counts(rows_in=10**12, rows_out=10**12, hidden=hidden),
    )
    return sign_statement(event, key)


def test_statements_are_far_smaller_than_an_entry_may_be(key: SigningKey) -> None:
    assert read_statement(statement(key, MAX_COUNTED_COLUMNS)).peer == "Brand"
    too_long = statement(key, MAX_COUNTED_COLUMNS, 10**24)
    with pytest.raises(ProtocolError, match="32768"):
        read_statement(too_long)
