"""Two hundred promotions and roll-backs while callers ask: no call fails, each answer is of its version."""

from pathlib import Path

import pytest
from tests.scoring.served_versions import Served, swap_under_load

from hanse.audit import EventType

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

SWAPS = 200
CALLERS = 8


def test_two_hundred_swaps_under_load(tmp_path: Path) -> None:
    served = Served(tmp_path, 4)
    answers = swap_under_load(served, SWAPS, CALLERS)
    entries = served.site.entries()
    print(f"{answers.total():,} answers over {SWAPS} swaps: {dict(answers)}")  # noqa: T201 - the figure
    assert set(answers) == {"1", "2", "3", "4"}
    assert not [entry for entry in entries if entry.type is EventType.SCORE_DENIED]
    answered = [entry for entry in entries if entry.type is EventType.SCORE_ANSWERED]
    assert sum(entry.requests or 1 for entry in answered) >= answers.total()
