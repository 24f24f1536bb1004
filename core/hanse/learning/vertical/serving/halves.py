"""What serving needs of a model's parts, whatever kind of model it is."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.learning.vertical.serving.forms import Form, Rows

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Values by column name, one per person."""


class FeatureHalf(Protocol):
    """A feature holder's part."""

    @property
    def form(self) -> Form:
        """Of what it says."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """Names of the own columns that are read; no other is looked up."""
        ...

    def answers(self, columns: Columns, people: int) -> Rows:
        """What is said of people.

        Args:
            columns: Values of :attr:`columns`.
            people: How many they are.

        Returns:
            Shape (people, width of :attr:`form`).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        ...


class LabelHalf(Protocol):
    """A label holder's part."""

    @property
    def asks(self) -> Mapping[str, Form]:
        """The feature holders without whose answers there is no score, and the forms of these."""
        ...

    def scores(self, columns: Columns, answers: Mapping[str, Rows]) -> NDArray[np.float64]:
        """Scores people.

        Args:
            columns: Values of the label holder's own columns.
            answers: Of each that is asked, what it says of these people.

        Returns:
            Probabilities, shape (people,).

        Raises:
            ConfigurationError: ``config.bad-data`` if a column is missing or of another length.
        """
        ...


def file_of(files: Mapping[str, bytes], name: str) -> bytes:
    """A file of a part.

    Raises:
        ServingError: ``model.invalid`` if the part has none of this name.
    """
    if name not in files:
        raise ServingError(
            "model.invalid", f"the part has no {name}: train the model anew, with this version, to serve"
        )
    return files[name]
