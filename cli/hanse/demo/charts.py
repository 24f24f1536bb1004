"""The charts of the report of a run between members that have the same columns."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hanse.demo.drawing import COIN, FULL_WIDTH_IN, MARKER, SERIES, drawing, finished, legend
from hanse.demo.results import DemoResult

_DASHES: Final = ("-", "--", ":", "-.")


def auc_per_round(result: DemoResult) -> Markup:
    """Exact AUC after each round, private estimates where there are any, and two levels to compare with."""
    rounds, quality = result.rounds, result.quality
    with drawing(3.5) as (figure, axes):
        for level, role, label in (
            (quality.pooled, "pooled", "pooled, no noise (demo only)"),
            (quality.alone_mean, "alone", "members alone, mean (demo only)"),
        ):
            axes.axhline(level, color=MARKER[role], linewidth=1.6, linestyle="--", label=label)
        axes.plot(
            [entry.round for entry in rounds],
            [entry.auc_exact for entry in rounds],
            color=MARKER["federated"],
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
                color=MARKER["ink"],
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
        legend(figure, 2)
        last = rounds[-1]
        return finished(
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
    with drawing(1.3 + 0.62 * len(names)) as (figure, axes):
        for offset, (kind, column) in zip((-0.27, 0.0, 0.27), values.items(), strict=True):
            _bars(axes, [at + offset for at in positions], column, errors, kind)
        axes.axvline(COIN, color=MARKER["muted"], linewidth=1)
        axes.set_yticks(positions, names)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("AUC on test rows (the bars start at 0.5, a coin); whiskers ± 1 s.e.")
        axes.spines["left"].set_visible(False)
        legend(figure, 3)
        return finished(
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
        [value - COIN for _, value, _ in shown],
        left=COIN,
        xerr=[error for _, _, error in shown],
        height=0.24,
        color=MARKER[kind],
        error_kw={"ecolor": MARKER["ink"], "elinewidth": 0.9, "capsize": 2},
        label={
            "alone": "alone",
            "federated": "federated",
            "pooled": "pooled, no noise",
        }[kind],
    )


def epsilon_per_round(result: DemoResult) -> Markup:
    """Epsilon spent by each member up to each round, below the budget."""
    budget = result.agreement.epsilon
    with drawing(3.3) as (figure, axes):
        if budget is not None:
            axes.axhline(
                budget, color=MARKER["deny"], linewidth=1.4, linestyle="--", label=f"budget {budget:g}"
            )
        for number, (spent, names) in enumerate(_same_epsilon(result).items()):
            axes.plot(
                [at for at, _ in spent],
                [epsilon for _, epsilon in spent],
                color=SERIES[number % len(SERIES)],
                linestyle=_DASHES[number % len(_DASHES)],
                marker="o",
                markersize=3.5,
                label=_some(names),
            )
        axes.grid(visible=True, axis="y")
        axes.set(xlabel="round", ylabel="epsilon spent")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        legend(figure, 3)
        return finished(
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
    with drawing(1.3 + 0.42 * len(result.members)) as (figure, axes):
        names = [member.name for member in result.members]
        left = [0] * len(names)
        for number, rule in enumerate(rules):
            counts = [member.excluded_by_rule.get(rule, 0) for member in result.members]
            axes.barh(names, counts, left=left, height=0.55, color=SERIES[number % len(SERIES)], label=rule)
            left = [start + count for start, count in zip(left, counts, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("rows excluded from round 1")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if rules:
            legend(figure, 6)
        return finished(
            figure,
            "excluded",
            "Rows excluded by rule",
            "; ".join(f"{name} {total} rows excluded" for name, total in zip(names, left, strict=True)) + ".",
        )


def timeline(result: DemoResult) -> Markup:
    """When each log grew; denials stand out."""
    logs = list(dict.fromkeys(entry.log for entry in result.timeline))
    with drawing(0.9 + 0.34 * len(logs), FULL_WIDTH_IN) as (figure, axes):
        for denied, marker, size, colour, label in (
            (False, "|", 90, MARKER["federated"], "entry"),
            (True, "X", 60, MARKER["deny"], "denial"),
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
        legend(figure, 2)
        denials = sum(entry.decision == "deny" for entry in result.timeline)
        return finished(
            figure,
            "timeline",
            "Log entries over time",
            f"{len(result.timeline)} entries in {len(logs)} logs, of which {denials} are denials.",
        )
