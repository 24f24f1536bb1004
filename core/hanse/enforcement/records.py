"""Records that were admitted. Training takes nothing else, by type, and bare arrays do not become any.

Python has no private constructors: the seal is an object that only this package hands in. It keeps honest
code from slipping, and shows in every review; it is no defence against a member that changes its software.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hanse.enforcement.rulings import Decision, Positions
from hanse.errors import PolicyError

Columns: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
"""Values per column: float64 with NaN for missing, or str with "" for missing; each of shape ``(rows,)``."""

Rows: TypeAlias = npt.NDArray[np.float32]


class Seal:
    """What shows that the caller is the enforcement code."""


SEAL: Final = Seal()


def _require(seal: Seal) -> None:
    if seal is not SEAL:
        raise TypeError("admitted records come from the gate")


@final
class AdmittedExamples:
    """Features and labels of admitted records: what a trainer takes.

    Args:
        seal: The package's own.
        features: Transformed rows, shape ``(rows, features)``.
        labels: 0 or 1, shape ``(rows,)``.
    """

    __slots__ = ("features", "labels")

    def __init__(self, seal: Seal, features: Rows, labels: Rows) -> None:
        _require(seal)
        if len(features) != len(labels):
            raise PolicyError("policy.denied", "there are not as many rows as were admitted", rule="P32")
        self.features = features
        self.labels = labels

    def __len__(self) -> int:
        """Number of records."""
        return len(self.labels)


@final
class AdmittedRecords:
    """Records that the gate has let through for one step of one run.

    Args:
        seal: The package's own.
        columns: Values per column; a value that is hidden is missing.
        labels: 1.0 for the agreement's positive label, else 0.0, shape ``(rows,)``.
        subject_set_root: Merkle root over keyed tags of all subjects that were admitted for the step, these
            and the others; it reveals nobody.
    """

    __slots__ = ("columns", "labels", "subject_set_root")

    def __init__(self, seal: Seal, columns: Columns, labels: Rows, subject_set_root: bytes) -> None:
        _require(seal)
        self.columns = columns
        self.labels = labels
        self.subject_set_root = subject_set_root

    @property
    def rows(self) -> int:
        """Number of records."""
        return len(self.labels)

    def examples(self, transform: Callable[[Columns], Rows]) -> AdmittedExamples:
        """The same records as features.

        Args:
            transform: Makes one row of features of each record, in their order.

        Returns:
            The examples.

        Raises:
            PolicyError: ``policy.denied`` (P32) if the transform gives another number of rows.
        """
        return AdmittedExamples(SEAL, transform(self.columns), self.labels)


def release(
    decision: Decision, rows: Positions, columns: Columns, labels: Rows, subject_set_root: bytes
) -> AdmittedRecords:
    """Makes admitted records of what was read, after a last look at it.

    Args:
        decision: The decision that the reading rests on.
        rows: Positions of the records that were read, all of them admitted.
        columns: Their values.
        labels: Their labels.
        subject_set_root: What was committed to.

    Returns:
        The records.

    Raises:
        PolicyError: ``policy.denied`` (P32) if there are other rows than were admitted, or a value that is to
            be hidden is not.
    """
    if not np.isin(rows, decision.rows).all():
        raise PolicyError("policy.denied", "a row was read that is not admitted", rule="P32")
    if any(len(values) != len(rows) for values in (*columns.values(), labels)):
        raise PolicyError("policy.denied", "the rows read are not the rows admitted", rule="P32")
    for name, hidden in decision.hidden.items():
        values = columns[name][np.isin(rows, hidden)]
        empty = np.isnan(values) if np.issubdtype(values.dtype, np.floating) else values == ""
        if not np.all(empty):
            raise PolicyError("policy.denied", "a hidden value was read", rule="P32")
    return AdmittedRecords(SEAL, columns, labels, subject_set_root)
