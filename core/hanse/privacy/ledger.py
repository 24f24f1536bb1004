"""The privacy ledger: what has been promised and what has been spent, on disk, for ever.

An epsilon that is kept in a process is forgotten when the process ends, and an accountant that is made anew
for every round reports a fraction of what was spent. So a release is written down before it is made, in an
append-only table whose rows are chained by SHA-256, and every decision is made from a replay of that table
inside one SQLite transaction. Three kinds of rows:

* *plan* reserves the releases of a whole run. It is refused if everything ever spent, everything still
  reserved and the new run would together exceed the budget.
* *spend* turns a part of the reservation into spending. What was not reserved cannot be spent.
* *close* ends a run. Only what was never spent becomes free again; nothing is refunded and nothing is reset.

A process that dies between *spend* and the release has paid for nothing: that is the safe side of the choice.
:meth:`PrivacyLedger.head` names the last row; kept elsewhere (in the audit log), it shows a ledger that was
rolled back or exchanged, which the ledger itself cannot see.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from hanse.crypto import JsonValue, canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import HanseError, PrivacyError
from hanse.privacy.accountant import epsilon
from hanse.privacy.events import (
    PrivacyEvent,
    events_from_json,
    events_to_json,
    merge_events,
    subtract_events,
)

_GENESIS: Final = "0" * 64
_BUSY_TIMEOUT_S: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS entries_keep BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the privacy ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the privacy ledger is append-only'); END;
"""


class LedgerKey(NamedTuple):
    """Whose records a release is about, and what for. Budgets of different keys never mix.

    Attributes:
        population: A set of records that shares no record with any other population of the member.
        purpose: The purpose of the agreement.
    """

    population: str
    purpose: str


class Budget(NamedTuple):
    """What a population has granted to a purpose, over all runs."""

    epsilon: float
    delta: float


class LedgerHead(NamedTuple):
    """A state of the ledger: number of rows, and the chained digest of the last one (64 hex digits)."""

    size: int
    digest: str


_EMPTY: Final = LedgerHead(0, _GENESIS)


@dataclass(slots=True)
class _Run:
    reserved: tuple[PrivacyEvent, ...]
    budget: Budget
    spent: tuple[PrivacyEvent, ...] = ()
    closed: bool = False

    @property
    def charged(self) -> tuple[PrivacyEvent, ...]:
        """What the run takes from the budget now."""
        return self.spent if self.closed else self.reserved


@dataclass(slots=True)
class _State:
    """The table, replayed."""

    head: LedgerHead = _EMPTY
    runs: dict[LedgerKey, dict[str, _Run]] = field(default_factory=dict)
    splits: dict[LedgerKey, str] = field(default_factory=dict)


