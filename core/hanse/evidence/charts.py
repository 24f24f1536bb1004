"""Charts as inline SVG: no script, nothing loaded, every text escaped. Pure.

Colours are those of Okabe and Ito, then some of Paul Tol's, which people with the common colour deficiencies
can tell apart; each chart stands beside a table with the same numbers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Final, NamedTuple

PALETTE: Final = (
    *("#0072b2", "#e69f00", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#009e73", "#999999"),
    *("#332288", "#882255", "#117733", "#661100"),
)
_LEFT: Final = 72
_TOP: Final = 10
_HEIGHT: Final = 190
_LABELS: Final = 50
_STEP: Final = 66
_WIDEST: Final = 960
_TICKS: Final = 4


class Bar(NamedTuple):
    """One bar.

    Attributes:
        label: Below it; parts that are separated by a newline stand below each other.
        parts: Heights of its pieces by series, from the bottom; not negative.
    """

    label: str
    parts: Mapping[str, float]


def bars(title: str, unit: str, values: Sequence[Bar]) -> str:
    """Draws stacked bars, with a legend if there are several series.

    Args:
        title: What the chart shows.
        unit: What the numbers count; stands at the axis.
        values: At least one bar.

    Returns:
        A ``<figure>``.
    """
    series = list(dict.fromkeys(name for bar in values for name in bar.parts))
    colours = dict(zip(series, cycle(PALETTE), strict=False))
    top = _round_up(max((sum(bar.parts.values()) for bar in values), default=0))
    step = min(_STEP, max(8, (_WIDEST - _LEFT) // max(1, len(values))))
    width = _LEFT + step * len(values) + 10
    shapes = [*_axis(top, width, unit), *_stacks(values, colours, top, step)]
    return _figure(title, shapes, width, _legend(colours) if len(series) > 1 else "")


def steps(title: str, unit: str, lines: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Draws values that only grow, as one line of points for each series.

    Args:
        title: What the chart shows.
        unit: What the numbers are; stands at the axis.
        lines: For each series its points: label and value; at least one point in all.

    Returns:
        A ``<figure>``.
    """
    longest = max(len(points) for points in lines.values())
    top = _round_up(max(value for points in lines.values() for _, value in points))
    step = min(_STEP, max(8, (_WIDEST - _LEFT) // longest))
    width = _LEFT + step * longest + 10
    colours = dict(zip(lines, cycle(PALETTE), strict=False))
    shapes = list(_axis(top, width, unit))
    for name, points in lines.items():
        places = [
            (_LEFT + step * at + step / 2, _y(value, top), label, value)
            for at, (label, value) in enumerate(points)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        shapes += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colours[name]}"><title>'
            f"{escape(f'{name}, {label}: {value:.4g} {unit}')}</title></circle>"
            for x, y, label, value in places
        ]
    longest_points = max(lines.values(), key=len)
    shapes += [
        _label(_LEFT + step * at + step / 2, label)
        for at, (label, _) in enumerate(longest_points)
        if _shown(at, longest, step)
    ]
    return _figure(title, shapes, width, _legend(colours))


def _stacks(values: Sequence[Bar], colours: Mapping[str, str], top: float, step: int) -> Iterator[str]:
    thickness = max(3, step - 14) if step > 20 else step - 2  # noqa: PLR2004 - narrow bars keep a narrow gap
    for at, bar in enumerate(values):
        x, base = _LEFT + step * at + (step - thickness) / 2, 0.0
        for name, value in bar.parts.items():
            y, below = _y(base + value, top), _y(base, top)
            said = escape(f"{' '.join(bar.label.split())}, {name}: {value:g}")
            yield (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{thickness}" height="{below - y:.1f}" '
                f'fill="{colours[name]}"><title>{said}</title></rect>'
            )
            base += value
        if _shown(at, len(values), step):
            yield _label(x + thickness / 2, bar.label)


def _shown(at: int, count: int, step: int) -> bool:
    """Whether there is room for the label of a place: all of them, or only every few."""
    return at % max(1, -(-_STEP // step)) == 0 or count == 1


def _label(x: float, text: str) -> str:
    lines = "".join(
        f'<tspan x="{x:.1f}" dy="{14 if at else 0}">{escape(line)}</tspan>'
        for at, line in enumerate(text.split("\n"))
    )
    return f'<text y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{lines}</text>'


def _axis(top: float, width: int, unit: str) -> Iterator[str]:
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        y = _y(value, top)
        yield f'<line x1="{_LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
    middle = _TOP + _HEIGHT / 2
    turned = f'transform="rotate(-90 14 {middle})" text-anchor="middle"'
    yield f'<text x="14" y="{middle}" {turned}>{escape(unit)}</text>'


def _y(value: float, top: float) -> float:
    return _TOP + _HEIGHT * (1 - value / top)


def _round_up(value: float) -> float:
    """The top of the axis: the next of 1, 2, 4, 5, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 4, 5, 8, 10) if value <= power * digit * (1 + 1e-9))


def _legend(colours: Mapping[str, str]) -> str:
    square = '<svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill="{}"/></svg> '
    items = "".join(f"<li>{square.format(colour)}{escape(name)}</li>" for name, colour in colours.items())
    return f'<ul class="legend">{items}</ul>'


def _figure(title: str, shapes: Sequence[str], width: int, legend: str) -> str:
    height = _TOP + _HEIGHT + _LABELS
    return (
        f'<figure><figcaption>{escape(title)}</figcaption>{legend}<div class="scroll">'
        f'<svg role="img" aria-label="{escape(title)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join(shapes)}</svg></div></figure>\n'
    )
