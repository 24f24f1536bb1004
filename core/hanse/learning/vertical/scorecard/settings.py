"""What a run of a vertical scorecard does."""

from typing import Annotated, Final

from pydantic import Field

from hanse.crypto import canonical_json, sha256_hex
from hanse.policies import PointScale
from hanse.policies.fields import Document

MAX_ROWS: Final = 1 << 20
"""Above it a sum could leave the ring (:mod:`hanse.learning.vertical.scorecard.ring`)."""

MIN_ROWS: Final = 64
MAX_FEATURES: Final = 2048
"""Of one party, after its cells were made independent."""

LEAST_RIDGE: Final = 4
MOST_RIDGE: Final = 14


class ScorecardSettings(Document):
    """Part of what the parties agree on.

    Attributes:
        scale: What points mean.
        min_rows: Fewest rows of a cell that has points of its own; smaller ones count as average.
        iterations: Accelerated gradient steps; thirty are enough on every set that was measured.
        ridge: Binary digits: weights are pulled towards zero by 2^-ridge in each step.
        combinations: By which the dealer is checked (:mod:`hanse.learning.vertical.scorecard.checking`).
    """

    scale: PointScale
    min_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    iterations: Annotated[int, Field(ge=1, le=500)] = 30
    ridge: Annotated[int, Field(ge=LEAST_RIDGE, le=MOST_RIDGE)] = 9
    combinations: Annotated[int, Field(ge=8, le=128)] = 40

    @property
    def digest(self) -> str:
        """What both sides compare."""
        return sha256_hex(canonical_json(self.model_dump()))
