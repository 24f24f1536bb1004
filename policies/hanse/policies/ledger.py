"""The consent ledger of one member: an append-only record of events, and what stands after them.

SQLite in WAL mode with ``synchronous=FULL``: when a call returns, its events survive a killed process and a
lost machine. A snapshot names, by one digest, exactly the history that it was taken from.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final, Self

from pydantic import ValidationError

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import store
from hanse.policies.consent import ConsentEvent, Folding, Standing, Terms, replay_all
from hanse.policies.fields import from_ms, problems, to_ms
from hanse.policies.ingest import MAX_LISTED_REFUSALS, IngestReport, Refusal, read_events
from hanse.policies.purposes import require_purpose
from hanse.policies.snapshot import ConsentSnapshot
from hanse.policies.subjects import Pseudonymiser

_INGEST_BATCH_ROWS: Final = 2000
_MAX_CACHED_TERMS: Final = 10_000


class _Outcome(StrEnum):
    NEW = "new"
    REPEATED = "repeated"
    CONFLICT = "event_id: another event has it; give every event an id of its own"


class ConsentLedger:
    """The consent ledger in one SQLite file. Safe for threads and for several processes.

    Args:
        path: The file; made, readable by its owner only, if it does not exist. A new ledger knows nobody, so
            it admits nobody.

    Raises:
        PolicyError: ``policy.ledger`` if it cannot be opened, or is not a consent ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.Lock()
        # A long read must not hold up a withdrawal: readers have a connection of their own.
        self._read_lock = threading.Lock()
        self._known_terms: dict[Terms, tuple[int, str]] = {}
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise PolicyError("policy.ledger", f"cannot open the consent ledger: {error.strerror}") from error
        with store.ledger_errors():
            self._writer, self._reader = store.open_ledger(path)

    def close(self) -> None:
        """Closes the file; what was recorded is on disk already."""
        self._reader.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(self, events: Iterable[ConsentEvent]) -> int:
        """Records events, all or none; on return they are durable.

        Args:
            events: Events; one that is in the ledger already is left out.

        Returns:
            How many were new.

        Raises:
            PolicyError: ``policy.invalid`` if an event's id is taken by another event, ``policy.ledger`` if
                the file cannot be written.
        """
        batch = list(events)
        with self._write() as connection:
            outcomes = [self._append(connection, event) for event in batch]
            if _Outcome.CONFLICT in outcomes:
                position = outcomes.index(_Outcome.CONFLICT)
                raise PolicyError("policy.invalid", f"events.{position}.{_Outcome.CONFLICT}")
        return outcomes.count(_Outcome.NEW)

    def withdraw(self, subject_ref: str, purpose: str, at: datetime) -> int:
        """Records that a subject withdraws; in force for every snapshot that is taken after the return.

        Args:
            subject_ref: Pseudonym of the subject, known to the ledger or not.
            purpose: The purpose; those below it are withdrawn as well.
            at: Now.

        Returns:
            The ledger's head, which includes the withdrawal.

        Raises:
            PolicyError: ``policy.purpose`` if the purpose is unknown, ``policy.invalid`` if the pseudonym is
                not one, ``policy.ledger`` if the file cannot be written.
        """
        require_purpose(purpose)
        # The same withdrawal, sent again, is the same event.
        digest = sha256_hex(canonical_json([subject_ref, purpose, at.isoformat()]))
        try:
            event = ConsentEvent(
                event_id=f"withdrawal-{digest[:32]}",
                recorded_at=at,
                subject_ref=subject_ref,
                state="withdrawn",
                purposes=(purpose,),
                given_at=at,
            )
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error
        self.record([event])
        return self.head()

    def ingest_csv(
        self, path: Path, now: datetime, pseudonymiser: Pseudonymiser | None = None
    ) -> IngestReport:
        """Records the events of a CSV file; a bad row is refused and stops no other.

        Args:
            path: The file (see :func:`hanse.policies.ingest.read_events`).
            now: When the events are recorded.
            pseudonymiser: Needed if the file names subjects by their identifiers.

        Returns:
            What became of the rows.

        Raises:
            PolicyError: ``policy.invalid`` if the header does not name the columns, ``policy.ledger`` if the
                ledger cannot be written (batches before that are recorded; ingest the file again).
            ConfigurationError: ``config.missing-file`` if the file cannot be read.
        """
        accepted = repeated = refused_total = 0
        refused: list[Refusal] = []
        try:
            with path.open("rb") as file:
                rows = read_events(file, now, pseudonymiser)
                while batch := list(islice(rows, _INGEST_BATCH_ROWS)):
                    for line, outcome in self._append_rows(batch):
                        if outcome is _Outcome.NEW:
                            accepted += 1
                        elif outcome is _Outcome.REPEATED:
                            repeated += 1
                        else:
                            refused_total += 1
                            refused.append(Refusal(line, outcome))
                    del refused[MAX_LISTED_REFUSALS:]
            self.heartbeat(now)
        except OSError as error:
            raise ConfigurationError(
                "config.missing-file", f"cannot read {path}: {error.strerror}"
            ) from error
        return IngestReport(accepted, repeated, refused_total, tuple(refused))

    def heartbeat(self, at: datetime) -> None:
        """Notes that the sources of the ledger were in touch, though they had nothing new.

        Args:
            at: Now.

        Raises:
            PolicyError: ``policy.ledger`` if the file cannot be written.
        """
        with self._write() as connection:
            store.write_synced(connection, to_ms(at))

    def head(self) -> int:
        """Number of the last event; 0 if there is none."""
        with self._read() as connection:
            return store.read_head(connection)[0]

    def snapshot(self, now: datetime, subject_refs: Sequence[str] | None = None) -> ConsentSnapshot:
        """What stands, including everything that was recorded before the call.

        Args:
            now: When the snapshot is taken.
            subject_refs: Whom it is about; everybody if None.

        Returns:
            A snapshot that later events do not change.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read.
        """
        standings: dict[str, dict[str, Standing]] = {}
        with self._read() as connection:
            head, chain = store.read_head(connection)
            for subject, purpose, standing in store.read_standings(connection, subject_refs):
                standings.setdefault(purpose, {})[subject] = standing
            foldings: dict[str, dict[str, Folding]] = {}
            for subject, purpose, folding in store.read_foldings(connection, subject_refs):
                if folding.hides:
                    foldings.setdefault(purpose, {})[subject] = folding
            synced_ms = store.read_synced(connection)
        synced_at = None if synced_ms is None else from_ms(synced_ms)
        return ConsentSnapshot(head, chain.hex(), now, standings, synced_at, foldings)

    def subject(self, subject_ref: str) -> Mapping[str, Standing]:
        """What stands for one subject, by purpose of use; empty if nothing was ever recorded."""
        with self._read() as connection:
            found = store.read_standings(connection, [subject_ref])
            return {purpose: standing for _, purpose, standing in found}

    def verify(self) -> None:
        """Recomputes every hash, and everything that stands, from the events.

        Raises:
            PolicyError: ``policy.ledger`` naming the first event that does not verify, or the projection.
        """
        with self._read() as connection:
            stored = {
                (subject, use): standing for subject, use, standing in store.read_standings(connection, None)
            }
            hidden = {(subject, use): item for subject, use, item in store.read_foldings(connection, None)}
            if replay_all(store.read_events(connection)) != (stored, hidden):
                raise PolicyError("policy.ledger", "what stands is not what the events say")

    def _append_rows(self, batch: Sequence[tuple[int, ConsentEvent | str]]) -> list[tuple[int, str]]:
        """Line number and outcome of each row of a batch, in one transaction."""
        with self._write() as connection:
            return [
                (line, row if isinstance(row, str) else self._append(connection, row)) for line, row in batch
            ]

    def _append(self, connection: sqlite3.Connection, event: ConsentEvent) -> _Outcome:
        """Appends one event inside a transaction."""
        act, terms = event.act, event.terms
        terms_id, terms_digest = self._store_terms(connection, terms)
        known = store.find_event(connection, act.event_id)
        if known is not None:
            # The time of recording may differ: the same file, delivered twice, is the same events.
            same = known == (act._replace(recorded_ms=known[0].recorded_ms), terms_id)
            return _Outcome.REPEATED if same else _Outcome.CONFLICT
        store.append_event(connection, act, terms_id, terms_digest)
        store.project(connection, act, terms, terms_id)
        return _Outcome.NEW

    def _store_terms(self, connection: sqlite3.Connection, terms: Terms) -> tuple[int, str]:
        known = self._known_terms.get(terms)
        if known is None:
            if len(self._known_terms) >= _MAX_CACHED_TERMS:
                self._known_terms.clear()
            known = self._known_terms[terms] = store.store_terms(connection, terms)
        return known

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction; no other writer, of any process, comes between."""
        with self._write_lock, store.ledger_errors():
            try:
                with store.transaction(self._writer, "BEGIN IMMEDIATE"):
                    yield self._writer
            except BaseException:
                self._known_terms.clear()  # numbers of terms that were rolled back
                raise

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view."""
        with self._read_lock, store.ledger_errors(), store.transaction(self._reader, "BEGIN"):
            yield self._reader
