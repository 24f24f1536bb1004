"""What each party keeps of a model, and what it says of rows that are scored.

Neither part scores alone. The label holder's has the trees, over its own columns and over numbered cuts of
the others' columns, each read as a column of two codes; a feature holder's has what its cuts are. Both are
canonical JSON, the trees beside it safetensors; nothing in them is executed.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from hanse.crypto import canonical_json
from hanse.errors import ServingError
from hanse.learning.boosting.columns import BinnedColumn, Binning, Codes
from hanse.learning.boosting.forest import LEAF, Forest
from hanse.learning.boosting.model import BoostedDescription, BoostedTrees, decode_trees, encode_trees
from hanse.learning.boosting.objective import Floats, scores, scores_of_one
from hanse.learning.boosting.settings import MAX_CODES, BoostingSettings
from hanse.learning.boosting.single import SingleRow, SingleScore
from hanse.learning.vertical.trees.released import ReleasedColumn
from hanse.policies.fields import Document, Many

MAX_PART_BYTES: Final = 1 << 28

_Pair = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_LEFT: Final = "left"
_Part = TypeVar("_Part", bound=Document)


class Cut(Document):
    """A set of codes of one column.

    Attributes:
        column: Number of the column, as it is shown.
        left: Shown codes that go left, increasing.
    """

    column: Annotated[int, Field(ge=0)]
    left: Annotated[Many[Annotated[int, Field(ge=0, lt=MAX_CODES)]], Field(max_length=MAX_CODES)]


class FeaturePart(Document):
    """A feature holder's part of a model.

    Attributes:
        pair: The same in the label holder's part.
        columns: Those that cuts are of.
        cuts: In the order of their numbers.
    """

    pair: _Pair
    columns: Many[ReleasedColumn]
    cuts: Many[Cut]

    @model_validator(mode="after")
    def _cuts_fit(self) -> Self:
        for cut in self.cuts:
            if cut.column >= len(self.columns) or any(c >= self.columns[cut.column].codes for c in cut.left):
                raise ValueError("a cut of a column or code that there is not")
        return self

    @classmethod
    def make(cls, pair: str, released: Sequence[ReleasedColumn], cuts: Sequence[Cut]) -> "FeaturePart":
        """The part with the columns that cuts are of, and no others."""
        used = sorted({cut.column for cut in cuts})
        renamed = [cut.model_copy(update={"column": used.index(cut.column)}) for cut in cuts]
        return cls(pair=pair, columns=tuple(released[c] for c in used), cuts=tuple(renamed))

    def sides(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Which side of every cut rows are on.

        Args:
            columns: Values by column name, all of the same length.

        Returns:
            Bits, the lowest first, 1 for left; shape (cuts, ceil(rows / 8)).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        if not self.cuts:
            return np.zeros((0, 0), dtype=np.uint8)
        codes = self._binning.encode(columns)
        cuts, column = np.arange(len(self.cuts))[:, None], [cut.column for cut in self.cuts]
        return np.packbits(self._is_left[cuts, codes[:, column].T], axis=1, bitorder="little")

    def sides_of_one(self, columns: Mapping[str, NDArray[Any]]) -> bytes:
        """As :meth:`sides`, of a single row: a bit for each cut, the lowest first.

        Raises:
            ConfigurationError: As :meth:`sides`.
        """
        if not self.cuts:
            return b""
        single, masks = self._single
        found = 0
        for mask, code in zip(masks, single.encode(columns), strict=True):
            found |= mask[code]
        return found.to_bytes(-(-len(self.cuts) // 8), "little")

    @cached_property
    def _single(self) -> tuple[SingleRow, list[list[int]]]:
        """Codes of one row; and of each column, which cuts each code is left of, as bits."""
        masks = [[0] * len(released.shown) for released in self.columns]
        for number, cut in enumerate(self.cuts):
            for code, shown in enumerate(self.columns[cut.column].shown):
                masks[cut.column][code] |= (shown in cut.left) << number
        return SingleRow([released.column for released in self.columns]), masks

    @cached_property
    def _binning(self) -> Binning:
        """What own codes mean."""
        return Binning(columns=tuple(released.column for released in self.columns))

    @cached_property
    def _is_left(self) -> NDArray[np.bool_]:
        """Which own codes, by what they are shown as, each cut sends to the left; shape (cuts, codes)."""
        found = np.zeros((len(self.cuts), self._binning.layout.width), dtype=np.bool_)
        for number, cut in enumerate(self.cuts):
            shown = self.columns[cut.column].shown
            found[number, : len(shown)] = np.isin(shown, cut.left)
        return found

    def encode(self) -> bytes:
        """The part's file; equal parts give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def decode(cls, data: bytes) -> "FeaturePart":
        """Reads a part's file.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        return _decode(cls, data)


class HolderCuts(Document):
    """What the label holder knows of a feature holder's cuts.

    Attributes:
        name: The feature holder.
        pair: The same in the feature holder's part.
        cuts: How many.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    pair: _Pair
    cuts: Annotated[int, Field(ge=0, le=10_000)]


class LabelDescription(Document):
    """What a label holder's trees mean.

    Attributes:
        settings: The run's.
        columns: The label holder's own.
        holders: Whose cuts follow its own columns, in this order.
    """

    settings: BoostingSettings
    columns: Many[BinnedColumn]
    holders: Many[HolderCuts]

    @property
    def binning(self) -> Binning:
        """The label holder's columns, and a column of two codes for each cut."""
        cuts = [
            BinnedColumn(name=f"{holder.name} cut {number}", kind="categorical", categories=(_LEFT,))
            for holder in self.holders
            for number in range(holder.cuts)
        ]
        return Binning(columns=(*self.columns, *cuts))


