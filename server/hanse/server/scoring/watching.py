"""Puts together who is told of calls: figures, spans and lines of the log."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from hanse.server.scoring.checks import Checks
from hanse.server.scoring.figures import Figures
from hanse.server.scoring.limits import Limits
from hanse.server.scoring.models.table import VersionTable
from hanse.server.scoring.noted import Metadata, Noted, Watcher
from hanse.server.scoring.operation import Operation
from hanse.server.scoring.scorer import Site
from hanse.server.scoring.served import ModelTable, Served

if TYPE_CHECKING:
    from hanse.server.scoring.metrics import State

SCRAPE_S: Final = 2.0
"""How long the loop may take to say what is so now."""

_log = logging.getLogger(__name__)


class Lines(Watcher):
    """Logs every call, for whoever asks for the level DEBUG."""

    @override
    def begin(self, noted: Noted, metadata: Metadata) -> None:
        """Nothing is said before a call has ended."""

    @override
    def end(self, noted: Noted) -> None:
        """Says how a call ended."""
        _log.debug("call ended: %s", noted.code, extra={"call": noted})


@contextmanager
def watching(operation: Operation, site: Site, checks: Checks) -> Iterator[Limits]:
    """Bounds calls and tells of them, as the operator wants it.

    Args:
        operation: What the operator wants.
        site: The site.
        checks: Says whether calls are taken.

    Yields:
        The limits, an interceptor for the server.

    Raises:
        ConfigurationError: ``config.invalid`` if figures or spans cannot be given where they are asked for.
    """
    figures = Figures()
    watchers: list[Watcher] = []
    if _log.isEnabledFor(logging.DEBUG):
        watchers.append(Lines())
    with ExitStack() as stack:
        if operation.spans_endpoint is not None:
            watchers.append(_spans(operation, operation.spans_endpoint, stack))
        if operation.metrics_address is not None:
            watchers.append(figures)
            site.log.watch(figures.committed)
        limits = Limits(operation.bounds, watchers)
        if operation.metrics_address is not None:
            _serve_metrics(
                operation.metrics_address,
                figures,
                lambda: _state(site, checks, limits),
                lambda: _quota_left(site),
                stack,
            )
        yield limits


def _serve_metrics(
    address: str,
    figures: Figures,
    state: "Callable[[], State]",
    quota: "Callable[[], Mapping[tuple[str, str], int]]",
    stack: ExitStack,
) -> None:
    # Imported here: most of it is an HTTP server, and starting is to be quick.
    from hanse.server.scoring.metrics import registry_of  # noqa: PLC0415
    from hanse.server.scraping import serving_metrics  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def now() -> "State":
        """Asked in the thread of a scrape, answered in the loop, which alone may look at what it works on."""

        async def ask() -> "State":
            return state()

        return asyncio.run_coroutine_threadsafe(ask(), loop).result(SCRAPE_S)

    stack.enter_context(serving_metrics(address, registry_of(figures, now, quota)))


def _state(site: Site, checks: Checks, limits: Limits) -> "State":
    from hanse.server.scoring.metrics import State  # noqa: PLC0415 - as above

    served = site.table.primary
    return State(
        ready=checks.serving,
        in_flight=limits.in_flight,
        models=[(one.name, one.version, one.digest) for one in _ready(site.table)],
        consent_age_s=site.freshness.age_s,
        suppress_below=served.agreement.agreement.cohort.suppress_below,
    )


def _ready(table: ModelTable) -> list[Served]:
    """The versions that may answer."""
    return list(table.versions.served.values()) if isinstance(table, VersionTable) else [table.primary]


def _quota_left(site: Site) -> dict[tuple[str, str], int]:
    left = site.quota.left(site.clock())
    return {(account.agreement, account.caller): rows for account, rows in left.items()}


def _spans(operation: Operation, endpoint: str, stack: ExitStack) -> Watcher:
    from hanse.server.scoring.telemetry import open_spans  # noqa: PLC0415 - an optional extra

    spans, close = open_spans(endpoint, operation.spans_share, trust_callers=operation.spans_trust_callers)
    stack.callback(close)
    return spans
