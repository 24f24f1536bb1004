"""A boosted model: public trees, their file, and scores from them in numpy.

The trees are a safetensors file with five arrays; nothing in it is executed. What they mean - settings and
columns - follows from agreement and preprocessing: :mod:`hanse.learning.boosting.agreed`.
"""

from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hanse.errors import ServingError
from hanse.learning.boosting.columns import Binning, Codes
from hanse.learning.boosting.forest import LEAF, Forest, is_sound
from hanse.learning.boosting.objective import Floats, scores
from hanse.learning.boosting.settings import MAX_LABELS, BoostingSettings
from hanse.policies.fields import Document, Many

MAX_TREES_BYTES: Final = 1 << 30

_TYPES: Final = {
    "base": np.float64,
    "first": np.int32,
    "column": np.int16,
    "left": np.uint8,
    "value": np.float64,
}
_BLOCK: Final = 1 << 18  # tree and row pairs at once


class BoostedDescription(Document):
    """What trees mean.

    Attributes:
        settings: The run's.
        binning: The columns.
        base: Raw score of each label before the first tree.
    """

    settings: BoostingSettings
    binning: Binning
    base: Annotated[Many[float], Field(min_length=1, max_length=MAX_LABELS)]

    @model_validator(mode="after")
    def _base_fits(self) -> Self:
        if len(self.base) != self.settings.labels:
            raise ValueError("one base score for each label")
        return self


class Nodes(NamedTuple):
    """All nodes of all trees, as rows walk over them. The right child comes after the left one.

    Attributes:
        first: First node of each tree.
        child: Left child of each node; a leaf is its own.
        column: Column that each node is split on; any of a leaf.
        left: Which codes of it go left, ``width`` for each node; all of a leaf.
        width: Most codes of a column.
    """

    first: NDArray[np.int64]
    child: NDArray[np.int64]
    column: NDArray[np.int64]
    left: NDArray[np.bool_]
    width: int


class BoostedTrees:
    """A model that scores rows.

    Args:
        description: What the trees mean.
        forest: The trees, those of one iteration after those of another, in the order of the labels.

    Raises:
        ServingError: ``model.invalid`` if the trees are none, or do not fit the description.
    """

    def __init__(self, description: BoostedDescription, forest: Forest) -> None:
        settings, layout = description.settings, description.binning.layout
        iterations, rest = divmod(len(forest), settings.labels)
        if rest or iterations > settings.trees or not is_sound(forest, layout, settings.depth):
            raise ServingError("model.invalid", "the trees do not fit their description")
        self.description = description
        self.forest = forest
        self.iterations = iterations
        leaf = forest.column == LEAF
        left = np.ones((len(leaf), layout.width), dtype=np.bool_)  # a leaf's rows go to itself
        left[~leaf] = forest.left
        self.nodes: Final = Nodes(
            forest.first.astype(np.int64),
            forest.children(),
            np.where(leaf, 0, forest.column).astype(np.int64),
            left.ravel(),
            layout.width,
        )

    @property
    def settings(self) -> BoostingSettings:
        """The run's."""
        return self.description.settings

    def head(self, iterations: int) -> "BoostedTrees":
        """The model as it was after so many iterations."""
        return BoostedTrees(self.description, self.forest.head(iterations * self.settings.labels))

    def scores(self, columns: dict[str, NDArray[Any]]) -> Floats:
        """Scores of rows.

        Args:
            columns: Values by column name, all of the same length.

        Returns:
            Probabilities of each label, or values in its unit, shape (rows, labels).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        return scores(self.settings, self.raw(self.description.binning.encode(columns)))

    def raw(self, codes: Codes) -> Floats:
        """Sums of leaf values: log-odds of ``logistic`` with positive rows weighted as in training.

        Args:
            codes: See :meth:`hanse.learning.boosting.columns.Binning.encode`.

        Returns:
            Shape (rows, labels).
        """
        rows = len(codes)
        result = np.tile(np.array(self.description.base), (rows, 1))
        block = max(1, _BLOCK // max(1, len(self.forest)))
        for start in range(0, rows, block):
            leaves = self._leaves(codes[start : start + block])
            shape = (self.iterations, self.settings.labels, leaves.shape[1])
            values = self.forest.value[leaves].reshape(shape)
            for value in values:  # in the order of training, which makes the last digit the same
                result[start : start + block] += value.T
        return result

    def _leaves(self, codes: Codes) -> NDArray[np.int64]:
        """Leaf of each row in each tree, shape (trees, rows)."""
        nodes, flat = self.nodes, np.ascontiguousarray(codes).ravel()
        row = np.arange(len(codes)) * codes.shape[1]
        node = np.repeat(nodes.first[:, None], len(codes), axis=1)
        for _ in range(self.settings.depth):
            code = flat[row + nodes.column[node]]
            node = nodes.child[node] + ~nodes.left[node * nodes.width + code]
        return node


def encode_trees(model: BoostedTrees) -> bytes:
    """The trees' file; equal trees give equal bytes."""
    forest = model.forest
    return save(
        {
            "base": np.array(model.description.base, dtype=np.float64),
            "first": forest.first,
            "column": forest.column,
            "left": np.packbits(forest.left, axis=1, bitorder="little"),
            "value": forest.value,
        }
    )


def decode_trees(data: bytes, settings: BoostingSettings, binning: Binning) -> BoostedTrees:
    """Reads a trees' file.

    Args:
        data: Bytes from anywhere.
        settings: The run's.
        binning: The columns.

    Returns:
        The model.

    Raises:
        ServingError: ``model.invalid`` if the bytes are not trees, or do not fit settings and columns.
    """
    if len(data) > MAX_TREES_BYTES:
        raise ServingError("model.invalid", f"the trees are larger than {MAX_TREES_BYTES} bytes")
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ServingError("model.invalid", "the trees are not safetensors") from error
    if {name: array.dtype.type for name, array in arrays.items()} != _TYPES:
        raise ServingError("model.invalid", "the trees are not the five arrays that they should be")
    base = arrays["base"]
    if base.shape != (settings.labels,) or not np.isfinite(base).all():
        raise ServingError("model.invalid", "not one finite base score for each label")
    left = unpack_codes(arrays["left"], binning.layout.width)
    return BoostedTrees(
        BoostedDescription(settings=settings, binning=binning, base=tuple(base.tolist())),
        Forest(arrays["first"], arrays["column"], left, arrays["value"]),
    )


def unpack_codes(packed: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Sets of codes from their bits, the lowest bit first.

    Args:
        packed: Bytes from anywhere, shape (sets, ceil(width / 8)).
        width: Codes.

    Returns:
        Shape (sets, width).

    Raises:
        ServingError: ``model.invalid`` for another shape, or bits beyond the codes.
    """
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != (width + 7) // 8:  # noqa: PLR2004
        raise ServingError("model.invalid", "sets of codes have another shape")
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.bool_)
    if bits[:, width:].any():
        raise ServingError("model.invalid", "a set of codes has codes that there are not")
    return bits[:, :width]
