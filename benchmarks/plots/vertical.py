"""Draws what ``benchmarks/vertical.py --part growth --json FILE`` measured.

Usage: ``python benchmarks/plots/vertical.py FILE IMAGE.svg``
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

AXES: Final = {
    "rows": "aligned rows",
    "columns": "columns of each of two parties",
    "depth": "depth",
}
UNITS: Final = {"processor time": "CPU-s a tree, all parties", "sent": "MiB a tree, all parties"}
COLOURS: Final = {"processor time": "#1b5e8c", "sent": "#b3541e"}
_FIGURE: Final = re.compile(r"a tree, (?P<size>[\d,]+) (?P<axis>[a-z]+): (?P<what>processor time|sent)")

Costs = dict[tuple[str, str], dict[int, float]]
"""By axis and what was measured: cost by size."""


def read(path: Path) -> Costs:
    """What was measured at each size."""
    found: Costs = defaultdict(dict)
    for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
        match = _FIGURE.fullmatch(figure["name"])
        if match is not None and figure["value"] is not None:
            found[match["axis"], match["what"]][int(match["size"].replace(",", ""))] = figure["value"]
    return found


def draw(costs: Costs, target: Path) -> None:
    """A column for each size that grows: time above, bytes below; a dashed line is slope 1."""
    mpl.rcParams["svg.hashsalt"] = "hanse"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = figure.subplots(len(UNITS), len(AXES), sharey="row")
    for row, (what, unit) in zip(panels, UNITS.items(), strict=True):
        for axes, (axis, label) in zip(row, AXES.items(), strict=True):
            found = costs.get((axis, what), {})
            sizes = sorted(found)
            axes.plot(sizes, [found[size] for size in sizes], "o-", color=COLOURS[what], ms=3.5)
            if axis != "depth":
                straight = [found[sizes[-1]] * size / sizes[-1] for size in sizes]
                axes.plot(sizes, straight, "--", color=COLOURS[what], alpha=0.35, lw=1)
                axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(label, fontsize=8)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(unit, fontsize=8)
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Reads and draws."""
    source, target = map(Path, sys.argv[1:])
    draw(read(source), target)


if __name__ == "__main__":
    main()
