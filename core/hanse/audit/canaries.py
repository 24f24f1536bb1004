"""Looks for values that must not be there: in exact bytes, in every common spelling.

A canary is a value that is known to be in the data: an identifier, an e-mail address, a pseudonym. If it, or
a spelling of it, is found in a log, somebody put it there. :mod:`hanse.audit.spellings` has the spellings
that are known. A log that passes is not proven to hold no personal data: only these values, in these
spellings, were looked for, and what a log is meant to hold (times, sizes, counts) says something as well.

Nothing here ever shows a value: a sighting names the canary by its place in the list that it came from.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hanse.audit.spellings import MIN_BYTES, Spelling, View, counts, spellings

_BETWEEN_DIGITS: Final = re.compile(rb"(?<=[0-9])[ /()\-]+(?=[0-9])")
_DOTTED: Final = re.compile(rb"(?<![0-9.])[0-9]+(?:\.[0-9]+){2,}(?![0-9.])")


class Canary(NamedTuple):
    """A value to look for.

    Attributes:
        kind: What it is, for people: ``identifier``, ``pseudonym``, the name of a column.
        number: Which one of its kind, from 1.
        value: The value itself.
    """

    kind: str
    number: int
    value: str


class Sighting(NamedTuple):
    """A canary that was found.

    Attributes:
        kind: Its kind.
        number: Its number.
        spelling: Name of the spelling that was found.
        line: Line of the searched bytes, from 1.
    """

    kind: str
    number: int
    spelling: str
    line: int


class Scanner:
    """Looks for any number of canaries at once; its speed hardly depends on how many there are.

    Args:
        canaries: What to look for. Every spelling of every value is kept in memory, some 6 kB per value.

    Attributes:
        looked_for: How many values are looked for.
        too_short: How many values are not, because they are too short.
    """

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self.looked_for = 0
        self.too_short = 0
        self._patterns: dict[View, dict[bytes, tuple[Canary, Spelling]]] = {
            "folded": {},
            "exact": {},
            "digits": {},
        }
        # By the last bytes of patterns, which differ more than the first: how long such patterns are.
        self._lengths: dict[View, dict[bytes, set[int]]] = {"folded": {}, "exact": {}, "digits": {}}
        for canary in canaries:
            self._add(canary)

    def scan(self, data: bytes) -> Iterator[Sighting]:
        """Looks for all canaries in some bytes.

        Args:
            data: Any bytes.

        Yields:
            Every canary once per spelling and line.
        """
        views: tuple[tuple[View, bytes], ...] = (
            ("folded", data.lower()),  # ASCII letters only, so that places stay the same
            ("exact", data),
            ("digits", _joined(data)),
        )
        for view, searched in views:
            yield from dict.fromkeys(self._search(view, searched))

    def _add(self, canary: Canary) -> None:
        known = spellings(canary.value)
        self.looked_for += bool(known)
        self.too_short += not known
        for spelling in known:
            if spelling.data not in self._patterns[spelling.view]:
                self._patterns[spelling.view][spelling.data] = (canary, spelling)
                end = spelling.data[-MIN_BYTES:]
                self._lengths[spelling.view].setdefault(end, set()).add(len(spelling.data))

    def _search(self, view: View, data: bytes) -> Iterator[Sighting]:
        """Every pattern of one view: at each place, the last bytes are looked up, then the whole pattern."""
        ends, patterns = self._lengths[view], self._patterns[view]
        if not ends:
            return
        newlines: list[int] | None = None
        for start in range(len(data) - MIN_BYTES + 1):
            lengths = ends.get(data[start : start + MIN_BYTES])
            if lengths is None:
                continue
            end = start + MIN_BYTES
            for length in lengths:
                found = patterns.get(data[end - length : end]) if length <= end else None
                if found is None or not counts(data, end - length, end, found[1].place):
                    continue
                if newlines is None:
                    newlines = [match.start() for match in re.finditer(b"\n", data)]
                line = bisect_left(newlines, end - length) + 1
                yield Sighting(found[0].kind, found[0].number, found[1].name, line)


def _joined(data: bytes) -> bytes:
    """The bytes without separators between digits, and without the dots of numbers with several."""
    undotted = _DOTTED.sub(lambda match: match[0].replace(b".", b""), data)
    return _BETWEEN_DIGITS.sub(b"", undotted)
