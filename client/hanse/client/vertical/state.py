"""What a member knows of a vertical run while it goes on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.client.vertical.kinds import Files, Kind
    from hanse.learning.vertical.runs.leakage import Reports


@dataclass(slots=True)
class VerticalState:
    """See the module docstring.

    Attributes:
        subject_ids: The common people in their common order, by the site's own identifiers.
        root: What all members log of them.
        kind: What this member does by the kind of model.
        digest: SHA-256 of the part as it is kept; empty before.
        alone: What the label holder learned from its own columns alone, as files; none at the others.
        leakage: What known attacks on what each feature holder was sent learn; none at feature holders.
        resumed_from: Digest of the point that the training went on from; empty if nothing interrupted it.
    """

    subject_ids: Sequence[str]
    root: bytes
    kind: "Kind"
    digest: str = ""
    alone: "Files" = field(default_factory=dict)
    leakage: "Reports" = ()
    resumed_from: str = ""
