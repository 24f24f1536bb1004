"""A scoring call apart from the protocol that it came by: what is asked, and what is answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.audit import ConsentState
from hanse.policies import Job
from hanse.server.scoring.served import Columns, Served

Output: TypeAlias = npt.NDArray[Any] | Sequence[bytes]
"""One value per subject: numbers, or texts in UTF-8."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a call is in the log.

    Attributes:
        index: Index of the entry, which is on disk.
        position: Place of the call among those of the entry, from 0.
        path: See :func:`hanse.audit.requests.check_request`.
    """

    index: int
    position: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ahead:
    """An entry that a call has already, while other members are asked (docs/adr/0061).

    Attributes:
        place: Where it is; it says that the call is answered.
        rules: The rule that denied each subject, as it says: nobody else is answered about.
    """

    place: LogPlace
    rules: tuple[str | None, ...]


@dataclass(slots=True)
class Facts:
    """What is known about a call so far; the entry of a refused call says no more than this.

    Attributes:
        request_digest: Names the request in the log.
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.
        job: What the call is held against, once the model is known.
        served: The model version that answers.
        rows: Number of subjects.
        rules: The rule that denied each subject, None where none did.
        consent: What the subjects were decided on.
        read_at: :func:`hanse.server.scoring.freshness.elapsed_s` before it was read.
        hidden: By column, positions of the subjects whose value was not used, because they hide it.
        log_index: Index of the entry in the log, once it is there.
        marks: What is said of the answer as a whole, by name.
        alone: Whether nobody else's consents are in the answer.
        ahead: The entry that was written while others were asked, if any were.
    """

    request_digest: str
    caller: str | None = None
    purpose: str | None = None
    job: Job | None = None
    served: Served | None = None
    rows: int = 0
    rules: tuple[str | None, ...] = ()
    consent: ConsentState | None = None
    read_at: float | None = None
    hidden: Mapping[str, Sequence[int]] = field(default_factory=dict)
    log_index: int | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True
    ahead: Ahead | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks that may be asked; only :meth:`hanse.server.scoring.scorer.Scorer.admit` says so.

    Attributes:
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.
        served: The model version that answers.
        subjects: Identifier of each subject, as the caller writes it; at least one.
        columns: Values of the model's columns; None if the scorer is to look them up by subject.
        outputs: Names of the extra outputs asked for.
        reasons: Whether reasons are asked for, with each score.
        until: When the caller stops waiting, by the event loop's clock; None if it said nothing.
    """

    caller: str
    purpose: str
    served: Served
    subjects: Sequence[str]
    columns: Columns | None
    outputs: tuple[str, ...] = ()
    reasons: bool = False
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about each subject of a call; the entry that says so is on disk.

    Attributes:
        served: The model version that made it.
        scores: float32 per subject, in the form that the agreement allows; NaN for whom it is denied.
        rules: The rule that denied each subject, None where none did.
        outputs: Further outputs by name, one value per subject.
        entry: Where the call is in the log.
        consent: The consent ledger that was decided on.
        marks: What is said of the answer as a whole, by name.
    """

    served: Served
    scores: npt.NDArray[np.float32]
    rules: tuple[str | None, ...]
    outputs: Mapping[str, Output]
    entry: LogPlace
    consent: ConsentState
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def log_index(self) -> int:
        """Index of the call's entry in the log."""
        return self.entry.index


Reader: TypeAlias = Callable[[Facts], Asked]
"""Reads a call in its protocol, and has each part of it checked before the next is looked at."""


class Extra(Protocol):
    """Something more that is said about the subjects of a call, beside their scores."""

    def names(self, served: Served) -> Mapping[str, str]:
        """The outputs that a model version may be asked for by name, with their Open Inference types.

        Args:
            served: The model version.

        Returns:
            ``FP32`` or ``BYTES`` by name; nothing where the agreement has none.
        """
        ...

    async def outputs(
        self, asked: Asked, columns: Columns, admitted: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
    ) -> Mapping[str, Output]:
        """Outputs by name, one value per subject of the call; only those that are asked for and agreed.

        Args:
            asked: The call.
            columns: Values of the model's columns, one per subject.
            admitted: About whom something may be said.
            scores: Probabilities, one per admitted subject, as the model gave them.
        """
        ...
