"""The charts of the report, as inline SVG that follows the page's light or dark scheme.

Matplotlib writes fixed colours. Each chart is drawn in marker colours that stand for a role on the page, and
the markers are then replaced by CSS variables; so one drawing serves both schemes. Text stays text: it can be
searched, read aloud and selected. A chart says nothing that the table beside it does not say too.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hanse.demo.results import DemoResult

_ROLES: Final = (
    *("ink", "muted", "line", "alone", "federated", "pooled", "deny"),
    *(f"series-{number}" for number in range(1, 7)),
)
# Markers that no theme would use and that differ from each other in every digit pair.
_MARKER: Final = {role: f"#0{number:x}0{number:x}0{number:x}" for number, role in enumerate(_ROLES, start=1)}
_SERIES: Final = tuple(_MARKER[f"series-{number}"] for number in range(1, 7))
_DASHES: Final = ("-", "--", ":", "-.")
_COIN: Final = 0.5
_WIDTH_IN = 6.6
_FULL_WIDTH_IN = 13.5

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # A member may be called "$x$"; that is a name, not mathematics.
    "text.parse_math": False,
    "font.size": 10,
    # The page shows through: a white patch would be a hole in the dark scheme.
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=[_MARKER["ink"]]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MARKER["line"],
    "axes.labelcolor": _MARKER["muted"],
    "text.color": _MARKER["ink"],
    "xtick.color": _MARKER["line"],
    "ytick.color": _MARKER["line"],
    "xtick.labelcolor": _MARKER["muted"],
    "ytick.labelcolor": _MARKER["ink"],
    "grid.color": _MARKER["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 2,
}


@contextmanager
def _axes(height_in: float, width_in: float = _WIDTH_IN) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        yield figure, axes


def _svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as an accessible element; identifiers are made unique to the page by ``name``."""
    stream = io.StringIO()
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", text)
    for role, marker in _MARKER.items():
        text = text.replace(marker, f"var(--{role})")
    text = text.replace("#000000", "var(--ink)")
    view_box = re.search(r'viewBox="[^"]*"', text)
    body = text[text.index(">") + 1 :]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view_box[0] if view_box else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return Markup(head + body)  # noqa: S704 - matplotlib escapes its texts, the rest is escaped above


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.6, columnspacing=1.4, borderpad=0)


def auc_per_round(result: DemoResult) -> Markup:
    """Exact AUC after each round, private estimates where there are any, and two levels to compare with."""
    rounds, quality = result.rounds, result.quality
    with _axes(3.5) as (figure, axes):
        for level, role, label in (
            (quality.pooled, "pooled", "pooled, no noise (demo only)"),
            (quality.alone_mean, "alone", "members alone, mean (demo only)"),
        ):
            axes.axhline(level, color=_MARKER[role], linewidth=1.6, linestyle="--", label=label)
        axes.plot(
            [entry.round for entry in rounds],
            [entry.auc_exact for entry in rounds],
            color=_MARKER["federated"],
            marker="o",
            markersize=4,
            label="federated, exact (demo only)",
        )
        estimated = [entry for entry in rounds if entry.auc_estimate is not None]
        if estimated:
            axes.errorbar(
                [entry.round for entry in estimated],
                [entry.auc_estimate or 0.0 for entry in estimated],
                yerr=[entry.auc_standard_error or 0.0 for entry in estimated],
                color=_MARKER["ink"],
                fmt="D",
                markersize=5,
                capsize=4,
                linewidth=1.4,
                label="federated, private estimate ± 1 s.e.",
            )
        axes.grid(visible=True, axis="y")
        axes.set(xlabel="round", ylabel="AUC")
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        _legend(figure, 2)
        last = rounds[-1]
        return _svg(
            figure,
            "auc-rounds",
            "AUC after each round",
            f"The exact AUC goes from {rounds[0].auc_exact:.3f} in round 1 to {last.auc_exact:.3f} in round "
            f"{last.round}. Pooled {quality.pooled:.3f}, alone {quality.alone_mean:.3f} on average.",
        )


def alone_federated_pooled(result: DemoResult) -> Markup:
    """Bars from the coin's .5, for each member on its own test rows and for everybody."""
    quality = result.quality
    names = ["everybody", *(member.name for member in quality.members)]
    positions = [0.0, *(1.4 + number for number in range(len(quality.members)))]
    errors = [quality.standard_error, *(member.own_standard_error or 0.0 for member in quality.members)]
    values = {
        "alone": [quality.alone_mean, *(member.alone_own for member in quality.members)],
        "federated": [quality.federated, *(member.federated_own for member in quality.members)],
        "pooled": [quality.pooled, *(member.pooled_own for member in quality.members)],
    }
    with _axes(1.3 + 0.62 * len(names)) as (figure, axes):
        for offset, (kind, column) in zip((-0.27, 0.0, 0.27), values.items(), strict=True):
            _bars(axes, [at + offset for at in positions], column, errors, kind)
        axes.axvline(_COIN, color=_MARKER["muted"], linewidth=1)
        axes.set_yticks(positions, names)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("AUC on test rows (the bars start at 0.5, a coin); whiskers ± 1 s.e.")
        axes.spines["left"].set_visible(False)
        _legend(figure, 3)
        return _svg(
            figure,
            "quality",
            "AUC alone, federated and pooled",
            f"For everybody: alone {quality.alone_mean:.3f} on average, federated {quality.federated:.3f}, "
            f"pooled {quality.pooled:.3f}. The table beside it has the figures of each member.",
        )


