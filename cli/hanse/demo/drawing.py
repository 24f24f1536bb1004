"""How charts of a report are drawn: inline SVG that follows the page's light or dark scheme.

Matplotlib writes fixed colours. Each chart is drawn in marker colours that stand for a role on the page, and
the markers are then replaced by CSS variables; so one drawing serves both schemes. Text stays text: it can be
searched, read aloud and selected. A chart says nothing that the table beside it does not say too.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_ROLES: Final = (
    *("ink", "muted", "line", "alone", "federated", "pooled", "deny"),
    *(f"series-{number}" for number in range(1, 7)),
)
# Markers that no theme would use and that differ from each other in every digit pair.
MARKER: Final = {role: f"#0{number:x}0{number:x}0{number:x}" for number, role in enumerate(_ROLES, start=1)}
SERIES: Final = tuple(MARKER[f"series-{number}"] for number in range(1, 7))
COIN: Final = 0.5
"""Area under the ROC curve of guessing, from which bars start."""
FULL_WIDTH_IN: Final = 13.5
_WIDTH_IN: Final = 6.6

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # A member may be called "$x$"; that is a name, not mathematics.
    "text.parse_math": False,
    "font.size": 10,
    # The page shows through: a white patch would be a hole in the dark scheme.
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=[MARKER["ink"]]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MARKER["line"],
    "axes.labelcolor": MARKER["muted"],
    "text.color": MARKER["ink"],
    "xtick.color": MARKER["line"],
    "ytick.color": MARKER["line"],
    "xtick.labelcolor": MARKER["muted"],
    "ytick.labelcolor": MARKER["ink"],
    "grid.color": MARKER["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 2,
}


@contextmanager
def drawing(height_in: float, width_in: float = _WIDTH_IN) -> Iterator[tuple[Figure, Axes]]:
    """An empty chart of a size in inches; within the context, everything is drawn in the page's roles."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        yield figure, axes


def finished(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as an accessible element; identifiers are made unique to the page by ``name``."""
    stream = io.StringIO()
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", text)
    for role, marker in MARKER.items():
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


def legend(figure: Figure, columns: int) -> None:
    """Puts the legend above the chart."""
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.6, columnspacing=1.4, borderpad=0)
