"""What is asked of a member before the first round.

``preprocessing.moments``, header ``{"columns": [name, …]}``: per column the number of values and their sum,
of values cut at the agreed bounds and moved to [0, 1]. ``preprocessing.spread``, the same header with
``"means": [m, …]`` in the same unit: per column the sum of squared distances from the mean; a second
question, because a difference of large sums would leave little of a small variance.

``preprocessing.cells``, header ``{"columns": [column, …]}`` with the cells that are known by now, as a
transform writes them: rows per cell, then for every cell 1 if the member has any row in it.

Bodies are canonical JSON.
"""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from hanse.aggregation import Query
from hanse.crypto import JsonValue, canonical_json, parse_canonical_json
from hanse.errors import ProtocolError
from hanse.learning.counting import encoding
from hanse.learning.transform import ColumnFeatures, n_cells

MOMENTS: Final = "preprocessing.moments"
SPREAD: Final = "preprocessing.spread"
CELLS: Final = "preprocessing.cells"

_COLUMNS: Final = TypeAdapter(tuple[ColumnFeatures, ...])


def ask_moments(columns: tuple[str, ...], contributors: int) -> Query:
    """Asks for numbers and sums of values."""
    body = canonical_json({"columns": list(columns)})
    return Query(MOMENTS, body, 2 * len(columns), encoding(contributors))


def ask_spread(columns: tuple[str, ...], means: tuple[float, ...], contributors: int) -> Query:
    """Asks for squared distances from means in [0, 1]."""
    body = canonical_json({"columns": list(columns), "means": list(means)})
    return Query(SPREAD, body, len(columns), encoding(contributors))


def ask_cells(columns: tuple[ColumnFeatures, ...], contributors: int) -> Query:
    """Asks for rows per cell, and whether there are any."""
    length = 2 * sum(n_cells(column) for column in columns)
    body = canonical_json({"columns": [column.model_dump(mode="json") for column in columns]})
    return Query(CELLS, body, length, encoding(contributors))


def read_moments(query: Query) -> tuple[str, ...]:
    """Columns of :func:`ask_moments`.

    Raises:
        ProtocolError: ``protocol.malformed``.
    """
    match parse_canonical_json(query.body):
        case {"columns": list(names)}:
            columns = _texts(names)
        case _:
            raise _malformed()
    return _same(query, ask_moments(columns, query.encoding.contributors), columns)


def read_spread(query: Query) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Columns and means of :func:`ask_spread`; errors as :func:`read_moments`."""
    match parse_canonical_json(query.body):
        case {"columns": list(names), "means": list(given)} if len(names) == len(given):
            columns, means = _texts(names), tuple(mean for mean in given if type(mean) in (int, float))
        case _:
            raise _malformed()
    inside = tuple(float(mean) for mean in means if isinstance(mean, int | float) and 0 <= mean <= 1)
    if len(inside) != len(columns):
        raise _malformed()
    _same(query, ask_spread(columns, inside, query.encoding.contributors), columns)
    return columns, inside


def read_cells(query: Query) -> tuple[ColumnFeatures, ...]:
    """Columns of :func:`ask_cells`; errors as :func:`read_moments`."""
    match parse_canonical_json(query.body):
        case {"columns": list(given)}:
            pass
        case _:
            raise _malformed()
    try:
        columns = _COLUMNS.validate_json(canonical_json(given))
    except ValidationError as error:
        raise _malformed() from error
    _same(query, ask_cells(columns, query.encoding.contributors), tuple(c.name for c in columns))
    return columns


def _texts(names: list[JsonValue]) -> tuple[str, ...]:
    texts = tuple(name for name in names if isinstance(name, str))
    if len(texts) != len(names):
        raise _malformed()
    return texts


def _same(query: Query, asked: Query, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses another spelling of a question, and a column that is there twice."""
    if query != asked or len(set(columns)) != len(columns):
        raise _malformed()
    return columns


def _malformed() -> ProtocolError:
    return ProtocolError("protocol.malformed", "a question about columns has another form")
