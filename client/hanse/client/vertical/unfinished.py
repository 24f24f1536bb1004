"""What a member keeps of a vertical run that is not over, so that it can go on after an interruption.

A folder of files that only their owner may read, each replaced as a whole: who the common people are and in
which order, by the site's own identifiers; digests of the rows that were used; and what the kind of model
keeps of the training. No secret of a protocol is among them. It is deleted when the run is over, and when
the next one begins.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints, ValidationError

from hanse.audit.event import Digest, Document, RunId
from hanse.client.vertical.records import CommonRows
from hanse.client.vertical.state import order_digest
from hanse.crypto import canonical_json, parse_canonical_json, write_atomic
from hanse.errors import ConfigurationError, HanseError, TrainingError

ALIGNED_FILE: Final = "aligned.json"

Step = Literal["trained", "evaluated"]


class Aligned(Document):
    """The common people, and the rows that were used of them.

    Attributes:
        run: The run.
        agreement: Digest of its agreement.
        root: Of the common people, as all members log it.
        subject_ids: The common people in their common order, by the site's own identifiers.
        order: Digest of them, see :func:`hanse.client.vertical.state.order_digest`.
        rows: Digest of the rows of each step that has begun.
    """

    version: Literal[1] = 1
    run: RunId
    agreement: Digest
    root: Digest
    subject_ids: tuple[Annotated[str, StringConstraints(max_length=4096)], ...]
    order: Digest
    rows: dict[Step, Digest] = Field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`to_bytes` wrote.

        Raises:
            TrainingError: ``run.interrupted`` for other bytes, or other people than were kept.
        """
        try:
            kept = cls.model_validate(parse_canonical_json(data))
        except (HanseError, ValidationError) as error:
            raise TrainingError("run.interrupted", "what was kept of the alignment cannot be read") from error
        if kept.order != order_digest(kept.subject_ids, bytes.fromhex(kept.root)):
            raise TrainingError("run.interrupted", "what was kept of the alignment was changed")
        return kept

    def to_bytes(self) -> bytes:
        """As :meth:`parse` reads it."""
        return canonical_json(self.model_dump(mode="json"))


class Unfinished:
    """See the module docstring.

    Args:
        folder: The folder; it need not be there. None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """A file; None if it is not there.

        Raises:
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        if self._folder is None:
            return self._memory.get(name)
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error) from error

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Replaces files; they are on the disk when this returns.

        Raises:
            ConfigurationError: As :meth:`read`.
        """
        if self._folder is None:
            self._memory |= files
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, data in files.items():
                write_atomic(self._folder / name, data, mode=0o600)
        except OSError as error:
            raise self._refused(error) from error

    def forget(self) -> None:
        """The run is over here."""
        self._memory.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def require_same_rows(self, step: Step, rows: CommonRows) -> None:
        """Refuses a step that is taken again with other rows: two answers would tell what has changed.

        Args:
            step: Which.
            rows: Of the common people.

        Raises:
            TrainingError: ``run.data-changed`` if they are not those of the step's first attempt.
        """
        kept = Aligned.parse(self.read(ALIGNED_FILE) or b"")
        digest = _digest(rows)
        if kept.rows.setdefault(step, digest) != digest:
            raise TrainingError("run.data-changed", f"{step}: a value of the common people is another one")
        self.keep({ALIGNED_FILE: kept.to_bytes()})

    def _refused(self, error: OSError) -> ConfigurationError:
        return ConfigurationError("config.unwritable", f"cannot use {self._folder}: {error.strerror}")


def _digest(rows: CommonRows) -> str:
    """SHA-256 of the values of all rows in their order; stays at the site."""
    state = hashlib.sha256(b"hanse rows of an unfinished run\n")
    arrays = {**rows.columns, "\0labels": rows.labels, "\0held out": rows.held_out}
    for name, values in sorted(arrays.items()):
        data = _bytes(values)
        state.update(canonical_json([name, values.dtype.kind, len(values), len(data)]) + data)
    return state.hexdigest()


def _bytes(values: npt.NDArray[Any]) -> bytes:
    if values.dtype.kind != "O":
        return np.ascontiguousarray(values).tobytes()
    return canonical_json([None if value is None else str(value) for value in values.tolist()])
