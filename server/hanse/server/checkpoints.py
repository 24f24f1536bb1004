"""What a run needs to go on in another process: its checkpoint, and the sums of the step that is under way.

A checkpoint is written after the preparation, after every round and after the evaluation, and is on the disk
before the shared log says that the step is done. It is canonical JSON, ``checkpoint.json`` in the run's
folder; the state that it names by its digest is beside it, ``round-NNNN.state``. Who is still in the run, how
often it was resumed and which step was the last are not in it: that is what the shared log says.

``sums`` in the same folder holds the sums that were opened since, because no member answers a question again
whose sum was opened: one line of canonical JSON for each, and behind it that many little-endian float64. What
a crash has cut off at its end is not read.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, StringConstraints, ValidationError

from hanse.aggregation import Aggregate
from hanse.audit import EventType
from hanse.audit.event import Digest, Document, PeerName, RunId
from hanse.crypto import JsonInput, canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import HanseError, TrainingError
from hanse.learning import Transform
from hanse.learning.calibration import NO_MEANING, ScoreMeaning
from hanse.server.best import Best

STEPS: Final[Mapping[str, EventType]] = {
    "prepared": EventType.RUN_PREPARED,
    "aggregated": EventType.ROUND_AGGREGATED,
    "evaluated": EventType.RUN_EVALUATED,
}
"""The steps after which there is a checkpoint, with the entry that follows it."""

_MOST_LINE_BYTES: Final = 1 << 20


class Checkpoint(Document):
    """See the module docstring.

    Attributes:
        run: The run.
        agreement: Digest of its agreement.
        step: What was done last.
        round: Rounds that are done.
        state: SHA-256 of what was learned: what the next step begins with.
        transform: The fitted preprocessing, canonical JSON; empty in a vertical run, which has none.
        cell_counts: Rows per cell over all members, with each one's noise; empty without privacy.
        epsilon: Epsilon that each member has told that it has spent.
        average: Share of each feature among the records of all members; maybe empty.
        metrics: The evaluation of the step.
        meaning: What scores mean, by that.
        facts: What watchers are told of the step.
        best: The best state so far, where the agreement has patience; of an evaluation, the one that is kept.
    """

    version: Literal[1] = 1
    run: RunId
    agreement: Digest
    step: Literal["prepared", "aggregated", "evaluated"]
    round: Annotated[int, Field(ge=0)]
    state: Digest
    transform: Annotated[str, StringConstraints(max_length=64 << 20)]
    cell_counts: tuple[float, ...] = ()
    epsilon: dict[PeerName, float]
    average: tuple[float, ...] = ()
    metrics: dict[str, float | None] = Field(default_factory=dict)
    meaning: ScoreMeaning = NO_MEANING
    facts: dict[str, Any]
    best: Best | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a checkpoint.

        Args:
            data: From anywhere.

        Raises:
            TrainingError: ``run.interrupted`` if they are none.
        """
        try:
            parsed = cls.model_validate(parse_canonical_json(data))
            if parsed.transform:
                Transform.from_json(parsed.transform.encode())
        except (HanseError, ValidationError, UnicodeEncodeError) as error:
            raise TrainingError("run.interrupted", "the checkpoint cannot be read") from error
        return parsed

    def to_bytes(self) -> bytes:
        """As :meth:`parse` reads it."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def recorded(self) -> tuple[int | None, str]:
        """Round and digest of the state that the entry of the step names."""
        if self.step == "evaluated" and self.best is not None:
            return self.best.round or None, self.best.state
        return self.round if self.step == "aggregated" else None, self.state

    def fits(self, event: EventType, number: int | None, state: str | None) -> bool:
        """Whether an entry of the shared log is the one that followed this checkpoint."""
        return (event, (number, state)) == (STEPS[self.step], self.recorded)


class OpenedSums:
    """The sums of the step under way, and only those; see the module docstring.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Aggregate] = {}

    def load(self) -> None:
        """Takes over what an earlier process has left."""
        if self._path.exists():
            self._known = read_sums(self._path.read_bytes())

    def find(self, asked: bytes) -> Aggregate | None:
        """The sum of a question that an earlier process was given.

        Args:
            asked: From :func:`hanse.aggregation.asked_digest`.
        """
        return self._known.get(asked.hex())

    def keep(self, asked: bytes, total: Aggregate) -> None:
        """Writes down a sum; it is on the disk when this returns."""
        payload = total.values.astype("<f8").tobytes()
        line: dict[str, JsonInput] = {
            "asked": asked.hex(),
            "bytes": len(payload),
            "digest": sha256_hex(payload),
            "members": list(total.members),
        }
        with self._path.open("ab") as file:
            file.write(canonical_json(line) + b"\n" + payload)
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> None:
        """Forgets all: the step is done."""
        self._known.clear()
        self._path.unlink(missing_ok=True)


def read_sums(data: bytes) -> dict[str, Aggregate]:
    """Reads what :meth:`OpenedSums.keep` wrote, as far as it is whole.

    Args:
        data: From anywhere.

    Returns:
        The sums by the digest of their question.
    """
    sums: dict[str, Aggregate] = {}
    at = 0
    while (end := data.find(b"\n", at, at + _MOST_LINE_BYTES)) >= 0:
        try:
            line = parse_canonical_json(data[at:end])
        except HanseError:
            break
        match line:
            case {"asked": str() as asked, "bytes": int() as size, "digest": digest, "members": [*names]}:
                at = end + 1 + size
                payload = data[end + 1 : at]
            case _:
                break
        if size < 0 or size % 8 or sha256_hex(payload) != digest:
            break
        sums[asked] = Aggregate(np.frombuffer(payload, "<f8").astype(np.float64), tuple(map(str, names)))
    return sums
