"""Draws what ``benchmarks/horizontal.py --json FILE`` measured, in one run or in several parts.

Usage: ``python benchmarks/plots/horizontal.py FILE… IMAGE.svg``
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SETS: Final = ("bank_full", "default_credit", "adult", "telco")
MODELS: Final = {"trees": "#1b5e8c", "logistic": "#b3541e"}
MODES: Final = {
    "shared noise": "#1b5e8c",
    "all rows in one place": "#777777",
    "every member adds all of it": "#b3541e",
}
_MODEL = re.compile(
    r"(?P<set>\w+), (?P<model>\w+), (?P<how>by kind|at random), "
    r"(?P<members>\d+) members, fold 0: (?P<what>.+)"
)
_PRIVATE = re.compile(r"(?P<set>\w+), private, .+, epsilon (?P<epsilon>[\d.]+): (?P<mode>.+)")

Areas = Mapping[tuple[str, str, str, str], Mapping[int, float]]
"""By set, model, way to deal and what was measured: area by number of members."""
Private = Mapping[tuple[str, str], Mapping[float, float]]
"""By set and mode: area by epsilon."""


def read(paths: Iterable[Path]) -> tuple[Areas, Private]:
    """What the files have of both rows of the drawing."""
    areas: dict[tuple[str, str, str, str], dict[int, float]] = defaultdict(dict)
    private: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for figure in (
        each for path in paths for each in json.loads(path.read_text(encoding="utf-8"))["figures"]
    ):
        if match := _MODEL.fullmatch(figure["name"]):
            of = match["set"], match["model"], match["how"], match["what"]
            areas[of][int(match["members"])] = figure["value"]
        elif (match := _PRIVATE.fullmatch(figure["name"])) and match["mode"] in MODES:
            private[match["set"], match["mode"]][float(match["epsilon"])] = figure["value"]
    return areas, private


def draw(areas: Areas, private: Private, target: Path) -> None:
    """Above, a panel for each set by number of members; below, by epsilon."""
    mpl.rcParams["svg.hashsalt"] = "hanse"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    above, below = figure.subplots(2, len(SETS))
    for axes, name in zip(above, SETS, strict=True):
        _draw_members(axes, areas, name)
    for axes, name in zip(below, SETS, strict=True):
        _draw_private(axes, private, name)
    above[0].set_ylabel("area under the ROC curve")
    below[0].set_ylabel("the same, with privacy")
    above[0].legend(frameon=False, fontsize=6.5)
    below[0].legend(frameon=False, fontsize=6.5)
    figure.savefig(target, metadata={"Date": None})


def _draw_members(axes: Axes, areas: Areas, name: str) -> None:
    for model, colour in MODELS.items():
        for how, style in (("by kind", "o-"), ("at random", "x:")):
            found = areas.get((name, model, how, "federated"), {})
            sizes = sorted(found)
            axes.plot(sizes, [found[m] for m in sizes], style, color=colour, label=f"{model}, {how}", ms=4)
            alone = areas.get((name, model, how, "alone, mean"), {})
            axes.plot(sizes, [alone[m] for m in sizes], style, color=colour, alpha=0.35, ms=4)
            if how == "by kind":
                low, high = (
                    areas.get((name, model, how, f"alone, {end}"), {}) for end in ("lowest", "highest")
                )
                axes.fill_between(
                    sizes, [low[m] for m in sizes], [high[m] for m in sizes], color=colour, alpha=0.1, lw=0
                )
    axes.set(xscale="log", xlabel="members (pale: alone)")
    axes.set_xticks([4, 10, 20, 40], ["4", "10", "20", "40"])
    axes.minorticks_off()
    axes.set_title(name, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_private(axes: Axes, private: Private, name: str) -> None:
    for mode, colour in MODES.items():
        if found := private.get((name, mode)):
            axes.plot(sorted(found), [found[e] for e in sorted(found)], "o-", color=colour, label=mode, ms=4)
    if not axes.lines:
        axes.set_axis_off()
        return
    axes.set(xlabel="epsilon of a record", xlim=(0.5, 3.5))
    axes.set_xticks([1, 3])
    axes.set_title(f"{name}, 10 members", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Reads and draws."""
    *sources, target = map(Path, sys.argv[1:])
    areas, private = read(sources)
    draw(areas, private, target)


if __name__ == "__main__":
    main()
