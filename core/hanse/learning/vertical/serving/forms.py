"""What a feature holder says of a person: a row of bytes, whose form the agreement names.

Whatever comes by the wire is held against its form before anything is made of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, unpack
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ProtocolError
from hanse.learning.vertical.own_model import LARGEST_LOGIT
from hanse.learning.vertical.scorecard.card import MAX_POINTS

Rows = NDArray[np.uint8]
"""What is said of people, shape (people, :attr:`Form.width`)."""


_NUMBER_BYTES: Final = 8
_SINGLE_BYTES: Final = 4
_LOGIT: Final = Struct("<d")
_POINTS: Final = Struct("<q")


class Form(Protocol):
    """The form of what one feature holder says."""

    name: ClassVar[str]
    """As an agreement names it (:class:`hanse.policies.Answers`)."""

    @property
    def width(self) -> int:
        """Bytes that are said of a person."""
        ...

    def require(self, rows: Rows) -> None:
        """Refuses what is not of this form.

        Args:
            rows: Shape (people, :attr:`width`).

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sides:
    """On which side of each cut a person is: bits, the lowest first, 1 for left.

    Attributes:
        cuts: How many.
    """

    name: ClassVar[str] = "sides"
    cuts: int

    @property
    def width(self) -> int:
        """See :class:`Form`."""
        return -(-self.cuts // 8)

    def require(self, rows: Rows) -> None:
        """See :class:`Form`."""
        if not self.cuts % 8:
            return
        last = rows[:, -1]
        # Of one person numpy would take longer to begin than to look.
        highest = last.item() if len(rows) == 1 else last.max(initial=0)
        if highest >> (self.cuts % 8):
            raise ProtocolError("protocol.malformed", "sides of more cuts than there are")


@dataclass(frozen=True, slots=True)
class LogOdds:
    """The log-odds of a feature holder's own model, a double, within ``LARGEST_LOGIT`` of zero."""

    name: ClassVar[str] = "log_odds"

    @property
    def width(self) -> int:
        """See :class:`Form`."""
        return _NUMBER_BYTES

    def require(self, rows: Rows) -> None:
        """See :class:`Form`."""
        good = (
            abs(self.read_one(rows)) <= LARGEST_LOGIT  # NaN is not either
            if len(rows) == 1
            else (np.abs(self.read(rows)) <= LARGEST_LOGIT).all()
        )
        if not good:
            raise ProtocolError("protocol.malformed", "log-odds that no model of own columns gives")

    @staticmethod
    def write(logits: NDArray[np.float64]) -> Rows:
        """What is said of people, from their log-odds, shape (people,)."""
        return _bytes_of(logits, "<f8")

    @staticmethod
    def read(rows: Rows) -> NDArray[np.float64]:
        """The inverse of :meth:`write`."""
        return _numbers_of(rows, "<f8").astype(np.float64)

    @staticmethod
    def write_one(logit: float) -> Rows:
        """As :meth:`write`, of one person."""
        return _bytes_of_one(logit, _LOGIT)

    @staticmethod
    def read_one(rows: Rows) -> float:
        """The inverse of :meth:`write_one`."""
        logit: float = _LOGIT.unpack(rows.tobytes())[0]
        return logit


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a person on a feature holder's half of a card, a whole number."""

    name: ClassVar[str] = "points"

    @property
    def width(self) -> int:
        """See :class:`Form`."""
        return _NUMBER_BYTES

    def require(self, rows: Rows) -> None:
        """See :class:`Form`."""
        if len(rows) == 1:
            good = -MAX_POINTS <= self.read_one(rows) <= MAX_POINTS
        else:
            points = self.read(rows)
            good = bool(((points >= -MAX_POINTS) & (points <= MAX_POINTS)).all())
        if not good:
            raise ProtocolError("protocol.malformed", "points that no card gives")

    @staticmethod
    def write(points: NDArray[np.int64]) -> Rows:
        """What is said of people, from their points, shape (people,)."""
        return _bytes_of(points, "<i8")

    @staticmethod
    def read(rows: Rows) -> NDArray[np.int64]:
        """The inverse of :meth:`write`."""
        return _numbers_of(rows, "<i8").astype(np.int64)

    @staticmethod
    def write_one(points: int) -> Rows:
        """As :meth:`write`, of one person."""
        return _bytes_of_one(points, _POINTS)

    @staticmethod
    def read_one(rows: Rows) -> int:
        """The inverse of :meth:`write_one`."""
        points: int = _POINTS.unpack(rows.tobytes())[0]
        return points


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a feature holder's bottom makes of a person: single-precision numbers between -1 and 1.

    Attributes:
        numbers: How many.
    """

    name: ClassVar[str] = "embeddings"
    numbers: int

    @property
    def width(self) -> int:
        """See :class:`Form`."""
        return _SINGLE_BYTES * self.numbers

    def require(self, rows: Rows) -> None:
        """See :class:`Form`."""
        if len(rows) == 1:
            good = all(-1 <= number <= 1 for number in unpack(f"<{self.numbers}f", rows.tobytes()))
        else:
            good = bool((np.abs(self.read(rows)) <= 1).all())  # NaN is not either
        if not good:
            raise ProtocolError("protocol.malformed", "numbers that no bottom of a network makes")

    def write(self, embedded: NDArray[np.float32]) -> Rows:
        """What is said of people, from their embeddings, shape (people, numbers)."""
        wire = np.ascontiguousarray(embedded.astype("<f4"))
        return wire.view(np.uint8).reshape(len(embedded), self.width)

    def read(self, rows: Rows) -> NDArray[np.float32]:
        """The inverse of :meth:`write`."""
        numbers = np.ascontiguousarray(rows).view("<f4")
        return numbers.reshape(len(rows), self.numbers).astype(np.float32)


def rows_of(said: Sequence[bytes], form: Form) -> Rows:
    """What is said of people, each as bytes of the form's width."""
    return np.frombuffer(b"".join(said), np.uint8).reshape(len(said), form.width)


def _bytes_of_one(number: float, kind: Struct) -> Rows:
    return np.frombuffer(kind.pack(number), np.uint8).reshape(1, _NUMBER_BYTES)


def _bytes_of(numbers: NDArray[Any], kind: str) -> Rows:
    wire = np.ascontiguousarray(numbers.astype(kind))
    return wire.view(np.uint8).reshape(len(numbers), _NUMBER_BYTES)


def _numbers_of(rows: Rows, kind: str) -> NDArray[Any]:
    return np.ascontiguousarray(rows).view(kind)[:, 0]
