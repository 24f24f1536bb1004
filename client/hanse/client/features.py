"""A member's data as the scorer reads them: by subject identifier, the columns of a model and no other.

A file is read once and kept in memory, because a query over a file costs more than a score: of every row the
identifier, the values of the columns asked for, and nothing else. Each call looks at the file first; one that
has changed is read again before the call is answered, so that no answer rests on an older file than the one
that was there when the call came. A file that is replaced in one step (renamed into place) is never seen half
written. A table of a database is asked at every call, in one query.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hanse.client.data import DatasetManifest, DataSource
from hanse.errors import ConfigurationError
from hanse.learning.subject_values import Found
from hanse.policies import Column

_SETTLED_S: Final = 2.0
"""A file that changed less than this before it was read may have changed again within one tick of its clock;
it is read once more."""
_KEPT_INDEXES: Final = 4
_UNKNOWN: Final = -1
_KNOWN: Final = np.ones(1, dtype=np.bool_)
_KNOWN.setflags(write=False)


class Stamp(NamedTuple):
    """How a file is recognised: a change of it changes one of these."""

    modified_ns: int
    size: int
    inode: int


class Coded(NamedTuple):
    """A column of texts: of each row, which of the words."""

    codes: npt.NDArray[np.int32]
    words: npt.NDArray[np.object_]


class Rows(NamedTuple):
    """Rows by subject.

    Attributes:
        places: Place of each subject.
        columns: Values by column, at these places.
    """

    places: dict[str, int]
    columns: dict[str, npt.NDArray[np.float64] | Coded]


class Index(NamedTuple):
    """What is kept of a file.

    Attributes:
        stamp: What the file was when it was read.
        settled: Whether a later change would have changed the stamp.
        rows: All subjects.
    """

    stamp: Stamp
    settled: bool
    rows: Rows


class FileFeatures:
    """Features from a file.

    Args:
        source: The member's data set.
        path: Its file.
    """

    def __init__(self, source: DataSource, path: Path) -> None:
        self._source = source
        self._path = path
        self._reading = asyncio.Lock()
        self._indexes: dict[tuple[str, ...], Index] = {}
        self._broken: dict[tuple[str, ...], tuple[Stamp, ConfigurationError]] = {}

    def subject_ids(self) -> list[str]:
        """The site's own identifiers of its subjects; see :meth:`DataSource.subject_ids`."""
        return self._source.subject_ids()

    async def look_up(self, columns: Sequence[Column], subject_ids: Sequence[str]) -> Found:
        """See :class:`hanse.learning.subject_values.SubjectValues.look_up`."""
        names = tuple(column.name for column in columns)
        index = self._current(names, self._stamp())
        if index is None:
            async with self._reading:  # one reading for all who wait
                stamp = self._stamp()
                index = self._current(names, stamp)
                if index is None:
                    index = await asyncio.to_thread(self._read, columns, stamp)
        return found_in(index.rows, subject_ids)

    def _current(self, names: tuple[str, ...], stamp: Stamp) -> Index | None:
        if names in self._broken:
            broken, error = self._broken[names]
            if broken == stamp:
                raise error
        index = self._indexes.get(names)
        if index is None or index.stamp != stamp or (not index.settled and _is_settled(stamp)):
            return None
        return index

    def _stamp(self) -> Stamp:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigurationError(
                "config.missing-file", f"data file {self._path} cannot be read: {error.strerror}"
            ) from error
        return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self, columns: Sequence[Column], stamp: Stamp) -> Index:
        names = tuple(column.name for column in columns)
        settled = _is_settled(stamp)
        try:
            index = Index(stamp, settled, read_rows(self._source, columns))
            self._require(stamp)
        except ConfigurationError as error:
            self._broken = {names: (stamp, error)} if settled else {}
            raise
        self._broken.pop(names, None)
        self._indexes.pop(names, None)
        while len(self._indexes) >= _KEPT_INDEXES:
            self._indexes.pop(next(iter(self._indexes)))
        self._indexes[names] = index
        return index

    def _require(self, stamp: Stamp) -> None:
        if self._stamp() != stamp:
            raise ConfigurationError("config.bad-data", f"{self._path} changed while it was read")


