"""One ledger on each database: SQLite in a file, PostgreSQL on a server of the tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.policies import ConsentLedger


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new ledger can be, on each database in turn."""
    if request.param == "sqlite":
        return tmp_path / "consent.db"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
def ledger(place: Path | str) -> Iterator[ConsentLedger]:
    """An empty ledger on each database in turn."""
    with ConsentLedger(place) as opened:
        yield opened


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[ConsentLedger]:
    """An empty ledger in a file, for what does not depend on the database."""
    with ConsentLedger(tmp_path / "consent.db") as opened:
        yield opened
