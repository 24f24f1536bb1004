"""What a node keeps of the run that goes on, so that it can take part again after a restart.

One file, canonical JSON, replaced as a whole and on the disk before anything leaves the site that depends on
it. It must not be set back: an answer that is not in it counts as never given, and is not paid for twice.
"""

import base64
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Base64Bytes, Field, ValidationError

from hanse.audit import Event
from hanse.audit.event import Digest, Document, RunId
from hanse.crypto import canonical_json, parse_canonical_json, write_atomic
from hanse.errors import HanseError, ProtocolError

Counter = Annotated[int, Field(ge=0)]


class Taken(Document):
    """A step that a member takes, or took.

    Attributes:
        number: Its place in the run: 0 for the preparation, the round, one more than all for the evaluation.
        digest: Of the work, from :func:`hanse.aggregation.work_digest`.
    """

    number: Counter
    digest: Digest


class Answer(Document):
    """What a member has answered a step with, by itself.

    Attributes:
        admitted: The decision about the rows that it is over.
        outcome: A serialised ``Reply`` that has the outcome alone.
    """

    admitted: Event
    outcome: Base64Bytes

    @classmethod
    def of(cls, admitted: Event, outcome: bytes) -> Self:
        """An answer; arguments as the attributes."""
        return cls(admitted=admitted, outcome=base64.b64encode(outcome))


class KeptTrial(Document):
    """Which trial of a sweep a run is; attributes as :class:`hanse.policies.Trial`."""

    sweep: RunId
    number: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=1)]


class Kept(Document):
    """See the module docstring.

    Attributes:
        run: The run.
        note: Its agreement with the signatures.
        policy: Digest of the rules that applied when it began.
        sequence: Of the last command.
        taken: The step that was taken last, finished or not.
        done: The step that was finished last.
        trained: Rounds that were finished.
        again: How often the last step, or one before it, was taken again.
        answer: To the last step, where the member has answered it by itself.
        trial: Which trial of a sweep it is; None for a run by itself.
    """

    version: Literal[1] = 1
    run: RunId
    note: str
    policy: Digest
    sequence: Counter = 0
    taken: Taken | None = None
    done: Taken | None = None
    trained: Counter = 0
    again: Counter = 0
    answer: Answer | None = None
    trial: KeptTrial | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`to_bytes` wrote.

        Args:
            data: From anywhere.

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        try:
            return cls.model_validate(parse_canonical_json(data))
        except (HanseError, ValidationError) as error:
            raise ProtocolError("protocol.malformed", "what was kept of a run cannot be read") from error

    def to_bytes(self) -> bytes:
        """As :meth:`parse` reads it."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))


class RunFile:
    """The file.

    Args:
        path: Where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Kept | None:
        """What is kept; None if no run goes on.

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        return Kept.parse(self._path.read_bytes()) if self._path.is_file() else None

    def save(self, kept: Kept) -> None:
        """Keeps it instead of what was kept; it is on the disk when this returns."""
        write_atomic(self._path, kept.to_bytes(), mode=0o600)

    def forget(self) -> None:
        """The run is over."""
        self._path.unlink(missing_ok=True)
