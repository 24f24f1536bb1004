"""Fifty kills of the real processes, each in a run of its own, at random moments of every step."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.federation.kill_drill import MOMENTS, Drill, Kill, chance

from hanse.demo.data import load
from hanse.demo.federation import COORDINATOR

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

ROUNDS = 2
STEP_S = 3.0
"""About what a step takes."""


@dataclass(frozen=True)
class Part:
    """Kills in one federation.

    Attributes:
        members: How many there are.
        epsilon: Budget of their agreement.
        kills: How many runs.
    """

    members: int
    epsilon: float | None
    kills: int


PARTS = {"sums": Part(4, None, 26), "pair": Part(2, None, 14), "budget": Part(2, 3.0, 10)}


@pytest.mark.parametrize("name", PARTS)
def test_whoever_is_killed_the_run_ends_well_or_by_name(start: Callable[..., Any], name: str) -> None:
    part = PARTS[name]
    columns = [column for column in load().dictionary.columns if column.classification != "sensitive"]
    changes = {} if part.epsilon else {"columns": columns}
    running = start(members=part.members, epsilon=part.epsilon, rounds=ROUNDS, round_timeout_s=60, **changes)
    drill = Drill(running)
    victims = [COORDINATOR, *drill.sites]
    ends = []
    for number in range(part.kills):
        if number and part.epsilon:
            drill.grant_anew()
        after = MOMENTS[number % len(MOMENTS)]
        # After the first round comes another, after the last the evaluation.
        numbered = 1 if number % 8 < 4 else ROUNDS
        at = numbered if after == "round.aggregated" else 0
        # The coordinator every other time, each member in turn.
        victim = COORDINATOR if number // len(MOMENTS) % 2 == 0 else victims[1 + number % part.members]
        ended = drill.run(Kill(victim, after, at, chance(STEP_S)))
        ends.append(ended)
        _tell(name, number, ended)
        drill.check(ended)
    how = Counter(ended.how for ended in ends)
    assert how["finished"] > part.kills / 2, how


def _tell(name: str, number: int, ended: Any) -> None:
    """One line for each run, to the file that HANSE_DRILL names."""
    file = os.environ.get("HANSE_DRILL")
    if file:
        line = {
            "part": name,
            "number": number,
            "victim": ended.kills[0].victim,
            "after": ended.kills[0].after,
            "round": ended.kills[0].round,
            "delay_s": ended.kills[0].delay_s,
            "ended": ended.how,
            "resumed": ended.resumed,
            "auc": ended.auc,
            "took_s": round(ended.took_s, 1),
            "left": sorted(e.facts["member"] for e in ended.events if e.type == "member.left"),
        }
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
