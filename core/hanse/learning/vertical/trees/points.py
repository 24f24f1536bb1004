"""How far a run of trees has come at each party: what another attempt at the same run goes on from.

After every :attr:`~hanse.learning.vertical.trees.terms.TreesTerms.point_trees` iterations the feature holders
check the dealer, and then all parties write down a *point*: the label holder its trees, each feature holder
the cuts that it was asked for. Feature holders write first, so that the label holder's last point is also
theirs: it is their last one, or the one before.

A point has a digest that chains to the one before, and covers the terms, the number of iterations and what
label holder and feature holders said to each other so far. Parties that name the same digest mean the same
trees.

Nothing that hides values is in a point: no seed, no mask, no key, no coin. Another attempt has new ones. What
is asked again between a point and an interruption is asked of the same rows, in the same cells, so that the
answers are those that were given before; a feature holder counts what it was asked up to its points.
"""

import itertools
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import HanseError, TrainingError
from hanse.learning.boosting.columns import BinnedColumn, Binning, Layout
from hanse.learning.boosting.forest import Forest
from hanse.learning.boosting.model import BoostedDescription, BoostedTrees, decode_trees, encode_trees
from hanse.learning.boosting.settings import MAX_CODES, BoostingSettings
from hanse.learning.vertical.trees.parts import Cut
from hanse.learning.vertical.trees.released import ReleasedColumn
from hanse.policies.fields import Document, Many, Sha256Hex

_TreesFile: TypeAlias = Literal["point-0.safetensors", "point-1.safetensors"]

POINT_FILE: Final = "point.json"
TREES_FILES: Final[tuple[_TreesFile, _TreesFile]] = ("point-0.safetensors", "point-1.safetensors")
"""Taken in turn, so that the trees of the last point stay until the note names those of the next."""

_MAX_BYTES: Final = 1 << 28
_BACK: Final = 2
"""A feature holder goes back to its last point, or to the one before."""

Files = Mapping[str, bytes]
DocumentT = TypeVar("DocumentT", bound=Document)
_Codes = Annotated[int, Field(ge=1, le=MAX_CODES)]
_Count = Annotated[int, Field(ge=0)]


class Keeper(Protocol):
    """Where a party keeps its points, and what it tells of them."""

    def load(self) -> Files:
        """What is kept, by name of the file; empty if there is nothing."""
        ...

    def keep(self, files: Files) -> None:
        """Keeps files, one after the other and each as a whole; they are on the disk when this returns."""
        ...

    def said(self, peer: str) -> str:
        """Digest of what this party and another one have said to each other so far; the same at both."""
        ...

    def goes_on(self, digest: str) -> None:
        """Is told from which point an attempt goes on, before anything about a row leaves in it."""
        ...


def point_digest(before: str, terms: str, trees: int, said: Mapping[str, str]) -> str:
    """Digest of a point, 64 hex digits.

    Args:
        before: Of the point before; empty for the first.
        terms: Of the terms.
        trees: Iterations that are done.
        said: Digest of what the label holder and each feature holder said in this attempt.
    """
    return sha256_hex(canonical_json({"before": before, "said": {**said}, "terms": terms, "trees": trees}))


