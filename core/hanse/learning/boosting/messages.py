"""The engine's questions on their way to members, as :class:`hanse.aggregation.Query`.

* ``tree.start``: header ``{"digest", "tree"}``: what is agreed (:func:`agreed_digest`), and the iteration
  that the run begins with. Answer: rows to learn from, rows kept aside, then of each label the summed weight
  and the summed weighted target.
* ``tree.level``: header ``{"level", "tree"}``; arrays: nodes that were split (``u4``), their columns
  (``u2``), the codes that go left (``u1``, one bit each, lowest first), nodes that are asked about (``u4``),
  values of the last iteration's nodes (``f8``). Answer: per asked node, column and code the sums of
  gradients, hessians and rows; at level 0 with early stopping then of each label loss and weight.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import FixedPoint, Query, decode_body, encode_body
from hanse.crypto import sha256_hex
from hanse.errors import ConfigurationError, HanseError, ProtocolError
from hanse.learning.boosting.columns import Binning, Layout
from hanse.learning.boosting.engine import Question
from hanse.learning.boosting.forest import Splits
from hanse.learning.boosting.model import unpack_codes
from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.boosting.splits import CHANNELS

START: Final = "tree.start"
LEVEL: Final = "tree.level"
MAX_ROWS: Final = 1 << 24
"""Of one member."""

_NARROW: Final = 32
_WIDE: Final = 64


@dataclass(frozen=True, slots=True)
class Level:
    """A question as a member reads it; the columns are those of the iteration.

    Attributes:
        tree: Iteration.
        level: Of the nodes that are asked about.
        splits: Decided since the last question.
        values: Of the nodes of the last iteration.
        asked: Nodes.
    """

    tree: int
    level: int
    splits: Splits
    values: NDArray[np.float64]
    asked: NDArray[np.int64]


def agreed_digest(settings: BoostingSettings, binning: Binning) -> str:
    """Names settings and columns; a member answers only a coordinator that has its own."""
    return sha256_hex(f"{settings.digest} {sha256_hex(binning.model_dump_json().encode())}".encode())


def make_encoding(settings: BoostingSettings, rows: int, contributors: int) -> FixedPoint:
    """Exact sums of figures that are at most one in every row, in the smaller ring if that is enough.

    Args:
        settings: The run's.
        rows: Most rows of one member.
        contributors: Most members.

    Returns:
        The encoding.

    Raises:
        ConfigurationError: ``config.invalid`` if no ring is large enough.
    """
    bound = float(max(1, rows))
    largest = contributors * (bound * 2.0**settings.gradient_bits + 1)
    ring_bits = _NARROW if largest < 2.0 ** (_NARROW - 1) else _WIDE
    try:
        return FixedPoint(bound, contributors, settings.gradient_bits, ring_bits)
    except HanseError as error:
        raise ConfigurationError(
            "config.invalid", f"{contributors} members of {rows} rows need fewer gradient_bits"
        ) from error


def start_length(settings: BoostingSettings) -> int:
    """Elements of an answer to ``tree.start``."""
    return 2 + 2 * settings.labels


def level_length(settings: BoostingSettings, layout: Layout, asked: int, level: int) -> int:
    """Elements of an answer to ``tree.level``.

    Args:
        settings: The run's.
        layout: Of the iteration's columns.
        asked: Nodes.
        level: Of the question.
    """
    losses = 2 * settings.labels if level == 0 and settings.patience else 0
    return asked * layout.total * CHANNELS + losses


def start_query(digest: str, tree: int, settings: BoostingSettings, contributors: int) -> Query:
    """The first question of a run."""
    encoding = make_encoding(settings, MAX_ROWS, contributors)
    return Query(START, encode_body({"digest": digest, "tree": tree}), start_length(settings), encoding)


def level_query(
    question: Question, settings: BoostingSettings, layout: Layout, encoding: FixedPoint
) -> Query:
    """A question of the engine; the layout is that of the iteration's columns."""
    body = encode_body(
        {"level": question.level, "tree": question.tree},
        question.splits.nodes.astype(np.uint32),
        question.splits.columns.astype(np.uint16),
        np.packbits(question.splits.left, axis=1, bitorder="little"),
        question.asked.astype(np.uint32),
        question.values,
    )
    length = level_length(settings, layout, len(question.asked), question.level)
    return Query(LEVEL, body, length, encoding)


def read_start(query: Query) -> tuple[str, int]:
    """Digest and iteration of a first question.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is none.
    """
    match decode_body(query.body):
        case {"digest": str(digest), "tree": int(tree), **rest}, () if not rest:
            return digest, int(tree)
        case _:
            raise _malformed()


def read_level(query: Query, width: int) -> Level:
    """Reads a question about a level; only its form is checked.

    Args:
        query: From the coordinator.
        width: Most codes of a column.

    Returns:
        The question.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is none.
    """
    header, arrays = decode_body(query.body)
    match header:
        case {"level": int(level), "tree": int(tree), **rest} if not rest:
            pass
        case _:
            raise _malformed()
    types = [array.dtype.str[1:] for array in arrays]
    if types != ["u4", "u2", "u1", "u4", "f8"] or {arrays[i].ndim for i in (0, 1, 3, 4)} != {1}:
        raise _malformed()
    nodes, columns, packed, asked, values = arrays
    try:
        left = unpack_codes(packed, width)
    except HanseError as error:
        raise _malformed() from error
    if not len(nodes) == len(columns) == len(left):
        raise _malformed()
    splits = Splits(nodes.astype(np.int64), columns.astype(np.int64), left)
    return Level(int(tree), int(level), splits, values, asked.astype(np.int64))


def _malformed() -> ProtocolError:
    return ProtocolError("protocol.malformed", "a question about trees has another form")
