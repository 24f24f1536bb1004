"""Figures of a scorer for Prometheus: no identifier, no value, and no text that a caller chose.

The counts of subjects begin at the agreement's ``cohort.suppress_below``; before that there is no sample.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from hanse.server.scoring.figures import Figures, Histogram

PREFIX: Final = "hanse_scorer_"

_Labels = TypeVar("_Labels", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True)
class State:
    """What is so now.

    Attributes:
        ready: Whether calls are taken.
        in_flight: Calls that run.
        models: The versions that may answer: name, version and digest of each.
        consent_age_s: Seconds since the consents were last known to be current; None if they never were.
        suppress_below: Fewest subjects that a figure may count.
    """

    ready: bool
    in_flight: int
    models: Sequence[tuple[str, str, str]]
    consent_age_s: float | None
    suppress_below: int


class ScorerCollector(Collector):
    """Reads the figures whenever a scrape asks.

    Args:
        figures: What has happened.
        state: What is so now.
        quota_left: Subjects that may still be asked about today, by agreement and caller.
    """

    def __init__(
        self,
        figures: Figures,
        state: Callable[[], State],
        quota_left: Callable[[], Mapping[tuple[str, str], int]],
    ) -> None:
        self._figures = figures
        self._state = state
        self._quota_left = quota_left

    @override
    def collect(self) -> Iterator[Metric]:
        state = self._state()
        yield _gauge("ready", "Whether calls are taken.", float(state.ready))
        yield _gauge("calls_in_flight", "Calls that run.", state.in_flight)
        if state.consent_age_s is not None:
            text = "Time since the consents were last known to be current."
            yield _gauge("consent_age_seconds", text, state.consent_age_s)
        text = "Subjects that may still be asked about today."
        quota = GaugeMetricFamily(f"{PREFIX}quota_left_rows", text, labels=["agreement", "caller"])
        for account, left in self._quota_left().items():
            quota.add_metric(account, left)
        yield quota
        models = InfoMetricFamily(f"{PREFIX}model", "Versions that may answer.", labels=["name", "version"])
        for name, version, digest in state.models:
            models.add_metric([name, version], {"digest": digest})
        yield models
        yield from self._counted(state.suppress_below)

    def _counted(self, suppress_below: int) -> Iterator[Metric]:
        figures = self._figures
        yield _counter("calls", "Calls.", ("method", "code"), figures.calls.copy())
        yield _counter("refused_calls", "Refused calls.", ("code", "rule"), figures.refusals.copy())
        for name, text, label, counts in (
            ("rows", "Subjects asked about.", "caller", figures.rows),
            ("denied_rows", "Subjects denied.", "rule", figures.denied),
        ):
            shown = {(key,): count for key, count in counts.copy().items() if count >= suppress_below}
            yield _counter(name, text, (label,), shown)
        text = "Time until a call was answered, without sending the answer."
        seconds = HistogramMetricFamily(f"{PREFIX}call_seconds", text, labels=["method"])
        for method, histogram in figures.seconds.copy().items():
            seconds.add_metric([method], *_buckets(histogram))
        yield seconds
        commits = HistogramMetricFamily(f"{PREFIX}log_commit_seconds", "Time of a commit of the log.")
        commits.add_metric([], *_buckets(figures.commits))
        yield commits


def registry_of(
    figures: Figures,
    state: Callable[[], State],
    quota_left: Callable[[], Mapping[tuple[str, str], int]],
) -> CollectorRegistry:
    """A registry with the figures of one scorer and nothing else; as for :class:`ScorerCollector`."""
    # Nobody asks for the figures' names before a scrape; registering them would ask for the figures.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ScorerCollector(figures, state, quota_left))
    return registry


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=value)


def _counter(
    name: str, text: str, labels: Sequence[str], counts: Mapping[_Labels, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{PREFIX}{name}", text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Counts up to each bound, as the format has them, and the sum."""
    counts, total = list(histogram.counts), histogram.total
    names = [str(bound) for bound in histogram.bounds] + ["+Inf"]
    return [(name, sum(counts[: place + 1])) for place, name in enumerate(names)], total