class HolderPoint(Document):
    """What the label holder knows of a feature holder.

    Attributes:
        name: The feature holder.
        codes: Of its columns.
        ordered: Which of these have an order.
        bins: How many of each column's codes have rows.
        cuts: That it was asked for, in the order of their numbers.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    codes: Many[_Codes]
    ordered: Many[bool]
    bins: Many[_Codes]
    cuts: Many[Cut]

    @property
    def layout(self) -> Layout:
        """Of its columns."""
        return Layout(tuple(self.codes), tuple(self.ordered))


class _LabelNote(Document):
    terms: Sha256Hex
    trees: Annotated[int, Field(ge=1)]
    digest: Sha256Hex
    file: _TreesFile
    holders: Many[HolderPoint]


class LabelPoint:
    """The label holder's.

    Args:
        note: All but the trees.
        trees: Over own columns and, behind them, those of each feature holder.
    """

    def __init__(self, note: _LabelNote, trees: BoostedTrees) -> None:
        self._note = note
        self.file: Final = note.file
        self.digest: Final = note.digest
        self.holders: Final = {holder.name: holder for holder in note.holders}
        self.forest: Final = trees.forest
        self.base: Final = trees.description.base
        self._trees = trees

    @classmethod
    def make(
        cls,
        terms: str,
        digest: str,
        holders: list[HolderPoint],
        grown: tuple[BoostingSettings, tuple[float, ...], Forest],
        binning: Binning,
        before: "LabelPoint | None",
    ) -> Self:
        """A point.

        Args:
            terms: Digest of the terms.
            digest: Of the point.
            holders: What is known of feature holders.
            grown: The engine's settings, base scores and trees.
            binning: Of own columns.
            before: The point before.
        """
        settings, base, forest = grown
        joint = _joint(binning, holders)
        trees = BoostedTrees(BoostedDescription(settings=settings, binning=joint, base=base), forest)
        first, second = TREES_FILES
        file = second if before is not None and before.file == first else first
        note = _LabelNote(
            terms=terms, trees=trees.iterations, digest=digest, file=file, holders=tuple(holders)
        )
        return cls(note, trees)

    def encode(self) -> dict[str, bytes]:
        """Its files: the trees, and then the note that names them."""
        return {
            self.file: encode_trees(self._trees),
            POINT_FILE: canonical_json(self._note.model_dump(mode="json")),
        }

    @classmethod
    def decode(cls, files: Files, terms: str, settings: BoostingSettings, binning: Binning) -> Self | None:
        """Reads the files.

        Args:
            files: From :meth:`Keeper.load`.
            terms: Digest of the terms.
            settings: Of the engine.
            binning: Of own columns.

        Returns:
            The point; None if there is none.

        Raises:
            TrainingError: ``run.interrupted`` if they cannot be read, or are of other terms.
        """
        if POINT_FILE not in files:
            return None
        try:
            note = _read(_LabelNote, files[POINT_FILE])
            trees = decode_trees(files.get(note.file, b""), settings, _joint(binning, list(note.holders)))
        except (HanseError, ValueError) as error:
            raise _unusable() from error
        if note.terms != terms or note.trees != trees.iterations:
            raise _unusable()
        return cls(note, trees)


class Mark(Document):
    """A point, as a feature holder finds it again.

    Attributes:
        digest: Of the point.
        trees: Iterations that were done.
        cuts: Asked for by then.
        asked: Columns that sums were asked of by then.
    """

    digest: Sha256Hex
    trees: Annotated[int, Field(ge=1)]
    cuts: _Count
    asked: _Count


class FeaturePoint(Document):
    """A feature holder's.

    Attributes:
        terms: Digest of the terms.
        released: Its columns as it has shown them: the same in every attempt.
        cuts: That it was asked for, in the order of their numbers.
        marks: Of all points so far.
    """

    terms: Sha256Hex
    released: Annotated[Many[ReleasedColumn], Field(min_length=1)]
    cuts: Many[Cut] = ()
    marks: Many[Mark] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for cut in self.cuts:
            if cut.column >= len(self.released) or any(
                c >= self.released[cut.column].codes for c in cut.left
            ):
                raise ValueError("a cut of a column or code that there is not")
        for before, after in itertools.pairwise(self.marks):
            if before.trees >= after.trees or before.cuts > after.cuts or before.asked > after.asked:
                raise ValueError("a point with less than the one before")
        if self.marks and self.marks[-1].cuts != len(self.cuts):
            raise ValueError("not the cuts of the last point")
        return self

    def at(self, digest: str) -> Self | None:
        """This one, or the one before it.

        Args:
            digest: Of the point; empty for the beginning.

        Returns:
            None if it is neither.
        """
        for marks in [self.marks[: len(self.marks) - back] for back in range(_BACK)]:
            if (marks[-1].digest if marks else "") == digest:
                cuts = self.cuts[: marks[-1].cuts if marks else 0]
                return self.model_copy(update={"cuts": cuts, "marks": marks})
        return None

    @property
    def digest(self) -> str:
        """Of the last point; empty before the first."""
        return self.marks[-1].digest if self.marks else ""

    @property
    def trees(self) -> int:
        """Iterations that were done by the last point."""
        return self.marks[-1].trees if self.marks else 0

    @property
    def asked(self) -> int:
        """Columns that sums were asked of up to the last point."""
        return self.marks[-1].asked if self.marks else 0

    def encode(self) -> dict[str, bytes]:
        """Its file."""
        return {POINT_FILE: canonical_json(self.model_dump(mode="json"))}

    @classmethod
    def decode(cls, files: Files, terms: str) -> Self | None:
        """Reads the file; arguments, result and errors as :meth:`LabelPoint.decode`."""
        if POINT_FILE not in files:
            return None
        point = _read(cls, files[POINT_FILE])
        if point.terms != terms:
            raise _unusable()
        return point


def as_cuts(cuts: Mapping[tuple[int, bytes], int]) -> tuple[Cut, ...]:
    """Cuts in the order of their numbers, from their column and the bytes of their left codes."""
    keys = sorted(cuts, key=cuts.__getitem__)
    return tuple(Cut(column=column, left=_codes(np.frombuffer(left, np.bool_))) for column, left in keys)


def from_cuts(holder: HolderPoint) -> dict[tuple[int, bytes], int]:
    """What :func:`as_cuts` reads."""
    numbers: dict[tuple[int, bytes], int] = {}
    for number, cut in enumerate(holder.cuts):
        left = np.zeros(holder.layout.width, dtype=np.bool_)
        left[[code for code in cut.left if code < len(left)]] = True
        numbers[cut.column, left.tobytes()] = number
    return numbers


def _codes(left: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(left).tolist())


def _joint(binning: Binning, holders: list[HolderPoint]) -> Binning:
    """Own columns and, behind them, columns of as many codes as each feature holder shows."""
    pairs = [
        (f"{holder.name} column {number}", codes, ordered)
        for holder in holders
        for number, (codes, ordered) in enumerate(zip(holder.codes, holder.ordered, strict=True))
    ]
    return Binning(columns=(*binning.columns, *(_column(*pair) for pair in pairs)))


def _column(name: str, codes: int, ordered: bool) -> BinnedColumn:  # noqa: FBT001 - of a pair
    if ordered:
        return BinnedColumn(name=name, kind="numeric", edges=tuple(map(float, range(codes - 2))))
    return BinnedColumn(name=name, kind="categorical", categories=tuple(map(str, range(codes - 1))))


def _read(kind: type[DocumentT], data: bytes) -> DocumentT:
    if len(data) > _MAX_BYTES:
        raise _unusable()
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _unusable() from error


def _unusable() -> TrainingError:
    return TrainingError("run.interrupted", "what was kept of the trees so far cannot be gone on from")
