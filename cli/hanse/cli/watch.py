"""``hanse policy watch``: what a data protection officer has to act on before a rule refuses."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from prometheus_client import start_http_server, write_to_textfile
from rich.console import Group
from rich.live import Live
from rich.text import Text

from hanse.cli.common import Home, stop_on_signals, utc_now
from hanse.cli.output import Json, console, print_json, table
from hanse.client.home import MemberHome
from hanse.client.watch import Watching, watch_site
from hanse.client.watch_metrics import registry_of
from hanse.errors import ConfigurationError
from hanse.policies.warning import EarlyWarning, Level

EXIT_OVER = 3
DEFAULT_EVERY_S = 60
_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.ALARM: "bold red"}


def watch(
    home: Home,
    every: Annotated[
        int | None, typer.Option(min=1, help="Look again every so many seconds, until Ctrl-C.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Also write the figures to this file, for Prometheus.", dir_okay=False)
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="Also serve the figures to Prometheus, as 127.0.0.1:9400.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List what needs attention at this site: withdrawals, denials, budget, what expires, overdue tasks.

    Example: [bold]hanse policy watch --home brand[/], or for a monitoring system:
    [bold]hanse policy watch --home brand --every 60 --listen 127.0.0.1:9400[/]

    Exit code 3 when something is over a limit, 0 when nothing is. Limits that are a default of Hanse, and not
    law, are marked so. Nothing here names a person; counts below the agreement's minimum are not shown.
    """
    site = MemberHome(home)
    repeat_s = every or (DEFAULT_EVERY_S if listen else None)
    with _serving(listen, lambda: watch_site(site, utc_now())):
        watching = _look(site, metrics)
        if repeat_s is None:
            _show(watching, as_json=as_json)
        else:
            watching = _repeat(site, metrics, repeat_s, stop_on_signals(), watching, as_json=as_json)
    if any(warning.level is not Level.OK for warning in watching.warnings):
        raise typer.Exit(EXIT_OVER)


def _look(site: MemberHome, metrics: Path | None) -> Watching:
    watching = watch_site(site, utc_now())
    if metrics is not None:
        try:
            write_to_textfile(str(metrics), registry_of(lambda: watching))
        except OSError as error:
            raise ConfigurationError(
                "config.unwritable", f"cannot write {metrics}: {error.strerror}"
            ) from error
    return watching


def _repeat(
    site: MemberHome,
    metrics: Path | None,
    every_s: int,
    stopping: threading.Event,
    watching: Watching,
    *,
    as_json: bool,
) -> Watching:
    """Looks again and again; as JSON, one document each time."""
    if as_json:
        print_json(facts(watching))
        while not stopping.wait(every_s):
            watching = _look(site, metrics)
            print_json(facts(watching))
        return watching
    with Live(_tables(watching), console=console(), auto_refresh=False) as live:
        while not stopping.wait(every_s):
            watching = _look(site, metrics)
            live.update(_tables(watching), refresh=True)
    return watching


@contextmanager
def _serving(listen: str | None, read: Callable[[], Watching]) -> Iterator[None]:
    """Answers scrapes while the command runs."""
    if listen is None:
        yield
        return
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigurationError("config.invalid", "--listen is HOST:PORT, as 127.0.0.1:9400")
    try:
        server, thread = start_http_server(int(port), addr=host, registry=registry_of(read))
    except OSError as error:
        raise ConfigurationError("config.invalid", f"cannot listen on {listen}: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def facts(watching: Watching) -> dict[str, Any]:
    """What ``--json`` prints."""
    below = watching.suppress_below
    return {
        "warnings": [_fact(warning, below) for warning in watching.warnings],
        "consents_by_notice": {
            scope: {version: count if count >= below else f"<{below}" for version, count in counts.items()}
            for scope, counts in watching.notices.items()
        },
    }


def _fact(warning: EarlyWarning, below: int) -> dict[str, Any]:
    reading, watched = warning.reading, warning.watched
    hidden = reading.hidden(below)
    return {
        "level": warning.level.value,
        "what": watched.words,
        "metric": reading.watch.value,
        "scope": reading.scope,
        "value": f"fewer than {below} people" if hidden else reading.value,
        "unit": watched.unit,
        "limit": {"warn": warning.limit.warn, "alarm": warning.limit.alarm, "source": warning.limit.source},
        "since": None if reading.since is None else reading.since.isoformat(timespec="seconds"),
        "rule": watched.rule,
        "advice": watched.advice,
    }


def _show(watching: Watching, *, as_json: bool) -> None:
    if as_json:
        print_json(facts(watching))
    else:
        console().print(_tables(watching))


def _tables(watching: Watching) -> Group:
    """Warnings, and standing consents by version of the notice."""
    headings = ("", "what", "about", "value", "limit", "since", "what to do")
    rows = [_row(warning, watching.suppress_below) for warning in watching.warnings]
    over = sum(warning.level is not Level.OK for warning in watching.warnings)
    shown = [table(f"{over} of {len(rows)} figures over a limit", headings, rows)]
    counts = [
        (scope, version, f"{count:,}" if count >= watching.suppress_below else f"<{watching.suppress_below}")
        for scope, by_notice in sorted(watching.notices.items())
        for version, count in sorted(by_notice.items())
    ]
    if counts:
        shown.append(table("Standing consents by notice", ("agreement", "notice", "consents"), counts))
    return Group(*shown)


def _row(warning: EarlyWarning, below: int) -> tuple[object, ...]:
    reading, watched, limit = warning.reading, warning.watched, warning.limit
    value = f"fewer than {below} people" if reading.hidden(below) else _figure(reading.value, watched.unit)
    return (
        Text(warning.level.value, style=_STYLES[warning.level]),
        watched.words,
        reading.scope,
        value,
        f"{_figure(limit.warn, watched.unit)} / {_figure(limit.alarm, watched.unit)} ({limit.source})",
        "" if reading.since is None else f"{reading.since:%Y-%m-%d %H:%M}",
        "" if warning.level is Level.OK else watched.advice,
    )


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "not known"
    return f"{100 * value:.2g} %" if unit == "ratio" else f"{value:.1f} {unit}"
