"""Writes the HTML report of a demo run: one file, no script, nothing loaded from anywhere.

The page carries a content security policy that forbids loading, so that a report can be mailed and opened
without telling anybody. Names and texts of the run are escaped by the template engine; only our own charts
are markup.
"""

from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from hanse.crypto import write_atomic
from hanse.demo import charts
from hanse.demo.results import DemoResult

_NONE: Final = "–"  # noqa: RUF001 - an en dash is how a table says "none"


def render(template: str, **values: object) -> str:
    """A page of one of our templates.

    Args:
        template: Name of its file.
        **values: What it shows; texts are escaped, but for our own charts.
    """
    environment = Environment(
        loader=PackageLoader("hanse.demo", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"auc": _auc, "signed": _signed, "count": _count, "eps": _epsilon, "share": _share}
    return environment.get_template(template).render(**values)


def render_report(result: DemoResult) -> str:
    """The report of ``result`` as one HTML document."""
    return render(
        "report.html.j2",
        r=result,
        charts={
            "rounds": charts.auc_per_round(result),
            "quality": charts.alone_federated_pooled(result),
            "epsilon": charts.epsilon_per_round(result) if result.agreement.epsilon is not None else None,
            "excluded": charts.excluded_by_rule(result),
            "timeline": charts.timeline(result) if result.timeline else None,
        },
        rules=sorted({rule for member in result.members for rule in member.excluded_by_rule}),
        considered=sum(member.considered for member in result.members),
        admitted=sum(member.admitted for member in result.members),
        epsilon=max(
            (member.epsilon for member in result.members if member.epsilon is not None), default=None
        ),
        entries=sum(log.entries for log in result.logs),
    )


def write_report(path: Path, result: DemoResult) -> None:
    """Write the report of ``result`` to ``path``, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomic(path, render_report(result).encode())


def _auc(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _count(value: int | None) -> str:
    return _NONE if value is None else f"{value:,}"


def _epsilon(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
