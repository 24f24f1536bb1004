"""Figures of a scorer, counted in plain numbers while it works.

A call costs a few additions; names, labels and text are made when somebody asks
(:mod:`hanse.server.scoring.metrics`). Every key is of a bounded set: methods that are served, codes of the
catalogue, rules, and callers that the site has pinned.
"""

from bisect import bisect_left
from collections import Counter
from typing import Final

from typing_extensions import override

from hanse.server.scoring.noted import Metadata, Noted, Watcher

CALL_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
COMMIT_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
NOBODY: Final = ""
"""Stands for a caller that is not known, and for no rule."""


class Histogram:
    """How often a time was within which bound.

    Args:
        bounds: Upper bounds, seconds, ascending; times beyond the last are counted as well.

    Attributes:
        counts: How many times were within each bound and beyond the one before.
        total: Their sum, seconds.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Counts a time."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Figures(Watcher):
    """What has happened since the scorer started.

    Attributes:
        calls: Calls by method and code; ``ok`` where there was no error.
        refusals: Refused calls by code and rule.
        rows: Subjects by caller: asked about.
        denied: Subjects by rule that denied them.
        seconds: How long calls took, by method.
        commits: How long commits of the log took.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.commits = Histogram(COMMIT_BOUNDS_S)

    @override
    def begin(self, noted: Noted, metadata: Metadata) -> None:
        """Nothing is counted before a call has ended."""

    @override
    def end(self, noted: Noted) -> None:
        """Counts a call."""
        self.calls[noted.method, noted.code] += 1
        histogram = self.seconds.get(noted.method)
        if histogram is None:
            histogram = self.seconds[noted.method] = Histogram(CALL_BOUNDS_S)
        histogram.add(noted.seconds)
        if noted.rows:
            self.rows[noted.caller or NOBODY] += noted.rows
        if noted.denied:
            self.denied.update(noted.denied)
        if noted.code != "ok":
            self.refusals[noted.code, noted.rule or NOBODY] += 1

    def committed(self, seconds: float) -> None:
        """Counts a commit of the log.

        Args:
            seconds: How long it took.
        """
        self.commits.add(seconds)
