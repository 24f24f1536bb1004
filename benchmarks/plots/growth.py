"""Draws what ``benchmarks/growth.py --json FILE`` measured.

Usage: ``python benchmarks/plots/growth.py FILE IMAGE.svg``
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

AXES: Final = {
    "rows a member": "rows of each of three members",
    "members": "members with 1,000 rows",
    "parameters": "parameters, three members",
}
COLOURS: Final = {
    "round of averaging": "#1b5e8c",
    "private step": "#b3541e",
    "tree": "#3c7d3c",
    "secure sum": "#6a4c93",
}
UNITS: Final = {"processor time": "ms", "memory": "MiB"}
_FIGURE = re.compile(
    r"(?P<work>[a-z ]+), (?P<size>[\d,]+) (?P<axis>[a-z ]+): (?P<what>processor time|memory)"
)

Costs = dict[tuple[str, str, str], dict[int, float]]
"""By axis, what was measured and kind of work: cost by size."""


def read(path: Path) -> Costs:
    """What was measured at each size."""
    found: Costs = defaultdict(dict)
    for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
        match = _FIGURE.fullmatch(figure["name"])
        if match is not None and figure["value"] is not None:
            size = int(match["size"].replace(",", ""))
            found[match["axis"], match["what"], match["work"]][size] = figure["value"]
    return found


def draw(costs: Costs, target: Path) -> None:
    """A column for each size that grows: time above, memory below; a straight line is slope 1."""
    mpl.rcParams["svg.hashsalt"] = "hanse"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    panels = figure.subplots(len(UNITS), len(AXES))
    for row, (what, unit) in zip(panels, UNITS.items(), strict=True):
        for axes, axis in zip(row, AXES, strict=True):
            _draw_panel(axes, costs, axis, what)
            axes.set_xlabel(AXES[axis], fontsize=8)
        row[0].set_ylabel(f"{what}, {unit}")
    lines = [Line2D([], [], color=colour, marker="o", ms=3.5) for colour in COLOURS.values()]
    figure.legend(
        lines, list(COLOURS), loc="outside upper center", ncols=len(COLOURS), frameon=False, fontsize=8
    )
    figure.savefig(target, metadata={"Date": None})


def _draw_panel(axes: Axes, costs: Costs, axis: str, what: str) -> None:
    for work, colour in COLOURS.items():
        found = costs.get((axis, what, work), {})
        if not found:
            continue
        sizes = sorted(found)
        straight = [found[sizes[-1]] * size / sizes[-1] for size in sizes]
        axes.plot(sizes, straight, "--", color=colour, alpha=0.35, lw=1)
        axes.plot(sizes, [found[size] for size in sizes], "o-", color=colour, ms=3.5)
    axes.set(xscale="log", yscale="log")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Reads and draws."""
    source, target = map(Path, sys.argv[1:])
    draw(read(source), target)


if __name__ == "__main__":
    main()
