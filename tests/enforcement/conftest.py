"""Subjects of every kind, as a ledger would hand them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pytest

from hanse.enforcement import ConsentColumns
from hanse.policies import ConsentSnapshot, Standing, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

Standings = dict[str, dict[str, Standing]]


class FakeRows(NamedTuple):
    """What ``ConsentLedger.standing_rows`` gives, without a ledger."""

    head: int
    root: str
    synced_at: datetime | None
    terms: Mapping[int, Terms]
    rows: Sequence[Any]
    foldings: Mapping[str, Mapping[str, Any]]


class FakeLedger:
    """Hands out a snapshot as rows."""

    def __init__(self, snapshot: ConsentSnapshot) -> None:
        self.snapshot = snapshot

    def standing_rows(self, since: int = 0) -> Any:
        numbers: dict[Terms, int] = {}
        rows = [
            (
                ref,
                purpose,
                one.state,
                one.given_ms,
                one.expires_ms,
                one.barrier_ms,
                None if one.terms is None else numbers.setdefault(one.terms, len(numbers) + 1),
                one.guardian,
                one.age_at_least,
            )
            for purpose, standings in self.snapshot.standings.items()
            for ref, one in standings.items()
        ]
        terms = {number: one for one, number in numbers.items()}
        taken = self.snapshot
        del since
        return FakeRows(taken.head, taken.root, taken.synced_at, terms, rows, taken.foldings)


def columns_of(snapshot: ConsentSnapshot) -> ConsentColumns:
    columns = ConsentColumns()
    columns.refresh(FakeLedger(snapshot), snapshot.taken_at)
    return columns


CONNECTION = duckdb.connect(":memory:", config={"threads": 1})


@pytest.fixture(scope="session", autouse=True)
def _closed() -> Iterator[None]:
    yield
    CONNECTION.close()


def run_duckdb(sql: str, tables: Any) -> list[tuple[int, str | None]]:
    for name, table in tables.items():
        CONNECTION.register(name, dict(table))
    return CONNECTION.execute(sql).fetchall()
