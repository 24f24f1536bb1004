"""Looks for a member's own people in what leaves its site, or is kept as evidence: logs, exports, metrics.

What to look for comes from the data set itself: identifiers, their pseudonyms, and the values of any other
column that is named, declared for collaborations or not. Where to look is the site's own log, entry by entry,
and any file or folder; archives are looked into.
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from hanse.audit import LogReader
from hanse.audit.canaries import Canary, Scanner, Sighting
from hanse.client.data import DataSource
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.crypto import read_secret
from hanse.errors import ConfigurationError, HanseError
from hanse.policies import Pseudonymiser

SAMPLE: Final = 1000
_SQLITE: Final = b"SQLite format 3\0"


class Found(NamedTuple):
    """A canary in a place.

    Attributes:
        place: File, archive member or entry.
        sighting: What was found there.
    """

    place: str
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Search:
    """What was looked for and where.

    Attributes:
        found: All sightings.
        values: How many values were looked for.
        too_short: How many were not, because they are too short to tell from chance.
        places: How many files, archive members and entries were searched.
        size_bytes: How many bytes.
    """

    found: tuple[Found, ...]
    values: int
    too_short: int
    places: int
    size_bytes: int


def own_canaries(
    home: MemberHome, columns: Sequence[str], sample: int, rng: np.random.Generator
) -> list[Canary]:
    """Identifiers, pseudonyms and further columns of people in the site's data set.

    Args:
        home: The member's folder.
        columns: Names of further columns.
        sample: How many people, drawn by chance; 0 for all.
        rng: Draws them.

    Raises:
        ConfigurationError: The data set is not as declared, or has no such column.
    """
    source = DataSource(NodeSettings.load(home.root).dataset)
    ids = source.subject_ids()
    ref = Pseudonymiser(read_secret(home.pseudonym_key)).ref
    drawn = _drawn(len(ids), sample, rng) if 0 < sample < len(ids) else list(range(len(ids)))
    found = [Canary("identifier", row + 1, ids[row]) for row in drawn]
    found += [Canary("pseudonym", row + 1, ref(ids[row])) for row in drawn]
    for column in columns:
        texts = _texts(source, column)
        found += [Canary(column, row + 1, text) for row in drawn if (text := texts[row])]
    return found


def _texts(source: DataSource, column: str) -> list[str | None]:
    try:
        return source.texts(column)
    except ConfigurationError as error:
        raise ConfigurationError("config.bad-data", f"column {column}: {error.detail}") from error


def _drawn(rows: int, sample: int, rng: np.random.Generator) -> list[int]:
    places: list[int] = np.sort(rng.choice(rows, size=sample, replace=False)).tolist()
    return places


def listed_canaries(path: Path) -> list[Canary]:
    """Values of a text file, one per line.

    Raises:
        ConfigurationError: ``config.bad-data`` if it is not UTF-8 text or cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("config.bad-data", f"{path} cannot be read as UTF-8 text") from error
    return [Canary(path.name, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def search(places: Iterator[tuple[str, bytes]], canaries: Sequence[Canary]) -> Search:
    """Looks for canaries in places.

    Args:
        places: Names and bytes, see :func:`places_of`.
        canaries: What to look for.
    """
    scanner = Scanner(canaries)
    found: list[Found] = []
    count = size_bytes = 0
    for place, data in places:
        count += 1
        size_bytes += len(data)
        found += (Found(place, sighting) for sighting in scanner.scan(data))
    return Search(tuple(found), scanner.looked_for, scanner.too_short, count, size_bytes)


def places_of(path: Path | str) -> Iterator[tuple[str, bytes]]:
    """Everything to be searched in a file or folder: logs by entry, archives by member, all else as it is.

    Args:
        path: File or folder, or the URL of a database with a log.

    Yields:
        Names and bytes.

    Raises:
        ConfigurationError: ``config.bad-data`` if something cannot be read; it must not pass as searched.
    """
    if isinstance(path, str):
        with LogReader.open(path) as reader:
            yield from _entries("the log in its database", reader)
        return
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            yield from _of_file(file)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        detail = f"{path} cannot be read: {type(error).__name__}"
        raise ConfigurationError("config.bad-data", detail) from error


def _of_file(file: Path) -> Iterator[tuple[str, bytes]]:
    data = file.read_bytes()
    yield str(file), data
    if data.startswith(_SQLITE):
        yield from _of_log(file)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                yield f"{file}: {name}", archive.read(name)
    elif data.startswith(b"\x1f\x8b"):
        yield f"{file}, unpacked", gzip.decompress(data)


def _of_log(file: Path) -> Iterator[tuple[str, bytes]]:
    """The entries and the newest checkpoint of a log: in the file itself, long ones lie in pieces."""
    try:
        reader = LogReader.open(file)
    except HanseError:
        return  # a database that is no log; its bytes were searched as they are
    with reader:
        yield from _entries(str(file), reader)


def _entries(name: str, reader: LogReader) -> Iterator[tuple[str, bytes]]:
    for index, leaf in enumerate(reader.leaves(0, reader.size)):
        yield f"{name}: entry {index}", leaf
    yield f"{name}: checkpoint", reader.note