class PrivacyLedger:
    """The ledger of one member. Several threads and processes may use one file.

    Args:
        path: The database file; made if it is not there. Its folder must exist.

    Raises:
        PrivacyError: ``privacy.ledger`` if the file cannot be used, or a row was changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state = _State()
        with self._lock, self._connect() as connection:
            connection.executescript(_SCHEMA)
            self._catch_up(connection)

    def head(self) -> LedgerHead:
        """The current state, to be kept where the ledger's file is not."""
        with self._reading():
            return self._state.head

    def check_contains(self, head: LedgerHead) -> None:
        """Checks that the ledger still holds everything that it held in an earlier state.

        Args:
            head: What :meth:`head` returned then.

        Raises:
            PrivacyError: ``privacy.ledger`` if the ledger was rolled back or exchanged since.
        """
        with self._lock, self._connect() as connection:
            row = connection.execute("SELECT digest FROM entries WHERE seq = ?", (head.size,)).fetchone()
            digest = _GENESIS if head.size == 0 else row and row[0]
            if digest != head.digest:
                raise PrivacyError("privacy.ledger", f"the ledger lost its state of {head.size} rows")
            self._catch_up(connection)

    def plan(self, key: LedgerKey, run: str, events: Sequence[PrivacyEvent], budget: Budget) -> float:
        """Reserves all releases of a run, or refuses the run.

        Planning the same run with the same events again (after a restart) changes nothing.

        Args:
            key: Population and purpose.
            run: Name of the run.
            events: All that the run will release about the population.
            budget: What the population has granted over all runs.

        Returns:
            Epsilon, at the budget's delta, of all that is spent and reserved, this run included.

        Raises:
            PrivacyError: ``privacy.exhausted`` if that is above the budget, ``privacy.run-state`` if the run
                was planned otherwise before or is closed, ``privacy.ledger``.
        """
        merged = merge_events(events)
        with self._writing() as connection:
            known = self._runs(key).get(run)
            if known is not None and (known.closed or known.reserved != merged or known.budget != budget):
                raise PrivacyError("privacy.run-state", f"run {run} is closed, or was planned otherwise")
            others = () if known is not None else merged
            total = epsilon([*self._charged(key), *others], budget.delta)
            if total > budget.epsilon:
                raise PrivacyError(
                    "privacy.exhausted",
                    f"with run {run}, epsilon would be {total:.3f} of {budget.epsilon:g}",
                    rule="P18",
                )
            if known is None:
                grant: list[JsonValue] = [float(budget.epsilon), float(budget.delta)]
                self._append(
                    connection, "plan", key, run, {"events": events_to_json(merged), "budget": grant}
                )
            return total

    def fix_split(self, key: LedgerKey, split: str) -> None:
        """Fixes how a population is divided into parts with own budgets, or refuses another division.

        A record that changed its part would be charged to each budget by half: its loss would be
        under-reported.

        Args:
            key: The whole population, and the purpose.
            split: Names the division: whatever decides on the part of a record.

        Raises:
            PrivacyError: ``privacy.unsupported`` if the population was divided otherwise before,
                ``privacy.ledger``.
        """
        with self._writing() as connection:
            known = self._state.splits.get(key)
            if known is None:
                self._append(connection, "split", key, "", {"split": split})
            elif known != split:
                raise PrivacyError(
                    "privacy.unsupported",
                    f"earlier runs divided {key.population} otherwise (holdout_fraction, pseudonym key); "
                    "use the same division for this purpose",
                )

    def spend(self, key: LedgerKey, run: str, events: Sequence[PrivacyEvent]) -> None:
        """Writes down releases; they may leave the process only after this has returned.

        Args:
            key: Population and purpose.
            run: A planned run.
            events: What is about to be released.

        Raises:
            PrivacyError: ``privacy.exhausted`` if the run has not reserved that much, ``privacy.run-state``
                if the run was not planned or is closed, ``privacy.ledger``.
        """
        with self._writing() as connection:
            known = self._open_run(key, run)
            subtract_events(known.reserved, (*known.spent, *events))
            self._append(connection, "spend", key, run, {"events": events_to_json(merge_events(events))})

    def close_run(self, key: LedgerKey, run: str) -> None:
        """Ends a run: what it reserved and never spent is free again. Nothing if it has ended before.

        Args:
            key: Population and purpose.
            run: A planned run.

        Raises:
            PrivacyError: ``privacy.run-state`` if the run was not planned, ``privacy.ledger``.
        """
        with self._writing() as connection:
            known = self._runs(key).get(run)
            if known is None:
                raise PrivacyError("privacy.run-state", f"run {run} was not planned")
            if not known.closed:
                self._append(connection, "close", key, run, {})

    def close_abandoned(self, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Ends every open run but those named: what they reserved and never spent is free again.

        A run lives in the memory of one process. After a restart no run that was open can go on, and its
        reservation would lock the budget for ever.

        Args:
            keep: Runs that go on.

        Returns:
            Names of the runs that were ended.

        Raises:
            PrivacyError: ``privacy.ledger``.
        """
        with self._reading():
            open_runs = [
                (key, name)
                for key, runs in self._state.runs.items()
                for name, run in runs.items()
                if not run.closed and name not in keep
            ]
        for key, name in open_runs:
            self.close_run(key, name)
        return tuple(dict.fromkeys(name for _, name in open_runs))

    def spent(self, key: LedgerKey, delta: float) -> float:
        """Epsilon of everything that was ever released about a population for a purpose.

        Args:
            key: Population and purpose.
            delta: The delta of the statement, in (0, 1).

        Returns:
            Epsilon; 0 if nothing was released.

        Raises:
            PrivacyError: ``privacy.ledger``.
        """
        return epsilon(self.spent_events(key), delta)

    def reserved_events(self, key: LedgerKey, run: str) -> tuple[PrivacyEvent, ...] | None:
        """What a run has reserved; None if it was not planned.

        Args:
            key: Population and purpose.
            run: Name of the run.

        Raises:
            PrivacyError: ``privacy.ledger``.
        """
        with self._reading():
            known = self._runs(key).get(run)
            return None if known is None else known.reserved

    def spent_events(
        self, key: LedgerKey, run: str | None = None, *, but: Collection[str] = ()
    ) -> tuple[PrivacyEvent, ...]:
        """Everything that was ever released about a population for a purpose, merged.

        Args:
            key: Population and purpose.
            run: Only what this run released, if given.
            but: Not what these runs released.

        Returns:
            The releases.

        Raises:
            PrivacyError: ``privacy.ledger``.
        """
        with self._reading():
            runs = self._runs(key).items()
            chosen = [item for name, item in runs if run in (None, name) and name not in but]
            return merge_events(event for item in chosen for event in item.spent)

    def _runs(self, key: LedgerKey) -> dict[str, _Run]:
        return self._state.runs.get(key, {})

    def _charged(self, key: LedgerKey) -> list[PrivacyEvent]:
        return [event for run in self._runs(key).values() for event in run.charged]

    def _open_run(self, key: LedgerKey, run: str) -> _Run:
        known = self._runs(key).get(run)
        if known is None or known.closed:
            raise PrivacyError("privacy.run-state", f"run {run} was not planned, or is closed")
        return known

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own per step: none is shared by threads or survives a fork."""
        try:
            with closing(
                sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
                yield connection
        except sqlite3.Error as error:
            raise PrivacyError("privacy.ledger", f"cannot use {self._path}: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, self._connect() as connection:
            self._catch_up(connection)
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that nobody else can write in between; the memory follows only what is on disk."""
        with self._lock, self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._catch_up(connection)
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._catch_up(connection)

    def _append(
        self,
        connection: sqlite3.Connection,
        kind: str,
        key: LedgerKey,
        run: str,
        facts: dict[str, JsonValue],
    ) -> None:
        head = self._state.head
        body = canonical_json(
            {"kind": kind, "population": key.population, "purpose": key.purpose, "run": run, **facts}
        )
        connection.execute(
            "INSERT INTO entries (seq, body, digest) VALUES (?, ?, ?)",
            (head.size + 1, body.decode("ascii"), _chain(head.digest, body)),
        )

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Replays the rows that this object has not seen yet, and checks that those it has seen are there."""
        head = self._state.head
        rows = connection.execute(
            "SELECT seq, body, digest FROM entries WHERE seq >= ? ORDER BY seq", (head.size,)
        ).fetchall()
        if head.size and (not rows or rows[0][0] != head.size or rows[0][2] != head.digest):
            raise PrivacyError("privacy.ledger", "the ledger was rolled back or exchanged while in use")
        for seq, text, digest in rows[1:] if head.size else rows:
            body = text.encode(errors="replace")
            if seq != self._state.head.size + 1 or digest != _chain(self._state.head.digest, body):
                raise PrivacyError("privacy.ledger", f"row {seq} of the ledger was changed")
            try:
                _replay(self._state.runs, self._state.splits, parse_canonical_json(body))
            except HanseError as error:
                raise PrivacyError("privacy.ledger", f"row {seq} of the ledger cannot be read") from error
            self._state.head = LedgerHead(seq, digest)


def _chain(previous: str, body: bytes) -> str:
    """Digest of a row, which covers every row before it."""
    return sha256_hex(previous.encode("ascii") + b"\n" + body)


def _replay(runs: dict[LedgerKey, dict[str, _Run]], splits: dict[LedgerKey, str], body: JsonValue) -> None:
    """Applies one row."""
    match body:
        case {
            "kind": "plan",
            "population": str() as population,
            "purpose": str() as purpose,
            "run": str() as run,
            "events": events,
            "budget": [float() as budget_epsilon, float() as delta],
        }:
            of_key = runs.setdefault(LedgerKey(population, purpose), {})
            of_key[run] = _Run(events_from_json(events), Budget(budget_epsilon, delta))
        case {
            "kind": "spend",
            "population": str() as population,
            "purpose": str() as purpose,
            "run": str() as run,
            "events": events,
        }:
            known = _known(runs, population, purpose, run)
            known.spent = merge_events((*known.spent, *events_from_json(events)))
        case {
            "kind": "close",
            "population": str() as population,
            "purpose": str() as purpose,
            "run": str() as run,
        }:
            _known(runs, population, purpose, run).closed = True
        case {
            "kind": "split",
            "population": str() as population,
            "purpose": str() as purpose,
            "split": str() as split,
        }:
            splits[LedgerKey(population, purpose)] = split
        case _:
            raise PrivacyError("privacy.ledger", "a row of no known kind")


def _known(runs: dict[LedgerKey, dict[str, _Run]], population: str, purpose: str, run: str) -> _Run:
    try:
        return runs[LedgerKey(population, purpose)][run]
    except KeyError as error:
        raise PrivacyError("privacy.ledger", "a row about a run that was never planned") from error