class LabelPart:
    """The label holder's part of a model.

    Args:
        description: What the trees mean.
        trees: Over :attr:`LabelDescription.binning`.
    """

    def __init__(self, description: LabelDescription, trees: BoostedTrees) -> None:
        self.description = description
        self.trees = trees

    @classmethod
    def make(
        cls,
        settings: BoostingSettings,
        base: tuple[float, ...],
        binning: Binning,
        forest: Forest,
        holders: Sequence[HolderCuts],
    ) -> "LabelPart":
        """The part of a forest over own columns and cuts."""
        described = LabelDescription(settings=settings, columns=binning.columns, holders=tuple(holders))
        meaning = BoostedDescription(settings=settings, binning=described.binning, base=base)
        return cls(described, BoostedTrees(meaning, forest))

    def raw(self, columns: Mapping[str, NDArray[Any]], sides: Mapping[str, NDArray[Any]]) -> Floats:
        """Sums of leaf values.

        Args:
            columns: Own values by column name, all of the same length.
            sides: By feature holder, see :meth:`FeaturePart.sides`, of the same rows.

        Returns:
            Shape (rows, labels).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
            ServingError: ``scoring.bad-input`` if sides are missing, or of another shape.
        """
        return self.raw_of(self._own.encode(columns), sides)

    def raw_of(self, own: Codes, sides: Mapping[str, NDArray[Any]]) -> Floats:
        """As :meth:`raw`, from codes of own columns, shape (rows, own columns)."""
        return self.trees.raw(self._codes(own, sides))

    def scores(self, columns: Mapping[str, NDArray[Any]], sides: Mapping[str, NDArray[Any]]) -> Floats:
        """Probabilities, or values in the label's unit; see :meth:`raw`."""
        return scores(self.trees.settings, self.raw(columns, sides))

    def scores_of_one(self, columns: Mapping[str, NDArray[Any]], sides: Mapping[str, bytes]) -> Floats:
        """As :meth:`scores`, of a single row.

        Args:
            columns: Own value by column name, each of shape (1,).
            sides: By feature holder, see :meth:`FeaturePart.sides_of_one`.

        Raises:
            ConfigurationError: As :meth:`raw`.
            ServingError: Likewise.
        """
        row, trees = self._single
        codes = row.encode(columns)
        for holder in self.description.holders:
            bits = sides.get(holder.name, b"")
            if len(bits) != -(-holder.cuts // 8):
                raise _not_a_side(holder)
            number = ~int.from_bytes(bits, "little")  # code 0 is the left
            codes += [number >> cut & 1 for cut in range(holder.cuts)]
        return scores_of_one(self.trees.settings, trees.raw(codes))

    @cached_property
    def _single(self) -> tuple[SingleRow, SingleScore]:
        return SingleRow(self.description.columns), SingleScore(self.trees)

    @cached_property
    def _own(self) -> Binning:
        """What codes of own columns mean."""
        return Binning(columns=self.description.columns)

    def _codes(self, own: Codes, sides: Mapping[str, NDArray[Any]]) -> Codes:
        rows = len(own)
        parts = [own]
        for holder in self.description.holders:
            packed = np.asarray(sides.get(holder.name, np.zeros((0, 0), dtype=np.uint8)))
            wanted = (holder.cuts, (rows + 7) // 8 if holder.cuts else 0)
            if packed.shape != wanted or packed.dtype != np.uint8:
                raise _not_a_side(holder)
            is_left = np.unpackbits(packed, axis=1, count=rows, bitorder="little") if holder.cuts else None
            if is_left is not None:
                parts.append((1 - is_left).T.astype(own.dtype))
        return np.concatenate(parts, axis=1)

    def encode(self) -> tuple[bytes, bytes]:
        """Description and trees as files; equal parts give equal bytes."""
        return canonical_json(self.description.model_dump(mode="json")), encode_trees(self.trees)

    @classmethod
    def decode(cls, description: bytes, trees: bytes) -> "LabelPart":
        """Reads the files.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none, or do not fit each other.
        """
        described = _decode(LabelDescription, description)
        try:
            binning = described.binning
        except ValidationError as error:
            raise ServingError("model.invalid", "the columns of a part are not usable") from error
        return cls(described, decode_trees(trees, described.settings, binning))


def _not_a_side(holder: HolderCuts) -> ServingError:
    return ServingError("scoring.bad-input", f"not a side of every cut from {holder.name}")


def with_cuts(forest: Forest, own: int, cut_of: Mapping[tuple[int, bytes], int], width: int) -> Forest:
    """Replaces splits on columns of others by splits on cuts.

    Args:
        forest: Over own columns, and behind them those of all others.
        own: Number of own columns.
        cut_of: Number of each cut among all cuts, by its column and the bytes of its left codes.
        width: Most codes of a column of the result.

    Returns:
        The forest over own columns and cuts.
    """
    at = np.flatnonzero(forest.column != LEAF)
    column = forest.column.copy()
    left = np.zeros((len(at), width), dtype=np.bool_)
    for number, node in enumerate(at.tolist()):
        codes = forest.left[number]
        if column[node] < own:
            left[number, : len(codes)] = codes[:width]
        else:
            column[node] = own + cut_of[int(column[node]), codes.tobytes()]
            left[number, 0] = True
    return Forest(forest.first, column, left, forest.value)


def _decode(kind: type[_Part], data: bytes) -> _Part:
    if len(data) > MAX_PART_BYTES:
        raise ServingError("model.invalid", f"a part is larger than {MAX_PART_BYTES} bytes")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise ServingError("model.invalid", "a file is not a part of a model") from error
