"""The consent ledger of one member: an append-only record of events, and what stands after them.

When a call returns, its events survive a killed process and a lost machine. A snapshot names, by one digest,
exactly the history that it was taken from.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies.consent import Act, ConsentEvent, Folding, Standing, Terms
from hanse.policies.fields import from_ms, problems, to_ms
from hanse.policies.ledger import history, reading
from hanse.policies.ledger.batch import Batch, Packed, batch_of, cut, link, pack, with_terms
from hanse.policies.ledger.bulk import MAX_BATCH_EVENTS, insert_events
from hanse.policies.ledger.csv_rows import open_csv
from hanse.policies.ledger.intake import Intake, Source
from hanse.policies.ledger.projection import project
from hanse.policies.ledger.report import CONFLICT, Counts, IngestReport, Recorded
from hanse.policies.ledger.subject_secrets import (
    MAX_BATCH_SUBJECTS,
    SubjectSecret,
    forget_secret,
    make_secrets,
    read_secret,
    read_secrets,
)
from hanse.policies.ledger.watching import LedgerChanges, LedgerWatch
from hanse.policies.purposes import require_purpose
from hanse.policies.snapshot import ConsentSnapshot, StandingRows
from hanse.policies.subjects import Pseudonymiser
from hanse.storage import Database, Use

_MAX_CACHED_TERMS: Final = 10_000
_SWITCH_INTERVAL_S: Final = 0.0005
_SYNCED: Final = "synced_ms"
_USE: Final = Use(
    name="the consent ledger",
    setting="consent_url",
    failure=lambda _, text: PolicyError("policy.ledger", text),
    lock=0x48414E43,
    # An import writes pages all over the indexes and touches them again and again; a reader passes once.
    writer_cache_kib=262_144,
    checkpoint_pages=128_000,
    kept_log_bytes=128 << 20,
)
_Item = TypeVar("_Item")


class ConsentLedger:
    """The consent ledger, in one SQLite file or in a PostgreSQL database. Safe for threads and processes.

    Args:
        place: A file, made (readable by its owner only) if it does not exist; or a URL that starts with
            ``postgresql+psycopg://``. A new ledger knows nobody, so it admits nobody.

    Raises:
        PolicyError: ``policy.ledger`` if it cannot be opened, or is not a consent ledger.
        ConfigurationError: ``config.invalid`` if the URL is not supported, or its driver is not installed.
    """

    def __init__(self, place: Path | str) -> None:
        # A long read must not hold up a withdrawal: readers have a connection of their own.
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._known_terms: dict[Terms, tuple[int, str]] = {}
        self._database = Database(place, _USE)
        with self._database.errors(), ExitStack() as opened:
            opened.callback(self._database.dispose)
            self._writer = opened.enter_context(closing(self._database.writer()))
            with self._writer.begin():
                history.prepare(self._writer)
            self._reader = opened.enter_context(closing(self._database.reader()))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Closes the database; what was recorded is on disk already."""
        self._opened.close()

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
                the ledger cannot be written.
        """
        batch = batch_of(list(events))
        accepted = 0
        with self._write() as connection:
            for part in cut(batch, MAX_BATCH_EVENTS):
                recorded = self._append(connection, part, pack(part))
                if recorded.conflicts:
                    raise PolicyError("policy.invalid", f"events.{recorded.conflicts[0]}.{CONFLICT}")
                accepted += recorded.accepted
        return accepted

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
                not one, ``policy.ledger`` if the ledger cannot be written.
        """
        return self._act("withdrawal", "withdrawn", subject_ref, purpose, at)

    def fold(
        self,
        subject_ref: str,
        purpose: str,
        columns: Sequence[str],
        categories: Sequence[str],
        at: datetime,
    ) -> int:
        """Records what a subject hides for a purpose and those below it, in the place of what was hidden.

        Args:
            subject_ref: Pseudonym of the subject.
            purpose: The purpose.
            columns: Names of the columns to hide.
            categories: Classes of columns to hide; nothing at all unfolds.
            at: Now.

        Returns:
            The ledger's head, which includes it.

        Raises:
            PolicyError: ``policy.purpose`` if the purpose is unknown, ``policy.invalid`` if a name is
                none, ``policy.ledger`` if the ledger cannot be written.
        """
        return self._act("folding", "narrowed", subject_ref, purpose, at, (tuple(columns), tuple(categories)))

    def expire(self, now: datetime) -> int:
        """Records, as an event of its own, the end of every grant that has ended by itself.

        The rules do not wait for it; it is for whoever reads the history. A grant is recorded as expired once
        nothing below its purpose is in force any more.

        Args:
            now: Now.

        Returns:
            How many events were recorded.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be written.
        """
        with self._read() as connection:
            ended = list(reading.read_ended(connection, to_ms(now)))
        return self.record(_expiry(row, now) for row in ended)

    def ingest(
        self,
        source: Source,
        now: datetime,
        pseudonymiser: Pseudonymiser | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> IngestReport:
        """Records the events of a source; a bad row is refused and stops no other.

        Args:
            source: Where the rows come from.
            now: When the events are recorded.
            pseudonymiser: Needed if the source names subjects by their identifiers.
            progress: Told, after each batch, how many rows were read.

        Returns:
            What became of the rows.

        Raises:
            PolicyError: ``policy.invalid`` if identifiers come without a pseudonymiser, ``policy.ledger`` if
                the ledger cannot be written (batches before that are recorded; ingest the source again).
        """
        if source.has_identifiers and pseudonymiser is None:
            raise PolicyError("policy.invalid", "line 1: name subjects by subject_ref, not by subject")
        counts = Counts()
        intake = Intake(source, now, pseudonymiser)
        try:
            packed = ((batch, pack(batch), refused) for batch, refused in intake.batches(MAX_BATCH_EVENTS))
            for batch, columns, refused in _ahead(packed):
                with self._write() as connection:
                    recorded = self._append(connection, batch, columns)
                counts.add(recorded, refused)
                if progress is not None:
                    progress(counts.rows)
        except ConfigurationError as error:
            return counts.report(error.detail)
        self.heartbeat(now)
        return counts.report(None)

    def ingest_csv(
        self, path: Path, now: datetime, pseudonymiser: Pseudonymiser | None = None
    ) -> IngestReport:
        """Records the events of a CSV file, plain or ``.gz``; see :meth:`ingest`.

        Args:
            path: The file (see :class:`hanse.policies.ledger.csv_rows.CsvSource`).
            now: When the events are recorded.
            pseudonymiser: Needed if the file names subjects by their identifiers.

        Returns:
            What became of the rows.

        Raises:
            PolicyError: ``policy.invalid`` if the header does not name the columns, ``policy.ledger`` if the
                ledger cannot be written.
            ConfigurationError: ``config.missing-file`` if the file cannot be read.
        """
        with open_csv(path) as source:
            return self.ingest(source, now, pseudonymiser)

    def heartbeat(self, at: datetime) -> None:
        """Notes that the sources of the ledger were in touch, though they had nothing new.

        Args:
            at: Now.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be written.
        """
        with self._write() as connection:
            history.write_meta(connection, _SYNCED, str(to_ms(at)))

    def head(self) -> int:
        """Number of the last event; 0 if there is none."""
        with self._read() as connection:
            return history.read_head(connection)[0]

    def watch(self) -> LedgerWatch:
        """A look at the ledger that costs microseconds; closed with the ledger.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read.
        """
        with self._database.errors():
            reader = closing(self._database.reader())
            return LedgerWatch(self._database, self._opened.enter_context(reader))

    def changes(self, since: int, at_most: int) -> LedgerChanges:
        """What happened since a head, in one consistent view.

        Args:
            since: A head.
            at_most: So many events are worth telling apart.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read, or has lost events.
        """
        with self._read() as connection:
            head, chain = history.read_head(connection)
            touched = reading.read_touched(connection, since, at_most)
            synced_at = _synced_at(connection)
        if head < since:
            raise PolicyError("policy.ledger", "events were removed from the consent ledger")
        return LedgerChanges(head, chain.hex(), synced_at, touched)

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
        subjects = None if subject_refs is None else reading.subjects_of(subject_refs)
        with self._read() as connection:
            head, chain = history.read_head(connection)
            standings = _by_purpose(reading.read_standings(connection, subjects))
            hidden = _hidden(reading.read_foldings(connection, subjects))
            synced_at = _synced_at(connection)
        return ConsentSnapshot(head, chain.hex(), now, standings, synced_at, hidden)

    def standing_rows(self, since: int = 0, *, ended: bool = False) -> StandingRows:
        """What stands, as plain rows, in one consistent view.

        Args:
            since: A head; only subjects whom later events were about. Everybody if 0.
            ended: Only where a consent has ended once, given anew or not.

        Returns:
            The rows, which are read from the database while they are used.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read.
        """
        with self._database.errors(), ExitStack() as opened:
            connection = opened.enter_context(closing(self._database.reader()))
            connection.begin()
            head, chain = history.read_head(connection)
            hidden = _hidden(reading.read_foldings(connection, None, since))
            terms, synced_at = history.read_terms(connection), _synced_at(connection)
            rows = reading.stream_rows(connection, since, opened.pop_all(), ended=ended)
        return StandingRows(head, chain.hex(), synced_at, terms, rows, hidden)

    def subject(self, subject_ref: str) -> Mapping[str, Standing]:
        """What stands for one subject, by purpose of use; empty if nothing was ever decided."""
        with self._read() as connection:
            found = reading.read_standings(connection, reading.subjects_of([subject_ref]))
            return {purpose: standing for _, purpose, standing in found}

    def decision(self, subject_ref: str, purpose: str) -> tuple[int, Act, Terms] | None:
        """The event that decided what stands for a subject and a purpose of use, with its number."""
        with self._read() as connection:
            subjects = reading.subjects_of([subject_ref])
            seq = reading.read_decision(connection, subjects[0], purpose) if subjects else None
            return None if seq is None else (seq, *history.read_event(connection, seq))

    def event(self, seq: int) -> tuple[Act, Terms] | None:
        """An event by its number; None if there is none."""
        with self._read() as connection:
            return (
                history.read_event(connection, seq) if 0 < seq <= history.read_head(connection)[0] else None
            )

    def secrets_of(self, subject_refs: Sequence[str], now: datetime) -> list[bytes]:
        """The secrets of some subjects (see :mod:`hanse.policies.ledger.subject_secrets`).

        Args:
            subject_refs: Pseudonyms; whoever has no secret yet gets one.
            now: Now.

        Returns:
            One of 32 bytes for each different subject, in no order that says whose it is.

        Raises:
            PolicyError: ``policy.ledger`` if the ledger cannot be read, or written where one is to be made.
        """
        missing = set(reading.subjects_of(subject_refs))
        found = self._known_secrets(missing)
        if missing:
            lacking = sorted(missing)
            for start in range(0, len(lacking), MAX_BATCH_SUBJECTS):
                with self._write() as connection:
                    make_secrets(connection, lacking[start : start + MAX_BATCH_SUBJECTS], to_ms(now))
            # Read, as another process may have been quicker.
            found += self._known_secrets(missing)
        if missing:
            raise PolicyError("policy.ledger", "the secret of a subject was forgotten while it was read")
        return found

    def _known_secrets(self, missing: set[bytes]) -> list[bytes]:
        """The secrets that there are; takes their subjects out of the set."""
        found: list[bytes] = []
        with self._database.errors(), closing(self._database.reader()) as reader, reader.begin():
            for part in read_secrets(reader, missing):
                found += [secret for _, secret in part]
                missing.difference_update([subject for subject, _ in part])
        return found

    def secret_of(self, subject_ref: str) -> SubjectSecret | None:
        """What is kept of a subject's secret; None if it never had one."""
        with self._read() as connection:
            subjects = reading.subjects_of([subject_ref])
            return read_secret(connection, subjects[0]) if subjects else None

    def forget(self, subject_ref: str, now: datetime) -> bool:
        """Forgets a subject's secret: nothing here links the subject to what is in the log any more.

        In SQLite its bytes are overwritten, in the file and in the log of the database, unless another
        process is reading meanwhile; PostgreSQL keeps them until it vacuums. Backups are the operator's.

        Args:
            subject_ref: Pseudonym of the subject.
            now: Now.

        Returns:
            Whether there was one.

        Raises:
            PolicyError: ``policy.denied`` while a consent is in force: the next round would need a secret
                again. ``policy.ledger`` if the ledger cannot be written.
        """
        subjects = reading.subjects_of([subject_ref])
        if self._database.is_sqlite:
            self._pragma("secure_delete = ON")
        with self._write() as connection:
            found = reading.read_standings(connection, subjects)
            if uses := sorted(use for _, use, own in found if reading.in_force(own, to_ms(now))):
                detail = f"consent is in force for {', '.join(uses)}; withdraw it first"
                raise PolicyError("policy.denied", detail)
            forgotten = any(forget_secret(connection, subject, to_ms(now)) for subject in subjects)
        if self._database.is_sqlite:
            self._pragma("wal_checkpoint(TRUNCATE)")
        return forgotten

    def verify(self) -> None:
        """Recomputes every hash, and everything that stands, from the events.

        Raises:
            PolicyError: ``policy.ledger`` naming the first event or batch that does not verify, or what is
                not what the events say.
        """
        with self._read() as connection:
            expected = reading.replay(history.read_history(connection))
            if reading.read_decided(connection) != expected:
                raise PolicyError("policy.ledger", "what stands is not what the events say")

    def _act(
        self,
        kind: str,
        state: str,
        subject_ref: str,
        purpose: str,
        at: datetime,
        hidden: tuple[tuple[str, ...], ...] = (),
    ) -> int:
        """Records what one subject did just now."""
        require_purpose(purpose)
        # The same act, sent again, is the same event.
        digest = sha256_hex(canonical_json([subject_ref, purpose, at.isoformat(), *hidden]))
        cells = {
            "event_id": f"{kind}-{digest[:32]}",
            "subject_ref": subject_ref,
            "state": state,
            "purposes": (purpose,),
            "recorded_at": at,
            "given_at": at,
            **dict(zip(("hidden_columns", "hidden_categories"), hidden, strict=False)),
        }
        try:
            event = ConsentEvent.model_validate(cells)
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error
        self.record([event])
        return self.head()

    def _append(self, connection: Connection, batch: Batch, packed: Packed) -> Recorded:
        """Appends what is new of a batch, inside a transaction."""
        stored = [self._store_terms(connection, form) for form in batch.forms]
        unique = len(set(batch.event_ids)) == len(batch)
        if unique and self._insert(connection, batch, packed, stored):
            return Recorded(len(batch), 0, ())
        fresh, conflicts = _sort_out(connection, batch, [number for number, _ in stored])
        new = batch.pick(fresh)
        self._insert(connection, new, pack(new), stored)
        return Recorded(len(fresh), len(batch) - len(fresh) - len(conflicts), conflicts)

    @staticmethod
    def _insert(
        connection: Connection, batch: Batch, packed: Packed, stored: Sequence[tuple[int, str]]
    ) -> bool:
        """Appends a batch and brings what stands up to date; says whether every id was free."""
        if not len(batch):
            return True
        packed = with_terms(packed, batch, [number for number, _ in stored])
        head, chain = history.read_head(connection)
        if not insert_events(connection, head + 1, packed):
            return False
        used = set(batch.terms)
        digests = {number: digest for place, (number, digest) in enumerate(stored) if place in used}
        history.append_batch(connection, head + 1, len(batch), link(chain, head + 1, packed, digests))
        project(connection, head + 1, head + len(batch), frozenset(batch.states))
        return True

    def _store_terms(self, connection: Connection, terms: Terms) -> tuple[int, str]:
        known = self._known_terms.get(terms)
        if known is None:
            if len(self._known_terms) >= _MAX_CACHED_TERMS:
                self._known_terms.clear()
            known = self._known_terms[terms] = history.store_terms(connection, terms)
        return known

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """One durable transaction; no other writer, of any process, comes between."""
        with self._write_lock, self._database.errors():
            try:
                with self._writer.begin():
                    yield self._writer
            except BaseException:
                self._known_terms.clear()  # numbers of terms that were rolled back
                raise

    def _pragma(self, text: str) -> None:
        """Tells SQLite something outside of transactions."""
        with self._write_lock, self._database.errors():
            cursor = self._writer.connection.cursor()
            cursor.execute(f"PRAGMA {text}")
            cursor.close()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._read_lock, self._database.errors(), self._reader.begin():
            yield self._reader


def _sort_out(connection: Connection, batch: Batch, terms_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Places of the events that are new, and numbers of those whose id another event has."""
    known = history.find_events(connection, batch.event_ids)
    fresh, conflicts = [], []
    for place, row in enumerate(batch.rows(terms_ids)):
        before = known.setdefault(row.event_id, row)
        if before is row:
            fresh.append(place)
        # The time of recording may differ: the same file, delivered twice, is the same events.
        elif before._replace(recorded_ms=row.recorded_ms) != row:
            conflicts.append(batch.numbers[place])
    return fresh, conflicts


def _ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; each is made while the one before is used, and no more than one."""
    end = object()
    with ThreadPoolExecutor(1) as pool, _quick_switches():
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Lets threads change places ten times as often as usual.

    Whoever comes back from a statement of the database waits for that long until the reading thread lets go
    of Python's lock, some twenty times per batch.
    """
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, _SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


def _by_purpose(found: Iterable[tuple[str, str, _Item]]) -> dict[str, dict[str, _Item]]:
    grouped: dict[str, dict[str, _Item]] = {}
    for subject, purpose, item in found:
        grouped.setdefault(purpose, {})[subject] = item
    return grouped


def _hidden(found: Iterable[tuple[str, str, Folding]]) -> dict[str, dict[str, Folding]]:
    """What is hidden; who has unfolded everything is left out."""
    return _by_purpose((subject, purpose, folding) for subject, purpose, folding in found if folding.hides)


def _synced_at(connection: Connection) -> datetime | None:
    synced_ms = history.read_meta(connection, _SYNCED)
    return None if synced_ms is None else from_ms(int(synced_ms))


def _expiry(ended: tuple[str, str, Standing], now: datetime) -> ConsentEvent:
    """The event that says that a grant has ended by itself.

    It says when that grant was given, so that a new one, given before the old one ended but recorded late,
    still counts.
    """
    subject_ref, purpose, standing = ended
    digest = sha256_hex(canonical_json([subject_ref, purpose, standing.given_ms, standing.expires_ms]))
    return ConsentEvent(
        event_id=f"expiry-{digest[:32]}",
        recorded_at=now,
        subject_ref=subject_ref,
        state="expired",
        purposes=(purpose,),
        given_at=None if standing.given_ms is None else from_ms(standing.given_ms),
        expires_at=None if standing.expires_ms is None else from_ms(standing.expires_ms),
    )
