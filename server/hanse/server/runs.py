"""The runs that the coordinator knows: their state, their events and what their rounds have learned.

A run's folder holds ``events.jsonl`` (one canonical JSON object per line, appended after the audit log
has the entry) and ``round-NNNN.state``. A run that a stopped coordinator left behind is closed as
``run.interrupted`` when the coordinator starts again.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hanse.audit import AuditLog, Event, EventType
from hanse.crypto import canonical_json, parse_canonical_json, write_atomic
from hanse.errors import HanseError, ProtocolError, TrainingError

RUN_ID = re.compile(r"run-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
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
        self._events = _read_events(folder / "events.jsonl")
        self._changed = threading.Condition()
        self._cancelled = False
        # A run of an earlier process says in its first event who takes part.
        self._members = members if members is not None else _members_of(self._events)

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return bool(self._events) and self._events[-1].type in FINAL

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
        """Whether the run was asked to end."""
        return self._cancelled

    def record(self, event: Event, facts: Mapping[str, Any]) -> int:
        """Makes a step durable in the shared log, then in the run's own file, then tells the watchers.

        Returns:
            Index of the entry in the shared log.

        Raises:
            AuditError: ``audit.unavailable``; the step did not happen.
        """
        index = self._log.append(event).start
        time = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = RunEvent(self.run, time, event.type.value, event.round or 0, dict(facts))
        with (self._folder / "events.jsonl").open("ab") as file:
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

    def watch(self, alive: Callable[[], bool]) -> Iterator[RunEvent]:
        """Yields all events so far and then each new one until the run ends or the watcher leaves."""
        sent = 0
        while alive():
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > sent, timeout=1.0)  # noqa: B023
                pending = self._events[sent:]
            yield from pending
            sent += len(pending)
            if pending and pending[-1].type in FINAL:
                return


class RunBook:
    """All runs of this coordinator."""

    def __init__(self, folder: Path, log: AuditLog, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._log = log
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        self._runs = {
            path.name: RunRecord(path, log, clock)
            for path in sorted(folder.iterdir())
            if RUN_ID.fullmatch(path.name)
        }

    def close_interrupted(self) -> list[str]:
        """Ends every run that a stopped coordinator left behind; returns their ids."""
        left = [record for record in self._runs.values() if not record.finished]
        for record in left:
            event = Event(type=EventType.RUN_FAILED, run=record.run, reasons=("run.interrupted",))
            record.record(event, {"code": "run.interrupted"})
        return [record.run for record in left]

    def new(self, token: str, members: frozenset[str]) -> RunRecord:
        """Makes a run of these members, with an id from the clock and a token of six hex digits."""
        folder = self._folder / f"run-{self._clock():%Y%m%d-%H%M%S}-{token}"
        folder.mkdir()
        record = RunRecord(folder, self._log, self._clock, members)
        self._runs[record.run] = record
        return record

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
