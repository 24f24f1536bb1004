"""A log key, an actor, a clock that can be set, and events."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings

from hanse.audit import Actor, AuditLog, Counts, Event, EventType
from hanse.crypto import SigningKey

# How long one example takes says something about the machine's other work, not about the code.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

ORIGIN = "brand.example/log"


class Clock:
    """Steps one second at each look; can be set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey(ORIGIN, bytes(range(32)))


@pytest.fixture(scope="session")
def actor() -> Actor:
    return Actor(organisation="Brand", key_id="00c0ffee", role="member")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def event() -> Event:
    counts = Counts(rows_in=1000, rows_out=900, by_rule={"P10": 90, "P02": "<10"})
    return Event(type=EventType.ROUND_ADMITTED, decision="permit", run="r1", round=1, counts=counts)


@pytest.fixture
def new_log(tmp_path: Path, key: SigningKey, actor: Actor, clock: Clock) -> Callable[[], AuditLog]:
    """Makes the log if it is not there, and opens it."""

    def make() -> AuditLog:
        path = tmp_path / "audit.db"
        if not path.exists():
            AuditLog.create(path, ORIGIN, key)
        return AuditLog.open(path, key, actor, clock)

    return make
