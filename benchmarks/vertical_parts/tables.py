"""What label holder and feature holder have: columns of the same rows, real or made up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting import BinnedColumn, Binning, BoostingSettings
from horizontal_parts.trees import TreesArm
from real_data import Fold, read

Columns = Mapping[str, NDArray[Any]]
LABEL: Final = "label holder"
FEATURE: Final = "feature holder"


class Table(Protocol):
    """Aligned rows of both parties, and rows to test by; a party reads its own half only."""

    @property
    def settings(self) -> BoostingSettings:
        """Of the engine."""
        ...

    @property
    def rows(self) -> int:
        """Aligned rows."""
        ...

    def binning(self, party: str) -> Binning:
        """Of a party's columns."""
        ...

    def columns(self, party: str) -> Columns:
        """Of the aligned rows."""
        ...

    def tests(self, party: str) -> Columns:
        """Of the rows to test by."""
        ...

    @property
    def labels(self) -> NDArray[Any]:
        """Of the aligned rows."""
        ...

    @property
    def test_labels(self) -> NDArray[Any]:
        """Of the rows to test by."""
        ...


@dataclass(frozen=True)
class RealTable:
    """A data set with one fold to test by, and the columns of each party as its description says.

    Attributes:
        folder: Of the set.
        settings: Of the engine.
        number: Of the fold.
    """

    folder: Path
    settings: BoostingSettings
    number: int = 0

    @cached_property
    def fold(self) -> Fold:
        """The set and its fold."""
        return Fold(read(self.folder), self.number)

    @cached_property
    def arm(self) -> TreesArm:
        """The plaintext engine on the same fold."""
        return TreesArm(self.fold, self.settings)

    @property
    def rows(self) -> int:
        """See :class:`Table`."""
        return len(self.fold.train)

    def _names(self, party: str) -> set[str]:
        spec = json.loads((self.folder / "spec.json").read_text(encoding="utf-8"))
        return set(spec["party_a_label_holder" if party == LABEL else "party_b_partner"])

    def binning(self, party: str) -> Binning:
        """See :class:`Table`."""
        names = self._names(party)
        return Binning(columns=tuple(one for one in self.arm.binning.columns if one.name in names))

    def columns(self, party: str) -> Columns:
        """See :class:`Table`."""
        return self._of(party, self.fold.train)

    def tests(self, party: str) -> Columns:
        """See :class:`Table`."""
        return self._of(party, self.fold.test)

    def _of(self, party: str, rows: NDArray[np.intp]) -> Columns:
        found = self.fold.data.rows.take(rows).columns
        return {name: found[name] for name in self._names(party) if name in found}

    @property
    def labels(self) -> NDArray[Any]:
        """See :class:`Table`."""
        return self.fold.labels(self.fold.train)

    @property
    def test_labels(self) -> NDArray[Any]:
        """See :class:`Table`."""
        return self.fold.labels(self.fold.test)


@dataclass(frozen=True)
class MadeTable:
    """Normal columns, of which every one says a little about the label.

    Attributes:
        rows: Aligned rows.
        own: Columns of the label holder.
        other: Columns of the feature holder.
        settings: Of the engine; bins are as many as its ``max_bins``.
    """

    rows: int
    own: int
    other: int
    settings: BoostingSettings

    def _numbers(self, party: str) -> range:
        return range(self.own) if party == LABEL else range(self.own, self.own + self.other)

    def binning(self, party: str) -> Binning:
        """See :class:`Table`."""
        bins = self.settings.max_bins
        edges = tuple(NormalDist().inv_cdf(i / bins) for i in range(1, bins))
        return Binning(
            columns=tuple(
                BinnedColumn(name=f"c{i}", kind="numeric", edges=edges) for i in self._numbers(party)
            )
        )

    def columns(self, party: str) -> Columns:
        """See :class:`Table`."""
        return {f"c{i}": self._column(i) for i in self._numbers(party)}

    def _column(self, number: int) -> NDArray[np.float64]:
        return np.random.default_rng(number).standard_normal(self.rows)

    def tests(self, party: str) -> Columns:
        """The first of the aligned rows: nothing is said about quality here."""
        return {name: values[:1000] for name, values in self.columns(party).items()}

    @property
    def labels(self) -> NDArray[Any]:
        """See :class:`Table`."""
        signal = np.random.default_rng(1 << 20).logistic(size=self.rows)
        for number in range(self.own + self.other):
            signal += self._column(number) * (0.1 + 0.2 * (number % 3))
        return (signal > 1).astype(np.float64)

    @property
    def test_labels(self) -> NDArray[Any]:
        """See :class:`Table`."""
        return self.labels[:1000]
