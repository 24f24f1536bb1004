"""The charts of the vertical demo's page."""

from typing import Final

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hanse.demo.drawing import COIN, FULL_WIDTH_IN, MARKER, SERIES, drawing, finished, legend
from hanse.demo.vertical.facts import VerticalFacts
from hanse.demo.vertical.tables import size

PHASES: Final = ("align", "train", "evaluate")
_BAR: Final = 0.55


def quality(facts: VerticalFacts) -> Markup:
    """Bars from the coin's .5, one for each model."""
    shown = [one for one in facts.quality if one.auc is not None]
    with drawing(1.1 + 0.42 * len(shown)) as (figure, axes):
        axes.barh(
            [one.name for one in shown],
            [(one.auc or COIN) - COIN for one in shown],
            left=COIN,
            height=_BAR,
            color=[MARKER[one.kind] for one in shown],
        )
        for one in shown:
            if one.standard_error is not None:
                axes.errorbar(
                    one.auc or COIN, one.name, xerr=one.standard_error, color=MARKER["ink"], capsize=3, lw=1
                )
        axes.axvline(COIN, color=MARKER["muted"], linewidth=1)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("AUC (bars start at 0.5, a coin); whisker ± 1 s.e.")
        axes.spines["left"].set_visible(False)
        described = "; ".join(f"{one.name} {one.auc:.3f}" for one in shown)
        return finished(figure, "quality", "AUC alone, joint and pooled", f"{described}.")


def sent(facts: VerticalFacts) -> Markup:
    """Bytes that each party said, by phase."""
    parties = list(dict.fromkeys(one.sender for one in facts.sent))
    with drawing(1.1 + 0.42 * len(parties)) as (figure, axes):
        left = [0] * len(parties)
        for number, phase in enumerate(PHASES):
            counts = [_said(facts, party, phase) for party in parties]
            axes.barh(parties, counts, left=left, height=_BAR, color=SERIES[number], label=phase)
            left = [start + count for start, count in zip(left, counts, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set_xlabel("MB said to others, by phase")
        axes.spines["left"].set_visible(False)
        legend(figure, 3)
        described = "; ".join(f"{name} {size(total)}" for name, total in zip(parties, left, strict=True))
        return finished(figure, "sent", "What crossed the wire, by who said it", f"{described}.")


def _said(facts: VerticalFacts, party: str, phase: str) -> int:
    return sum(one.size_bytes for one in facts.sent if (one.sender, one.phase) == (party, phase))


def attacks(facts: VerticalFacts) -> Markup:
    """What attacks reach, between guessing and the model itself, and up to where a model is released."""
    judged = [one for one in facts.attacks if one.allowed is not None]
    names = [one.party for one in judged]
    with drawing(1.3 + 0.42 * len(judged)) as (figure, axes):
        axes.barh(
            names,
            [(one.auc or COIN) - COIN for one in judged],
            left=COIN,
            height=_BAR,
            color=MARKER["federated"],
            label="worst attack on what was sent",
        )
        axes.scatter(
            [one.allowed or COIN for one in judged],
            names,
            marker="|",
            s=400,
            color=MARKER["deny"],
            label="released up to here",
        )
        if facts.joint.auc is not None:
            axes.axvline(
                facts.joint.auc,
                color=MARKER["alone"],
                linestyle="--",
                linewidth=1.4,
                label="the model itself",
            )
        axes.axvline(COIN, color=MARKER["muted"], linewidth=1)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("AUC of telling labels apart (0.5 is guessing)")
        axes.spines["left"].set_visible(False)
        legend(figure, 3)
        described = "; ".join(
            f"at {one.party} {COIN if one.auc is None else one.auc:.3f} of at most {one.allowed:.3f}"
            for one in judged
        )
        return finished(figure, "attacks", "What known attacks learn of labels", f"{described}.")


def calls(facts: VerticalFacts) -> Markup:
    """People of each call: scored on all columns, on the label holder's own, not scored."""
    made = facts.scored.calls
    names = [f"{number}" for number in range(1, len(made) + 1)]
    bars = (
        ("on all columns", "federated", [call.joint for call in made]),
        ("on the label holder's own", "alone", [call.own_columns for call in made]),
        ("no score", "deny", [call.refused for call in made]),
    )
    with drawing(1.1 + 0.34 * len(made), FULL_WIDTH_IN) as (figure, axes):
        left = [0] * len(made)
        for label, role, counts in bars:
            axes.barh(names, counts, left=left, height=_BAR, color=MARKER[role], label=label)
            left = [start + count for start, count in zip(left, counts, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="people asked about", ylabel="call")
        axes.spines["left"].set_visible(False)
        legend(figure, 3)
        described = "; ".join(
            f"call {name}: {call.joint} on all columns, {call.own_columns} on own, {call.refused} none"
            for name, call in zip(names, made, strict=True)
        )
        return finished(figure, "calls", "What the calling system was told", f"{described}.")
