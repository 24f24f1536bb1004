"""Files of models that are a number for each cell of a party's columns."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError

from hanse.errors import ServingError
from hanse.learning.boosting.columns import BinnedColumn, Binning
from hanse.policies.fields import Document, Many

MAX_CELLS: Final = 1 << 20


class CellFile(Document):
    """What they have in common; the numbers have another name in each.

    Attributes:
        columns: With their cells.
    """

    columns: Annotated[Many[BinnedColumn], Field(min_length=1, max_length=10_000)]

    @classmethod
    def read(cls, data: bytes, what: str, numbers: Callable[[Self], Sequence[float]]) -> tuple[Self, Binning]:
        """Reads a file.

        Args:
            data: The file.
            what: It is to be, for people.
            numbers: Of the cells, in a file.

        Returns:
            The file and its binning, which has as many cells as there are numbers.

        Raises:
            ServingError: ``model.invalid`` if the bytes are none.
        """
        try:
            kept = cls.model_validate_json(data)
            binning = Binning(columns=kept.columns)
        except ValidationError as error:
            raise ServingError("model.invalid", f"a file is not {what}") from error
        if len(numbers(kept)) != binning.layout.total:
            raise ServingError("model.invalid", f"a file is not {what}: its numbers do not fit the cells")
        return kept, binning
