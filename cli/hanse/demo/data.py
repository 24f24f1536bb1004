"""Reads the bundled data set, or one set of a folder, into arrays that follow its public dictionary.

A folder of a data set ``NAME`` holds ``NAME.csv.gz``, ``spec.json`` (``name``, ``label``, ``positive``) and
``split.csv.gz`` (``row``, ``fold``: fold 0 is the test set). The bundled set has no such split; its test set
is one fifth of the rows, drawn with a fixed seed within each class. Nothing here is secret: whoever runs the
demo has the whole file. Only what is written for the members afterwards is divided.
"""

import csv
import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.demo.dictionaries import BUNDLED, DataDictionary, dictionary_of
from hanse.errors import ConfigurationError
from hanse.policies import Column

TEST_SHARE: Final = 0.2
"""Share of the rows of the bundled set that the demo keeps aside."""

# Fixed so that two runs of the demo are judged on the same rows. It protects nothing.
_TEST_SEED = 2014
_MAX_FILE_BYTES = 1 << 28

Table: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with their labels.

    Attributes:
        columns: Array of every column, ``(rows,)``: numeric as float64 with NaN where not known, categorical
            as object with None where not known.
        labels: Whether a row is positive, bool ``(rows,)``.
    """

    columns: Mapping[str, NDArray[np.generic]]
    labels: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """The rows at ``index``, a mask or positions."""
        chosen = {name: values[index] for name, values in self.columns.items()}
        return type(self)(MappingProxyType(chosen), self.labels[index])

    @classmethod
    def concatenate(cls, *parts: Self) -> Self:
        """All rows of ``parts``, which have the same columns, in order."""
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        return cls(MappingProxyType(columns), np.concatenate([part.labels for part in parts]))


@dataclass(frozen=True, slots=True)
class DemoData:
    """One data set in one place.

    Attributes:
        dictionary: What is public about it.
        rows: Its rows.
        groups: Value of the natural key of every row, object ``(rows,)``.
        test: Which rows the demo keeps aside, bool ``(rows,)``.
    """

    dictionary: DataDictionary
    rows: Rows
    groups: NDArray[np.object_]
    test: NDArray[np.bool_]


def load(source: Path | None = None) -> DemoData:
    """Load the bundled set, or that of the folder ``source``.

    Raises:
        ConfigurationError: ``config.missing-file`` when a file is missing; ``config.bad-data`` when the set
            is not known, or is not as its dictionary says.
    """
    if source is None:
        table = _parse(files("hanse.demo").joinpath("bundled", "bank.csv.gz").read_bytes(), "bank.csv.gz")
        rows, groups = _rows(table, BUNDLED)
        return DemoData(BUNDLED, rows, groups, _drawn_test_rows(rows.labels))
    dictionary = _specified(source / "spec.json")
    name = f"{dictionary.name}.csv.gz"
    rows, groups = _rows(_parse(_read(source / name), name), dictionary)
    return DemoData(dictionary, rows, groups, _split_test_rows(source / "split.csv.gz", rows.labels))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error


def _bad(detail: str) -> ConfigurationError:
    return ConfigurationError("config.bad-data", detail)


def _parse(data: bytes, name: str) -> Table:
    """Columns of a gzipped CSV file with a header, as texts."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(_MAX_FILE_BYTES + 1)
        if len(text) > _MAX_FILE_BYTES:
            raise _bad(f"{name} is larger than {_MAX_FILE_BYTES} bytes")
        header, *records = csv.reader(io.StringIO(text.decode(), newline=""), strict=True)
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise _bad(f"{name} is no gzipped CSV file in UTF-8: {error}") from error
    for line, record in enumerate(records, start=2):
        if len(record) != len(header):
            raise _bad(f"record {line} of {name} has {len(record)} fields instead of {len(header)}")
    if not records or len(set(header)) != len(header):
        raise _bad(f"{name} has no rows, or a column twice")
    return {column: list(values) for column, values in zip(header, zip(*records, strict=True), strict=True)}


def _specified(path: Path) -> DataDictionary:
    """The dictionary that a ``spec.json`` asks for."""
    try:
        spec = json.loads(_read(path))
        name, label, positive = str(spec["name"]), spec["label"], spec["positive"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _bad(f"{path} does not say name, label and positive value") from error
    dictionary = dictionary_of(name)
    if (label, positive) != (dictionary.label, dictionary.positive):
        raise _bad(
            f"{path} predicts {label} = {positive}, the dictionary {dictionary.label} = {dictionary.positive}"
        )
    return dictionary


def _rows(table: Table, dictionary: DataDictionary) -> tuple[Rows, NDArray[np.object_]]:
    """Rows and natural key of a table, after its columns and labels were compared with the dictionary."""
    if unknown := sorted(set(table) - dictionary.file_columns):
        raise _bad(f"columns that the dictionary of {dictionary.name} does not know: {', '.join(unknown)}")
    if absent := sorted(dictionary.file_columns - set(table)):
        raise _bad(f"columns of the dictionary of {dictionary.name} that are not there: {', '.join(absent)}")
    labels = table[dictionary.label]
    if set(labels) != {dictionary.positive, dictionary.negative}:
        raise _bad(f"{dictionary.label} must be {dictionary.positive} or {dictionary.negative}, and be both")
    columns = {
        column.name: _values(column, table[column.name], dictionary.missing) for column in dictionary.columns
    }
    key = [
        " / ".join(values) for values in zip(*(table[name] for name in dictionary.natural_key), strict=True)
    ]
    positive = np.array([label == dictionary.positive for label in labels])
    return Rows(MappingProxyType(columns), positive), np.array(key, dtype=object)


def _values(column: Column, texts: list[str], missing: frozenset[str]) -> NDArray[np.generic]:
    known = [None if not text.strip() or text in missing else text for text in texts]
    if column.kind == "categorical":
        return np.array(known, dtype=object)
    try:
        values = np.array([np.nan if text is None else float(text) for text in known], dtype=np.float64)
    except ValueError as error:
        raise _bad(f"column {column.name} has a value that is no number") from error
    if np.isinf(values).any():
        raise _bad(f"column {column.name} has an infinite value")
    return values


def _drawn_test_rows(labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One fifth of each class."""
    rng = np.random.default_rng(_TEST_SEED)
    test = np.zeros(len(labels), dtype=np.bool_)
    for value in (False, True):
        members = rng.permutation(np.flatnonzero(labels == value))
        test[members[: round(TEST_SHARE * len(members))]] = True
    return test


def _split_test_rows(path: Path, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fold 0 of a ``split.csv.gz``."""
    split = _parse(_read(path), path.name)
    n_rows = len(labels)
    if split.get("row") != [str(row) for row in range(n_rows)] or "fold" not in split:
        raise _bad(f"{path} does not give the fold of each of the {n_rows} rows in order")
    test = np.array([fold == "0" for fold in split["fold"]])
    if test.all() or len(set(labels[test].tolist())) != len((True, False)):
        raise _bad(f"{path} must put rows of both classes, but not all rows, in fold 0")
    return test
