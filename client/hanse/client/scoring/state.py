"""What has been answered so far, in a file beside the output, so that a job that was stopped goes on.

The first line says which job it is, every other one what was answered to one batch, all canonical JSON. A
line is on disk before its batch counts as done. It holds scores and rules by the place of the row, and no
identifier. The last line may have been cut off; it is then taken for not there.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hanse.crypto import canonical_json
from hanse.errors import ConfigurationError

ENDING = ".state"

_Line = TypeVar("_Line", bound=BaseModel)
_Count = Annotated[int, Field(ge=0)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class JobHeader(_Document):
    """Which job a state file is about.

    Attributes:
        form: Version of this form.
        input: SHA-256 of the file with the rows.
        rows: How many there are.
        id_column: Column with the identifiers.
        by: Whether the scorer looks values up by ``subject``, or is sent the file's ``columns``.
        model: Name of the model.
        version: Version asked for, empty for the one that the scorer chooses.
        purpose: The use that is declared.
        batch_rows: How many rows are asked about in one call.
    """

    form: Literal["hanse score state v1"] = "hanse score state v1"
    input: str
    rows: Annotated[int, Field(ge=1)]
    id_column: str
    by: Literal["subject", "columns"]
    model: str
    version: str
    purpose: str
    batch_rows: Annotated[int, Field(ge=1)]

    @property
    def batches(self) -> int:
        """How many batches the job has."""
        return -(-self.rows // self.batch_rows)


class Answered(_Document):
    """What was answered to one batch.

    Attributes:
        sequence: Number of the batch.
        scores: Score of each row, None where there is none.
        rules: Positions of the rows that each rule refused.
        numbers: Further outputs that are numbers, by name.
        texts: Further outputs that are texts, by name.
        version: Version of the model that answered; empty if nobody was asked.
        model_digest: Its digest.
        agreement_digest: That of its agreement.
        log_index: Index of the entry in the scorer's log; None if nobody was asked or there is none to tell.
        opt_out_available: People can say no to what is done with the scores.
        human_review_required: A person has to look at a decision on these scores.
    """

    sequence: _Count
    scores: tuple[float | None, ...]
    rules: Mapping[str, tuple[_Count, ...]] = Field(default_factory=dict)
    numbers: Mapping[str, tuple[float | None, ...]] = Field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    version: str = ""
    model_digest: str = ""
    agreement_digest: str = ""
    log_index: _Count | None = None
    opt_out_available: bool = False
    human_review_required: bool = False

    @model_validator(mode="after")
    def _as_many_of_each(self) -> Self:
        rows = len(self.scores)
        if any(len(own) != rows for own in (*self.numbers.values(), *self.texts.values())):
            raise ValueError("as many outputs as scores")
        places = [place for positions in self.rules.values() for place in positions]
        if len(set(places)) != len(places) or any(place >= rows for place in places):
            raise ValueError("each row is refused once")
        return self


class StateFile:
    """The state of one job; use it as a context manager. One process at a time.

    Args:
        path: The file; made if it is not there.
        header: The job.

    Raises:
        ConfigurationError: ``config.exists`` if the file is about another job, or in use; ``config.bad-data``
            if it is broken; ``config.unwritable``.
    """

    def __init__(self, path: Path, header: JobHeader) -> None:
        self.path = path
        self.header = header
        self.done = 0
        self.last: Answered | None = None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError("config.unwritable", f"cannot write {path}: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "r+b")
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def finished(self) -> bool:
        """Whether every batch was answered."""
        return self.done == self.header.batches

    def append(self, answered: Answered) -> None:
        """Keeps an answer, durably.

        Raises:
            ConfigurationError: ``config.unwritable``; ``config.bad-data`` if it is not the next one.
        """
        self._check(answered)
        self._write(answered)
        self.done, self.last = self.done + 1, answered

    def answers(self) -> Iterator[Answered]:
        """All that was answered, in order."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield _parse(Answered, line, self.path)

    def remove(self) -> None:
        """Removes the file: the job is done."""
        self.path.unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError("config.exists", f"another process is writing {self.path}") from None
        whole = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break  # cut off when the process or the machine stopped
            if number == 0:
                self._require_same(_parse(JobHeader, line, self.path))
            else:
                answered = _parse(Answered, line, self.path)
                self._check(answered)
                self.done, self.last = self.done + 1, answered
            whole += len(line)
        self._file.truncate(whole)
        if not whole:
            self._write(self.header)

    def _require_same(self, header: JobHeader) -> None:
        if header != self.header:
            differs = sorted(
                name for name in JobHeader.model_fields if getattr(header, name) != getattr(self.header, name)
            )
            raise ConfigurationError(
                "config.exists",
                f"{self.path} is the state of another job ({', '.join(differs)}); finish that one, or start "
                "anew with --restart",
            )

    def _check(self, answered: Answered) -> None:
        rows = min(self.header.batch_rows, self.header.rows - self.done * self.header.batch_rows)
        if answered.sequence != self.done or len(answered.scores) != rows:
            raise ConfigurationError("config.bad-data", f"{self.path}: batch {self.done} is not what is due")

    def _write(self, document: _Document) -> None:
        try:
            self._file.write(canonical_json(document.model_dump(mode="json")) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigurationError(
                "config.unwritable", f"cannot write {self.path}: {error.strerror}"
            ) from error


def _parse(kind: type[_Line], line: bytes, path: Path) -> _Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError:
        raise ConfigurationError(
            "config.bad-data", f"{path} is no state of `hanse score`; start anew with --restart"
        ) from None