def _bars(
    axes: Axes, positions: Sequence[float], values: Sequence[float | None], errors: Sequence[float], kind: str
) -> None:
    shown = [
        (at, value, error)
        for at, value, error in zip(positions, values, errors, strict=True)
        if value is not None
    ]
    axes.barh(
        [at for at, _, _ in shown],
        [value - _COIN for _, value, _ in shown],
        left=_COIN,
        xerr=[error for _, _, error in shown],
        height=0.24,
        color=_MARKER[kind],
        error_kw={"ecolor": _MARKER["ink"], "elinewidth": 0.9, "capsize": 2},
        label={
            "alone": "alone",
            "federated": "federated",
            "pooled": "pooled, no noise",
        }[kind],
    )


def epsilon_per_round(result: DemoResult) -> Markup:
    """Epsilon spent by each member up to each round, below the budget."""
    budget = result.agreement.epsilon
    with _axes(3.3) as (figure, axes):
        if budget is not None:
            axes.axhline(
                budget, color=_MARKER["deny"], linewidth=1.4, linestyle="--", label=f"budget {budget:g}"
            )
        for number, (spent, names) in enumerate(_same_epsilon(result).items()):
            axes.plot(
                [at for at, _ in spent],
                [epsilon for _, epsilon in spent],
                color=_SERIES[number % len(_SERIES)],
                linestyle=_DASHES[number % len(_DASHES)],
                marker="o",
                markersize=3.5,
                label=_some(names),
            )
        axes.grid(visible=True, axis="y")
        axes.set(xlabel="round", ylabel="epsilon spent")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        _legend(figure, 3)
        return _svg(
            figure,
            "epsilon",
            "Epsilon spent by each member up to each round",
            "; ".join(
                f"{member.name} {member.epsilon:.3f} in the end"
                for member in result.members
                if member.epsilon is not None
            )
            + (f"; the budget is {budget:g}." if budget is not None else "."),
        )


def _same_epsilon(result: DemoResult) -> dict[tuple[tuple[int, float], ...], list[str]]:
    """Members by what they spent: those with the same plan share a line, and would hide each other."""
    found: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for member in result.members:
        spent = tuple(
            (entry.round, entry.epsilon[member.name])
            for entry in result.rounds
            if member.name in entry.epsilon
        )
        found.setdefault(spent, []).append(member.name)
    return found


def _some(names: Sequence[str]) -> str:
    shown = 4
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def excluded_by_rule(result: DemoResult) -> Markup:
    """Rows that each member left out of the first round, stacked by the first rule that refused each."""
    rules = sorted({rule for member in result.members for rule in member.excluded_by_rule})
    with _axes(1.3 + 0.42 * len(result.members)) as (figure, axes):
        names = [member.name for member in result.members]
        left = [0] * len(names)
        for number, rule in enumerate(rules):
            counts = [member.excluded_by_rule.get(rule, 0) for member in result.members]
            axes.barh(names, counts, left=left, height=0.55, color=_SERIES[number % len(_SERIES)], label=rule)
            left = [start + count for start, count in zip(left, counts, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("rows excluded from round 1")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if rules:
            _legend(figure, 6)
        return _svg(
            figure,
            "excluded",
            "Rows excluded by rule",
            "; ".join(f"{name} {total} rows excluded" for name, total in zip(names, left, strict=True)) + ".",
        )


def timeline(result: DemoResult) -> Markup:
    """When each log grew; denials stand out."""
    logs = list(dict.fromkeys(entry.log for entry in result.timeline))
    with _axes(0.9 + 0.34 * len(logs), _FULL_WIDTH_IN) as (figure, axes):
        for denied, marker, size, colour, label in (
            (False, "|", 90, _MARKER["federated"], "entry"),
            (True, "X", 60, _MARKER["deny"], "denial"),
        ):
            entries = [entry for entry in result.timeline if (entry.decision == "deny") == denied]
            axes.scatter(
                [(entry.time - result.started_at).total_seconds() for entry in entries],
                [logs.index(entry.log) for entry in entries],
                marker=marker,
                s=size,
                color=colour,
                label=f"{label} ({len(entries)})",
            )
        axes.set_yticks(range(len(logs)), logs)
        axes.set_ylim(len(logs) - 0.5, -0.5)
        axes.grid(visible=True, axis="y")
        axes.set_xlabel("seconds since the start")
        axes.spines["left"].set_visible(False)
        _legend(figure, 2)
        denials = sum(entry.decision == "deny" for entry in result.timeline)
        return _svg(
            figure,
            "timeline",
            "Log entries over time",
            f"{len(result.timeline)} entries in {len(logs)} logs, of which {denials} are denials.",
        )
