"""What all parties of a vertical run of boosted trees know before it begins."""

import math
from typing import Annotated, Final

from pydantic import Field

from hanse.crypto import canonical_json, sha256_hex
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS
from hanse.policies.agreement.vertical import MAX_KEY_BITS, MIN_KEY_BITS
from hanse.policies.fields import Document, Many

MAX_ALIGNED_ROWS: Final = 1 << 21
"""Beyond, the three columns of a node are too much for one message."""

_SUM_BITS: Final = 30  # a sum is below 2^30 in size, so that an error of 2^31 cannot hide
_BATCH_BYTES: Final = 1 << 27
_MAX_NODES: Final = 20

_Party = Annotated[str, Field(min_length=1, max_length=200)]


class TreesTerms(Document):
    """Part of what the parties agree on, and the number of their common rows.

    Attributes:
        settings: Of the engine. The gradients have fewer binary digits where sums could overflow.
        label_holder: Who has the labels.
        feature_holders: Who else has columns of the same rows.
        rows: Aligned rows, those kept aside for early stopping among them.
        context: What else both sides have to have in common, such as the root of the alignment; hex digits.
        min_bin_rows: Fewest aligned rows of a bin that a feature holder shows.
        combinations: Random combinations by which the dealer is checked: a dealer that is caught by none of
            them with probability above ``2^-combinations`` does not exist.
        point_trees: Iterations after which all parties check the dealer and keep how far they have come, so
            that a run that is interrupted goes on from there.
        key_bits: Length of the key under which sums are encrypted, without a dealer; None for a dealer.
    """

    settings: BoostingSettings
    label_holder: _Party
    feature_holders: Annotated[Many[_Party], Field(max_length=16)]
    rows: Annotated[int, Field(ge=1, le=MAX_ALIGNED_ROWS)]
    context: Annotated[str, Field(pattern="^[0-9a-f]*$", max_length=128)] = ""
    min_bin_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    combinations: Annotated[int, Field(ge=8, le=128)] = 40
    point_trees: Annotated[int, Field(ge=1, le=10_000)] = 20
    key_bits: Annotated[int, Field(ge=MIN_KEY_BITS, le=MAX_KEY_BITS)] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the terms as canonical JSON, 64 hex digits."""
        return sha256_hex(canonical_json(self.model_dump(mode="json")))

    @property
    def exact(self) -> BoostingSettings:
        """The settings, with gradients of so few binary digits that no sum over all rows overflows."""
        bits = _SUM_BITS - math.ceil(math.log2(self.rows))
        return self.settings.model_copy(update={"gradient_bits": min(bits, self.settings.gradient_bits)})

    @property
    def batch(self) -> int:
        """Columns that the dealer masks at once: a whole number of nodes."""
        nodes = _BATCH_BYTES // (4 * self.rows * CHANNELS)
        return CHANNELS * max(1, min(_MAX_NODES, nodes, self.max_columns // CHANNELS))

    @property
    def max_columns(self) -> int:
        """Most columns that the label holder asks sums of."""
        return self.settings.trees * self._tree_columns

    @property
    def point_columns(self) -> int:
        """Most columns that the label holder asks sums of from one point to the next."""
        return self.point_trees * self._tree_columns

    @property
    def max_checks(self) -> int:
        """Most checks of the dealer: one for each point, and one at the end."""
        return self.settings.trees // self.point_trees + 1

    @property
    def max_batches(self) -> int:
        """Most batches that the dealer is asked for."""
        return -(-self.max_columns // self.batch)

    @property
    def _tree_columns(self) -> int:
        """Most columns of an iteration: each level asks about the smaller one of two children."""
        return CHANNELS * self.settings.labels << (self.settings.depth - 1)

    @property
    def max_cuts(self) -> int:
        """Most splits of a run."""
        return self.settings.trees * self.settings.labels * ((1 << self.settings.depth) - 1)
