"""The runs that the coordinator knows: their state, their events and what their rounds have learned.

A run's folder holds ``events.jsonl`` (one canonical JSON object per line, appended after the audit log
has the entry) and ``round-NNNN.state``. What another process needs to go on with the run is beside them
(:mod:`hanse.server.checkpoints`).
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from hanse.audit import AuditLog, Event, EventType
from hanse.crypto import canonical_json, parse_canonical_json, sha256_hex, write_atomic
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.server.checkpoints import Checkpoint, OpenedSums

RUN_ID = re.compile(r"run-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
EVENTS: Final = "events.jsonl"
CHECKPOINT: Final = "checkpoint.json"
FINAL = frozenset({EventType.RUN_FINISHED.value, EventType.RUN_FAILED.value})


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One step of a run's progress; ``facts`` are figures for people and machines."""

    run: str
    time: str
    type: str
    round: int
    facts: Mapping[str, Any]

    def line(self) -> bytes:
        """One line of ``events.jsonl``."""
        value: dict[str, Any] = {
            "run": self.run,
            "time": self.time,
            "type": self.type,
            "round": self.round,
            "facts": self.facts,
        }
        return canonical_json(value) + b"\n"


class RunRecord:
    """One run; journal and state store of its rounds."""

    def __init__(
        self,
        folder: Path,
        log: AuditLog,
        clock: Callable[[], datetime],
        members: frozenset[str] | None = None,
    ) -> None:
        self.run = folder.name
        self._folder = folder
        self._log = log
        self._clock = clock
        self._events = _read_events(folder / EVENTS)
        self._changed = threading.Condition()
        self._cancelled = False
        self._interrupted = False
        self.opened = OpenedSums(folder / "sums")
        # A run of an earlier process says in its first event who takes part.
        self._members = members if members is not None else _members_of(self._events)

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return any(event.type in FINAL for event in self._events)

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self._folder

    def require_member(self, name: str) -> None:
        """Refuses who takes no part in the run.

        Raises:
            TrainingError: ``run.unknown``, as for a run that is not there.
        """
        if name not in self._members:
            raise TrainingError("run.unknown", f"{name} is no member of {self.run}")

    def cancel(self) -> None:
        """Asks the run to end at the next wait."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Whether the run is not to go on in this process: it was asked to end, or the process stops."""
        return self._cancelled or self._interrupted

    @property
    def interrupted(self) -> bool:
        """Whether this process stops, and leaves the run to the next one."""
        return self._interrupted

    def interrupt(self) -> None:
        """Leaves the run as it is: from now on nothing of it is recorded."""
        self._interrupted = True

    def record(self, event: Event, facts: Mapping[str, Any]) -> int:
        """Makes a step durable in the shared log, then in the run's own file, then tells the watchers.

        Returns:
            Index of the entry in the shared log.

        Raises:
            AuditError: ``audit.unavailable``; the step did not happen.
            TrainingError: ``run.interrupted`` if this process stops.
        """
        if self._interrupted:
            raise TrainingError("run.interrupted", "the coordinator stops")
        index = self._log.append(event).start
        time = told_time(self._clock())
        record = RunEvent(self.run, time, event.type.value, event.round or 0, dict(facts))
        with (self._folder / EVENTS).open("ab") as file:
            file.write(record.line())
        with self._changed:
            self._events.append(record)
            self._changed.notify_all()
        return index

    def told(self, kind: EventType) -> list[Mapping[str, Any]]:
        """The facts of all events of one type so far."""
        with self._changed:
            return [event.facts for event in self._events if event.type == kind.value]

    def keep(self, round_number: int, state: bytes) -> None:
        """Stores what was learned after a round; the file appears whole."""
        write_atomic(self._folder / f"round-{round_number:04d}.state", state)

    def state(self, round_number: int, digest: str) -> bytes:
        """What :meth:`keep` stored.

        Args:
            round_number: After which round.
            digest: SHA-256 of it.

        Raises:
            TrainingError: ``run.interrupted`` if it is not there, or another one.
        """
        file = self._folder / f"round-{round_number:04d}.state"
        state = file.read_bytes() if file.is_file() else b""
        if sha256_hex(state) != digest:
            raise TrainingError("run.interrupted", "the state of a round is not the one that was kept")
        return state

    def save(self, checkpoint: Checkpoint) -> None:
        """Stores a checkpoint instead of the one before."""
        write_atomic(self._folder / CHECKPOINT, checkpoint.to_bytes())

    def load(self) -> tuple[Checkpoint, bytes] | None:
        """The checkpoint and its state; None if there is none yet.

        Raises:
            TrainingError: ``run.interrupted`` if they cannot be read, or do not belong together.
        """
        path = self._folder / CHECKPOINT
        if not path.exists():
            return None
        checkpoint = Checkpoint.parse(path.read_bytes())
        if checkpoint.run != self.run:
            raise TrainingError("run.interrupted", "the checkpoint is of another run")
        return checkpoint, self.state(checkpoint.round, checkpoint.state)

    def repair(self, events: Sequence[RunEvent]) -> None:
        """Completes the events by those that the shared log has and a crash has kept from the file.

        Args:
            events: All of the run, from the shared log; the ones that the file has stay as they are there.
        """
        with self._changed:
            self._events.extend(events[len(self._events) :])
            self._members = _members_of(self._events)
            write_atomic(self._folder / EVENTS, b"".join(event.line() for event in self._events))
            self._changed.notify_all()

    def watch(self, alive: Callable[[], bool]) -> Iterator[RunEvent]:
        """Yields all events so far and then each new one until the run ends or the watcher leaves."""
        sent = 0
        while alive():
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > sent, timeout=1.0)  # noqa: B023
                pending = self._events[sent:]
            yield from pending
            sent += len(pending)
            if any(event.type in FINAL for event in pending):
                return


