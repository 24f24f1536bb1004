"""What is documented of copying the model is what was measured, and what people are told."""

import math
import re
from pathlib import Path

from hanse.client.drafting import DEFAULT_FORM
from hanse.scoring.extraction import ABOUT_NAMES, DOCUMENTED

DOCS = Path(__file__).parents[2] / "docs" / "explanation-scores.md"
TWENTIETHS = 20


def measured(asks: str, form: str) -> list[float]:
    """A column of the first table of copies, in the rows of one way of asking."""
    section = DOCS.read_text().split("## What extraction can do")[1]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[2:]
        if "by" in line or "chosen" in line
    ]
    first = table[: [row[0] for row in table].index(table[0][0], 1)]
    return [float(row[head.index(form)]) for row in first if row[1] == asks]


def test_the_documented_figure_is_the_highest_of_the_default_rounded_up() -> None:
    assert DEFAULT_FORM == {"output": "band", "by_id": True}
    figures = measured("by id, the weightiest quarter known", "band")
    assert len(figures) == 6  # two data sets, three kinds of models
    assert math.ceil(max(figures) * TWENTIETHS) / TWENTIETHS == DOCUMENTED
    assert max(figures) < min(measured("chosen rows", "score"))
    said = re.findall(r"stays below a rank correlation of (\S+?)\*\*", DOCS.read_text())
    assert [float(figure) for figure in said] == [DOCUMENTED]
    assert f"{DOCUMENTED:g}" in ABOUT_NAMES.en
    assert f"{DOCUMENTED:g}" in ABOUT_NAMES.zh
