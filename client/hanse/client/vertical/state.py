"""What a member knows of a vertical run while it goes on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hanse.crypto import canonical_json
from hanse.errors import TrainingError

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
        order: Digest of the people in their order, as they were found.
    """

    subject_ids: Sequence[str]
    root: bytes
    kind: "Kind"
    digest: str = ""
    alone: "Files" = field(default_factory=dict)
    leakage: "Reports" = ()
    resumed_from: str = ""
    order: str = field(init=False)

    def __post_init__(self) -> None:
        self.order = order_digest(self.subject_ids, self.root)

    def require_order(self) -> None:
        """Refuses to use rows in another order than the people were found in: they would meet others' rows.

        No other member could notice. What no check can find is a member that means to do it.

        Raises:
            TrainingError: ``run.order-changed``.
        """
        if self.order != order_digest(self.subject_ids, self.root):
            raise TrainingError(
                "run.order-changed", "the common people are not those, or not in the order, that were found"
            )


def order_digest(subject_ids: Sequence[str], root: bytes) -> str:
    """SHA-256 of who the common people are and of their order; stays at the site."""
    people = canonical_json([root.hex(), *subject_ids])
    return hashlib.sha256(b"hanse order of common people\n" + people).hexdigest()
