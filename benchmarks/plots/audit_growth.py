"""Draws what ``benchmarks/audit.py --json FILE`` measured of a growing log.

Usage: ``python benchmarks/plots/audit_growth.py FILE IMAGE.svg``
"""

import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

_FIGURE = re.compile(r"(?P<what>.+), (?P<size>[\d,]+) entries")


def read(path: Path) -> dict[str, dict[int, float]]:
    """By kind of work: microseconds by number of entries."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
        match = _FIGURE.fullmatch(figure["name"])
        if match is not None and figure["unit"] == "µs" and figure["bar"] is None:
            found[match["what"]][int(match["size"].replace(",", ""))] = figure["value"]
    return found


def draw(costs: dict[str, dict[int, float]], target: Path) -> None:
    """One panel for each kind of work: what was measured, and a line that grows as the logarithm does."""
    mpl.rcParams["svg.hashsalt"] = "hanse"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (what, measured) in zip(figure.subplots(1, len(costs)), costs.items(), strict=True):
        sizes = sorted(measured)
        first = measured[sizes[0]] / math.log2(sizes[0])
        axes.plot(sizes, [first * math.log2(size) for size in sizes], "--", color="#999999", label="log n")
        axes.plot(sizes, [measured[size] for size in sizes], "o-", color="#1b5e8c", label="measured")
        axes.set(xscale="log", xlabel="entries in the log", ylim=(0, None))
        axes.set_title(what, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("µs")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Reads and draws."""
    source, target = map(Path, sys.argv[1:])
    draw(read(source), target)


if __name__ == "__main__":
    main()
