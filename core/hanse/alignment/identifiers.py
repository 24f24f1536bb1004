"""A member's identifiers: read strictly, normalised, hashed, and committed to.

What enters the protocol is a hash of 32 bytes for each identifier, which never leaves the process; the
identifiers themselves are not kept. Messages name the file, the column and rows, and never a value.
"""

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.policies.agreement.alignment import AlignmentRules, IdentifierRule
from hanse.policies.identifiers import normalise

HASH_BYTES: Final = 32
_SALT_BYTES: Final = 32
_SHOWN_ROWS: Final = 3
_FRACTION: Final = (
    "a number with a fraction (a column of whole numbers becomes one when values are missing); "
    "store the column as text or whole numbers"
)

Hashes = NDArray[np.uint8]
"""So many rows of 32 bytes."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of identifiers.

    Attributes:
        name: As in the member's file.
        values: One for each row: text, whole numbers, UTF-8 bytes, or None for none. All of one type.
    """

    name: str
    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a column's values, for the member's own eyes.

    Attributes:
        usable: Rows that take part in the pass of this kind.
        missing: Rows without a value.
        malformed: Rows whose value has not the form of its kind.
        duplicated: Rows that share their identifier with another row.
    """

    usable: int
    missing: int
    malformed: int
    duplicated: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A member's input to an alignment.

    Attributes:
        kinds: For each kind of the agreement, in its order: hashes, and the row of each.
        rows: Rows of the table.
        counts: By kind.
        commitment: To all hashes, 32 bytes, for the log: it tells nothing, and fits no other set.
        salt: What opens the commitment, with the identifiers; the member's own.
    """

    kinds: tuple[tuple[Hashes, NDArray[np.int64]], ...]
    rows: int
    counts: Mapping[str, Counts]
    commitment: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class _Source:
    """Where identifiers come from, for messages."""

    name: str
    row: Callable[[int], int]

    def rows(self, places: Sequence[int]) -> str:
        """The first few of some rows, in words."""
        shown = ", ".join(str(self.row(place)) for place in places[:_SHOWN_ROWS])
        more = f" and {len(places) - _SHOWN_ROWS} more" if len(places) > _SHOWN_ROWS else ""
        return f"row {shown}" if len(places) == 1 else f"rows {shown}{more}"


def prepare(
    columns: Mapping[str, Column],
    rules: AlignmentRules,
    source: str,
    entropy: Callable[[int], bytes],
    row: Callable[[int], int] = lambda place: place + 1,
) -> Prepared:
    """Reads a member's identifiers: those of consenting people only, which is for the caller to see to.

    Args:
        columns: By kind of the agreement; all of one length.
        rules: The agreement's.
        source: Name of the file or table, for messages.
        entropy: Gives so many random bytes.
        row: The row of the file that is at a place of the columns, for messages; by default counted from 1.

    Returns:
        What :func:`hanse.alignment.taking_part.take_part` takes; its commitment belongs into the log first.

    Raises:
        ConfigurationError: ``alignment.identifiers`` if a column is missing, empty, of mixed or wrong type,
            not UTF-8, or holds malformed or repeated values and the agreement says to refuse them.
    """
    if missing := [rule.kind for rule in rules.identifiers if rule.kind not in columns]:
        has = ", ".join(sorted(columns)) or "none"
        raise _refusal(source, f"no column for the identifier {missing[0]} (kinds with a column: {has})")
    lengths = {len(columns[rule.kind].values) for rule in rules.identifiers}
    if len(lengths) > 1:
        raise _refusal(source, "the columns of identifiers have different lengths")
    if lengths == {0}:
        raise _refusal(source, "there are no rows: the file is empty, or nobody in it may be used")
    named = _Source(source, row)
    read = [_read(columns[rule.kind], rule, rules, named) for rule in rules.identifiers]
    salt = entropy(_SALT_BYTES)
    kinds = tuple(kind for kind, _ in read)
    counts = {rule.kind: counted for rule, (_, counted) in zip(rules.identifiers, read, strict=True)}
    return Prepared(kinds, lengths.pop(), counts, commit(kinds, salt), salt)