class RunBook:
    """All runs of this coordinator."""

    def __init__(self, folder: Path, log: AuditLog, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._log = log
        self._clock = clock
        self._interrupted = False
        folder.mkdir(parents=True, exist_ok=True)
        self._runs = {
            path.name: RunRecord(path, log, clock)
            for path in sorted(folder.iterdir())
            if RUN_ID.fullmatch(path.name)
        }

    def new(self, token: str, members: frozenset[str]) -> RunRecord:
        """Makes a run of these members, with an id from the clock and a token of six hex digits."""
        folder = self._folder / f"run-{self._clock():%Y%m%d-%H%M%S}-{token}"
        folder.mkdir()
        record = RunRecord(folder, self._log, self._clock, members)
        self._runs[record.run] = record
        if self._interrupted:
            record.interrupt()
        return record

    def interrupt(self) -> None:
        """Leaves all runs that go on, and those to come, to the next process."""
        self._interrupted = True
        for record in self.active():
            record.interrupt()

    def now(self) -> str:
        """The time, as events tell it."""
        return told_time(self._clock())

    def all(self) -> list[RunRecord]:
        """All runs, by name."""
        return [self._runs[run] for run in sorted(self._runs)]

    def get(self, run: str) -> RunRecord:
        """Finds a run.

        Raises:
            TrainingError: ``run.unknown``.
        """
        record = self._runs.get(run)
        if record is None:
            raise TrainingError("run.unknown", "no run of that name")
        return record

    def active(self) -> list[RunRecord]:
        """Runs that have not ended."""
        return [record for record in self._runs.values() if not record.finished]


def told_time(now: datetime) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_events(path: Path) -> list[RunEvent]:
    """Reads the events; a line that was cut off by a crash ends the list."""
    events: list[RunEvent] = []
    if not path.exists():
        return events
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            value = parse_canonical_json(line)
            events.append(RunEvent(**value))  # type: ignore[arg-type]
        except (ProtocolError, TypeError):
            break
    return events


def _members_of(events: Sequence[RunEvent]) -> frozenset[str]:
    return frozenset(events[0].facts.get("members", ())) if events else frozenset()


def error_facts(error: BaseException) -> dict[str, str]:
    """What may be told of an error that ended a run: its code, its public message and its rule."""
    if isinstance(error, HanseError):
        facts = {"code": error.code, "message": error.public_message}
        return facts | ({"rule": error.rule} if error.rule else {})
    return {"code": "internal.error", "message": "internal.error"}
