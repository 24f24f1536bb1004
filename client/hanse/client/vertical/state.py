"""What a member knows of a vertical run while it goes on, in memory alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.client.vertical.protocols import TrainedPart
    from hanse.learning.vertical.runs.leakage import Reports
    from hanse.learning.vertical.trees.parts import LabelPart


@dataclass(slots=True)
class VerticalState:
    """See the module docstring.

    Attributes:
        subject_ids: The common people in their common order, by the site's own identifiers.
        root: What all members log of them.
        part: This member's part of the model, once it is trained.
        digest: SHA-256 of the part as it is kept; empty before.
        alone: What the label holder learned from its own columns alone; None at the others.
        leakage: What known attacks on what each feature holder was sent learn; none at feature holders.
    """

    subject_ids: Sequence[str]
    root: bytes
    part: "TrainedPart | None" = None
    digest: str = ""
    alone: "LabelPart | None" = None
    leakage: "Reports" = ()
