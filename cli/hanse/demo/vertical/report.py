"""Writes the page of a vertical demo: one file, no script, nothing loaded from anywhere."""

from pathlib import Path

from hanse.crypto import write_atomic
from hanse.demo.report import render
from hanse.demo.vertical import charts
from hanse.demo.vertical.facts import VerticalFacts
from hanse.demo.vertical.tables import allowed, denied, reached, size


def render_report(facts: VerticalFacts) -> str:
    """The page as one HTML document."""
    return render(
        "vertical.html.j2",
        r=facts,
        allowed=allowed,
        denied=denied,
        reached=reached,
        size=size,
        charts={
            "quality": charts.quality(facts),
            "sent": charts.sent(facts),
            "attacks": charts.attacks(facts),
            "calls": charts.calls(facts),
        },
        entries=sum(log.entries for log in facts.logs),
        worst=max((one for one in facts.attacks if one.allowed is not None), key=lambda one: one.auc or 0.0),
    )


def write_report(path: Path, facts: VerticalFacts) -> None:
    """Writes the page, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomic(path, render_report(facts).encode())