class TableFeatures:
    """Features from a table of a database.

    Args:
        source: The member's data set.
    """

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def subject_ids(self) -> list[str]:
        """The site's own identifiers of its subjects; see :meth:`DataSource.subject_ids`."""
        return self._source.subject_ids()

    async def look_up(self, columns: Sequence[Column], subject_ids: Sequence[str]) -> Found:
        """See :class:`hanse.learning.subject_values.SubjectValues.look_up`."""
        require_kinds(self._source.manifest, columns)
        return await asyncio.to_thread(self._look_up, columns, subject_ids)

    def _look_up(self, columns: Sequence[Column], subject_ids: Sequence[str]) -> Found:
        asked = list(dict.fromkeys(subject_ids))
        return found_in(_rows(self._source, columns, asked), subject_ids)


def make_features(manifest: DatasetManifest) -> FileFeatures | TableFeatures:
    """The features of a data set.

    Args:
        manifest: Its declaration; a relative path is relative to the working folder.

    Raises:
        ConfigurationError: ``config.invalid`` if the database is of a kind that is not installed.
    """
    source = DataSource(manifest)
    return TableFeatures(source) if manifest.path is None else FileFeatures(source, manifest.path)


def read_rows(source: DataSource, columns: Sequence[Column]) -> Rows:
    """Reads all subjects of a data set.

    Args:
        source: The data set.
        columns: Columns of the agreement; no other is read.

    Raises:
        ConfigurationError: ``config.bad-data``, ``config.missing-file``.
    """
    require_kinds(source.manifest, columns)
    return _rows(source, columns, source.subject_ids())


def require_kinds(manifest: DatasetManifest, columns: Sequence[Column]) -> None:
    """Refuses columns that this site declares otherwise than the agreement does, or not at all.

    Raises:
        ConfigurationError: ``config.bad-data``.
    """
    declared = {column.name: column.kind for column in manifest.columns}
    other = [column.name for column in columns if declared.get(column.name) != column.kind]
    if other:
        raise ConfigurationError(
            "config.bad-data",
            f"{manifest.place}: not declared as the agreement has it: {', '.join(other)}",
        )


def found_in(rows: Rows, subject_ids: Sequence[str]) -> Found:
    """The rows of subjects, in the order asked."""
    if len(subject_ids) == 1 and (place := rows.places.get(subject_ids[0])) is not None:
        # Of one numpy would take longer to begin than to look; these are views of what is kept.
        one = slice(place, place + 1)
        return Found(_KNOWN, {name: _taken(values, one) for name, values in rows.columns.items()})
    wanted = (rows.places.get(subject, _UNKNOWN) for subject in subject_ids)
    places = np.fromiter(wanted, dtype=np.int64, count=len(subject_ids))
    known = places != _UNKNOWN
    taken = _taken if known.all() else partial(_taken_if_known, known=known)
    return Found(known, {name: taken(values, places) for name, values in rows.columns.items()})


def _rows(source: DataSource, columns: Sequence[Column], subject_ids: Sequence[str]) -> Rows:
    found, values = source.look_up([column.name for column in columns], subject_ids)
    places = {subject: place for place, subject in enumerate(found)}
    return Rows(places, {column.name: _kept(column, values[column.name]) for column in columns})


def _kept(column: Column, values: npt.NDArray[Any]) -> npt.NDArray[np.float64] | Coded:
    """Numbers as they are; of texts each word once, or a column of long words would fill the memory."""
    if column.kind == "numeric":
        kept = np.array(values, dtype=np.float64)
        kept.setflags(write=False)  # parts of it are handed out
        return kept
    numbers: dict[str, int] = {}
    codes = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for word in values.tolist()),
        dtype=np.int32,
        count=len(values),
    )
    words = np.empty(len(numbers), dtype=object)
    words[:] = list(numbers)
    return Coded(codes, words)


def _taken(
    values: npt.NDArray[np.float64] | Coded, places: npt.NDArray[np.int64] | slice
) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = (
        values.words[values.codes[places]] if isinstance(values, Coded) else values[places]
    )
    return found


def _taken_if_known(
    values: npt.NDArray[np.float64] | Coded, places: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    texts = isinstance(values, Coded)
    found = np.full(len(places), "", dtype=object) if texts else np.full(len(places), np.nan)
    found[known] = _taken(values, places[known])
    return found


def _is_settled(stamp: Stamp) -> bool:
    return time.time() - stamp.modified_ns / 1e9 >= _SETTLED_S