def commit(kinds: Sequence[tuple[Hashes, NDArray[np.int64]]], salt: bytes) -> bytes:
    """SHA-256 over a label, the salt, and for each kind the number of hashes and the hashes, sorted.

    The order of rows is not in it, so whoever opens it needs the identifiers and the salt only.
    """
    state = hashlib.sha256(b"hanse alignment v1 input\0" + salt)
    for hashes, _ in kinds:
        state.update(len(hashes).to_bytes(8, "big"))
        state.update(np.sort(as_keys(hashes)).tobytes())
    return state.digest()


def as_keys(hashes: Hashes) -> NDArray[np.bytes_]:
    """Each row as one sortable value."""
    # numpy drops zero bytes at the end when it compares; rows of one length are equal all the same.
    return np.ascontiguousarray(hashes).view(f"S{hashes.shape[1]}").reshape(-1)


def _read(
    column: Column, rule: IdentifierRule, rules: AlignmentRules, source: _Source
) -> tuple[tuple[Hashes, NDArray[np.int64]], Counts]:
    where = f"{source.name}, column {column.name}"
    hashed, rows, malformed = _hashes(column.values, rule, source, where)
    if malformed and rules.malformed == "refuse":
        raise _refusal(where, f"{source.rows(malformed)}: not of the form {rule.normalisation}")
    hashes = np.frombuffer(hashed, np.uint8).reshape(-1, HASH_BYTES)
    once, repeated = _once(hashes)
    if len(repeated) and rules.duplicates == "refuse":
        numbers = [rows[at] for at in repeated]
        raise _refusal(where, f"{source.rows(numbers)}: an identifier that stands at more than one row")
    if not len(once):
        raise _refusal(where, f"no row has an identifier {rule.kind} that can be used")
    counts = Counts(len(once), len(column.values) - len(rows) - len(malformed), len(malformed), len(repeated))
    return (hashes[once], np.asarray(rows, np.int64)[once]), counts


def _hashes(
    values: Sequence[object], rule: IdentifierRule, source: _Source, where: str
) -> tuple[bytearray, "array[int]", list[int]]:
    """Hash and row of each identifier, and the rows of what is none."""
    start = hashlib.sha256(b"hanse identifier v1\0" + rule.kind.encode() + b"\0")
    hashed, rows = bytearray(), array("q")
    malformed = []
    fractions = True
    for row, text in _texts(values, source, where):
        fractions = fractions and text.endswith(".0") and text[:-2].isdecimal()
        form = normalise(rule, text)
        if form is None:
            malformed.append(row)
        elif form:
            state = start.copy()
            state.update(form.encode())
            hashed += state.digest()
            rows.append(row)
    if fractions and (rows or malformed):
        raise _refusal(where, f"each value ends in .0: {_FRACTION}")
    return hashed, rows, malformed


def _once(hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of hashes that occur once, and of the others, ascending."""
    keys = as_keys(hashes)
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    repeated = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    if not len(order):
        repeated = repeated[:0]
    return np.sort(order[~repeated]), np.sort(order[repeated])


def _texts(values: Sequence[object], source: _Source, where: str) -> Iterator[tuple[int, str]]:
    """Row and text of each value that is there; the first one says what type all have."""
    first: str | None = None
    for row, value in enumerate(values):
        plain: Any = value.item() if isinstance(value, np.generic) else value
        if plain is None or (isinstance(plain, float) and math.isnan(plain)):
            continue
        try:
            kind, text = _text(plain)
        except _UnusableError as error:
            raise _refusal(f"{where}, row {source.row(row)}", str(error)) from error
        first = first or kind
        if kind != first:
            raise _refusal(
                f"{where}, row {source.row(row)}",
                f"{kind}, but the rows before hold {first}; store the column as text",
            )
        yield row, text


class _UnusableError(Exception):
    """A value is none that an identifier can be."""


def _text(value: object) -> tuple[str, str]:
    """What type a value is of, and its text."""
    match value:
        case bool():
            pass
        case str():
            plain = value.isascii()  # most are, and need no closer look
            return "text", value if plain else _utf8(value.encode(errors="surrogateescape"))
        case bytes():
            return "text", _utf8(value)
        case int():
            return "whole numbers", str(value)
        case float():
            raise _UnusableError(_FRACTION)
    raise _UnusableError("a value that is neither text nor a whole number")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _UnusableError("the bytes are not UTF-8; save the file in UTF-8") from error


def _refusal(where: str, what: str) -> ConfigurationError:
    return ConfigurationError("alignment.identifiers", f"{where}: {what}")
