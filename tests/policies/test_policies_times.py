"""Times in documents: whatever time is written, it is read back in the same spelling."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hanse.policies.fields import UtcTime, format_time, from_ms, to_ms

TIMES: TypeAdapter[datetime] = TypeAdapter(UtcTime)
SECOND = datetime(2026, 6, 1, 12, 0, 9, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is given beside it
@example(SECOND + timedelta(microseconds=636))
def test_what_is_written_is_read_back_in_the_same_spelling(moment: datetime) -> None:
    written = TIMES.dump_json(moment)
    read = TIMES.validate_json(written)
    assert TIMES.dump_json(read) == written
    assert read == from_ms(to_ms(moment))


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "2026-06-01T12:00:09Z"),
        (999, "2026-06-01T12:00:09Z"),
        (1_000, "2026-06-01T12:00:09.001Z"),
        (500_000, "2026-06-01T12:00:09.500Z"),
    ],
)
def test_milliseconds_are_written_only_if_there_are_any(microseconds: int, text: str) -> None:
    assert format_time(SECOND + timedelta(microseconds=microseconds)) == text
