"""The sweeps that the coordinator knows: which runs are their trials, and what came of them.

A sweep is named after the run of its first trial, in whose folder ``sweep.json`` is: canonical JSON, replaced
as a whole whenever a trial begins and when the sweep ends. A trial that has ended with a model has left
``draft.json``, its manifest as it would be, and ``draft.safetensors`` in its own folder. Drafts are not model
versions: nobody signs them, and no call hands them out. The best of them becomes one when all have ended.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from hanse.audit import EventType
from hanse.audit.event import Digest, Document, RunId
from hanse.crypto import canonical_json, parse_canonical_json, write_atomic
from hanse.errors import HanseError, TrainingError
from hanse.learning import ModelManifest
from hanse.learning.trials import TrialResult, settings_of
from hanse.policies import SignedAgreement, Trial, trainings_of
from hanse.server.runs import RunBook, RunEvent, RunRecord

SWEEP: Final = "sweep.json"
DRAFT: Final = "draft.json"
DRAFT_WEIGHTS: Final = "draft.safetensors"


class SweepFile(Document):
    """See the module docstring.

    Attributes:
        agreement: Digest of the agreement.
        of: Trials.
        members: Who takes part.
        runs: Of the trials so far, in order.
        result: Facts of its end; None while it goes on.
    """

    version: Literal[1] = 1
    agreement: Digest
    of: Annotated[int, Field(ge=1)]
    members: tuple[str, ...]
    runs: tuple[RunId, ...]
    result: dict[str, Any] | None = None

    @classmethod
    def parse(cls, data: bytes) -> "SweepFile":
        """Reads a file, from anywhere.

        Raises:
            TrainingError: ``run.interrupted`` if it is none.
        """
        try:
            return cls.model_validate(parse_canonical_json(data))
        except (HanseError, ValidationError) as error:
            raise TrainingError("run.interrupted", "what was kept of a sweep cannot be read") from error


class SweepRecord:
    """One sweep.

    Args:
        book: Has the runs.
        file: What is kept of it.
    """

    def __init__(self, book: RunBook, file: SweepFile) -> None:
        self._book = book
        self._file = file
        self._changed = threading.Condition()

    @property
    def run(self) -> str:
        """Its name: the run of the first trial."""
        return self._file.runs[0]

    @property
    def agreement(self) -> str:
        """Digest of its agreement."""
        return self._file.agreement

    @property
    def ended(self) -> bool:
        """Whether it has a result."""
        return self._file.result is not None

    @property
    def records(self) -> list[RunRecord]:
        """The trials so far."""
        return [self._book.get(run) for run in self._file.runs]

    @property
    def left(self) -> int:
        """Trials that were not begun."""
        return self._file.of - len(self._file.runs)

    def trial(self, record: RunRecord) -> Trial:
        """Which trial a run is."""
        return Trial(self.run, self._file.runs.index(record.run) + 1, self._file.of)

    def next(self) -> RunRecord:
        """Begins the next trial."""
        record = self._book.new(secrets.token_hex(3), frozenset(self._file.members))
        self._save(runs=(*self._file.runs, record.run))
        return record

    def cancelled(self) -> bool:
        """Whether a trial was asked to end, and with it the sweep, or the process stops."""
        return any(record.cancelled() for record in self.records)

    @property
    def interrupted(self) -> bool:
        """Whether this process stops, and leaves the sweep to the next one."""
        return any(record.interrupted for record in self.records)

    def keep(self, record: RunRecord, manifest: ModelManifest, model_file: bytes) -> None:
        """Stores the draft of a trial."""
        write_atomic(record.folder / DRAFT_WEIGHTS, model_file)
        write_atomic(record.folder / DRAFT, canonical_json(manifest.model_dump(mode="json")))

    def draft(self, run: str) -> tuple[ModelManifest, bytes]:
        """What :meth:`keep` has stored.

        Raises:
            TrainingError: ``run.interrupted`` if it is not there, or cannot be read.
        """
        folder = self._book.get(run).folder
        try:
            manifest = ModelManifest.model_validate_json((folder / DRAFT).read_bytes())
            return manifest, (folder / DRAFT_WEIGHTS).read_bytes()
        except (OSError, ValidationError) as error:
            raise TrainingError("run.interrupted", f"the draft of {run} cannot be read") from error

    def results(self, signed: SignedAgreement) -> list[TrialResult]:
        """What each trial gave, in order.

        Args:
            signed: The agreement as it was signed.
        """
        trials = signed.agreement.training.trials
        names = () if trials is None else trials.choices
        trainings = trainings_of(signed, self._file.of)
        return [
            TrialResult.of(number, record.run, settings_of(trainings[number - 1], names), *_end(record))
            for number, record in enumerate(self.records, 1)
        ]

    def end(self, result: dict[str, Any]) -> None:
        """Ends it.

        Args:
            result: The model and the trials, or the error that ended it.
        """
        self._save(result=result)

    def watch(self, alive: Callable[[], bool]) -> Iterator[RunEvent]:
        """Yields all events of all trials, and how the sweep ended."""
        seen = 0
        while alive():
            with self._changed:
                self._changed.wait_for(lambda: len(self._file.runs) > seen or self.ended, timeout=1.0)  # noqa: B023
                runs, result = self._file.runs[seen:], self._file.result
            for run in runs:
                yield from self._book.get(run).watch(alive)
            seen += len(runs)
            if result is not None and seen == len(self._file.runs):
                kind = EventType.MODEL_REGISTERED if "model" in result else EventType.RUN_FAILED
                yield RunEvent(self.run, self._book.now(), kind.value, 0, result)
                return

    def save(self) -> None:
        """Makes it durable."""
        write_atomic(self._path, canonical_json(self._file.model_dump(mode="json")))

    @property
    def _path(self) -> Path:
        return self._book.get(self.run).folder / SWEEP

    def _save(self, **changed: object) -> None:
        with self._changed:
            self._file = self._file.model_copy(update=changed)
            self.save()
            self._changed.notify_all()


class SweepBook:
    """All sweeps of this coordinator.

    Args:
        book: Has the runs.

    Raises:
        TrainingError: ``run.interrupted`` if the file of one cannot be read.
    """

    def __init__(self, book: RunBook) -> None:
        self._book = book
        files = [record.folder / SWEEP for record in book.all()]
        self._sweeps = [
            SweepRecord(book, SweepFile.parse(path.read_bytes())) for path in files if path.is_file()
        ]

    def begin(self, agreement: str, trials: int, members: frozenset[str]) -> SweepRecord:
        """Makes a sweep with its first trial.

        Args:
            agreement: Digest of the agreement.
            trials: How many.
            members: Who takes part.
        """
        first = self._book.new(secrets.token_hex(3), members)
        file = SweepFile(agreement=agreement, of=trials, members=tuple(sorted(members)), runs=(first.run,))
        sweep = SweepRecord(self._book, file)
        sweep.save()
        self._sweeps.append(sweep)
        return sweep

    def of(self, run: str) -> SweepRecord | None:
        """The sweep that a run is a trial of."""
        found = (each for each in self._sweeps if run in [record.run for record in each.records])
        return next(found, None)

    def active(self) -> list[SweepRecord]:
        """Those that have not ended."""
        return [sweep for sweep in self._sweeps if not sweep.ended]


def _end(record: RunRecord) -> tuple[dict[str, Any], str]:
    """Metrics of a trial, and the error that ended it."""
    failed, finished = (record.told(kind) for kind in (EventType.RUN_FAILED, EventType.RUN_FINISHED))
    if failed or not finished:
        return {}, str(failed[-1].get("code", "internal.error")) if failed else "run.interrupted"
    return dict(finished[-1]), ""
