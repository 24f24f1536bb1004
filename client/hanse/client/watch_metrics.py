"""Early warnings as metrics for Prometheus. No identifier and no small count of people is among them.

Names carry base units: shares as ``_ratio``, times as ``_seconds``. A figure that counts fewer people than
the agreement lets be shown has no sample; its level is there all the same, because somebody must act on it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from hanse.client.watch import Watching
from hanse.policies.warning import EarlyWarning, Level, Watch

PREFIX: Final = "hanse_watch_"
_SECONDS: Final = {"days": 86_400.0, "hours": 3600.0}
_LEVELS: Final = {Level.OK: 0, Level.WARN: 1, Level.ALARM: 2}


class WatchCollector(Collector):
    """Gives the figures of a site whenever a scrape asks.

    Args:
        read: What is watched now; nothing is kept between two scrapes.
    """

    def __init__(self, read: Callable[[], Watching]) -> None:
        self._read = read

    @override
    def collect(self) -> Iterator[Metric]:
        watching = self._read()
        for watch in Watch:
            of_kind = [warning for warning in watching.warnings if warning.reading.watch is watch]
            if of_kind:
                yield _family(watch, of_kind, watching.suppress_below)
        yield _levels(watching)
        yield _limits(watching)
        yield _notices(watching)


def registry_of(read: Callable[[], Watching]) -> CollectorRegistry:
    """A registry with the figures of one site and nothing else: none of the process or the interpreter."""
    registry = CollectorRegistry()
    registry.register(WatchCollector(read))
    return registry


def metric_name(watch: Watch) -> str:
    """Name of the metric of a watched figure, with its base unit."""
    stem, _, unit = watch.value.rpartition("_")
    return f"{PREFIX}{stem}_{'seconds' if unit in _SECONDS else unit}"


def _family(watch: Watch, warnings: list[EarlyWarning], suppress_below: int) -> GaugeMetricFamily:
    words = warnings[0].watched
    family = GaugeMetricFamily(metric_name(watch), f"Time or share: {words.words}.", labels=["scope"])
    for warning in warnings:
        reading = warning.reading
        if reading.value is not None and not reading.hidden(suppress_below):
            family.add_metric([reading.scope], reading.value * _SECONDS.get(words.unit, 1.0))
    return family


def _levels(watching: Watching) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        f"{PREFIX}level", "0: ok, 1: warning, 2: alarm, or not known.", labels=["watch", "scope"]
    )
    for warning in watching.warnings:
        reading = warning.reading
        family.add_metric([metric_name(reading.watch), reading.scope], _LEVELS[warning.level])
    return family


def _limits(watching: Watching) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        f"{PREFIX}limit", "The limits, in the unit of the figure.", labels=["watch", "scope", "step"]
    )
    for warning in watching.warnings:
        reading, factor = warning.reading, _SECONDS.get(warning.watched.unit, 1.0)
        for step, value in (("warn", warning.limit.warn), ("alarm", warning.limit.alarm)):
            family.add_metric([metric_name(reading.watch), reading.scope, step], value * factor)
    return family


def _notices(watching: Watching) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        f"{PREFIX}consents", "Standing consents by version of the notice.", labels=["scope", "notice"]
    )
    for scope, counts in watching.notices.items():
        for version, count in counts.items():
            if count >= watching.suppress_below:
                family.add_metric([scope, version], count)
    return family
