"""How far a vertical run has come, as the coordinator keeps it: what another process needs to go on.

It is the state of a checkpoint (:mod:`hanse.server.checkpoints`), whose digest the shared log has.
"""

from typing import Any, Self

from pydantic import Field, ValidationError

from hanse.audit.event import Digest, Document, PeerName
from hanse.crypto import canonical_json, parse_canonical_json
from hanse.errors import HanseError, TrainingError
from hanse.learning.vertical.leakage.report import LeakageReport


class Progress(Document):
    """See the module docstring.

    Attributes:
        root: Root of the common people.
        aligned: How many they are.
        said: What members said to each other, by phase.
        parts: SHA-256 of each member's part; empty before the training.
        dealt: Bytes that were dealt to each member.
        leakage: What known attacks on what each feature holder was sent learn.
    """

    root: Digest
    aligned: int
    said: dict[str, Any]
    parts: dict[PeerName, Digest] = Field(default_factory=dict)
    dealt: dict[PeerName, int] = Field(default_factory=dict)
    leakage: tuple[LeakageReport, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`to_bytes` wrote.

        Raises:
            TrainingError: ``run.interrupted`` for other bytes.
        """
        try:
            return cls.model_validate_json(canonical_json(parse_canonical_json(data)))
        except (HanseError, ValidationError) as error:
            raise TrainingError("run.interrupted", "the state of the run cannot be read") from error

    def to_bytes(self) -> bytes:
        """As :meth:`parse` reads it."""
        return canonical_json(self.model_dump(mode="json"))
