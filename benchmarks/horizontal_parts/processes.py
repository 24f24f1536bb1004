"""The same models over members that are processes of their own, with secure sums over the exchange."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from boosting_over_members import ready
from common import children
from hanse.aggregation import Aggregator
from horizontal_parts.comparison import Division, Scores
from horizontal_parts.linear import LinearArm
from horizontal_parts.members import assign
from horizontal_parts.trees import TreesArm
from real_data import Fold, Indices
from setting_file import SettingFile
from sums.coordinator import make_identities, serving

MEMBER: Final = Path(__file__).parent / "member.py"
SUMS: Final = 40
"""Of one epoch of keys and shares."""


@dataclass(frozen=True, slots=True)
class Setting(SettingFile):
    """What a member's process is told, in a file.

    Attributes:
        address: Of the coordinator.
        folder: With the members' homes.
        roster: Everybody's identity key as text, by member.
        member: Its name.
        data: Folder of the set.
        fold: Number of the fold.
        rows: Its rows.
        model: ``logistic`` or ``trees``.
        fitted: Preprocessing of the logistic model, JSON; trees cut their columns alike by themselves.
    """

    address: str
    folder: str
    roster: dict[str, str]
    member: str
    data: str
    fold: int
    rows: list[int]
    model: str
    fitted: str


@dataclass(frozen=True)
class Trained:
    """A model over processes.

    Attributes:
        scores: Of the test rows.
        here: Of the same model over the same members in this process.
        seconds: What the training took on the clock, from when all members were ready.
    """

    scores: Scores
    here: Scores
    seconds: float


def over_processes(folder: Path, data: Path, fold: Fold, model: str, division: Division) -> Trained:
    """Trains over processes, and beside it over the same members in this one.

    Args:
        folder: Empty, for keys and settings.
        data: Folder of the set.
        fold: The fold.
        model: ``logistic`` or ``trees``.
        division: How rows are dealt.
    """
    parts = assign(fold.train, fold.data.kind, division.members, division.assignment, seed=fold.number)
    if model == "trees":
        trees = TreesArm(fold)
        here = trees.scores(trees.grow(parts))
        with members(folder, data, fold, model, parts, "") as aggregator:
            started_s = time.monotonic()
            grown = trees.conduct(aggregator)
            return Trained(trees.scores(grown), here, time.monotonic() - started_s)
    linear = LinearArm(fold)
    transform = linear.fit(parts)
    here = linear.federated(parts)
    with members(folder, data, fold, model, parts, transform.to_json().decode()) as aggregator:
        started_s = time.monotonic()
        scores = linear.conduct(transform, aggregator)
        return Trained(scores, here, time.monotonic() - started_s)


@contextmanager
def members(
    folder: Path, data: Path, fold: Fold, model: str, parts: Sequence[Indices], fitted: str
) -> Iterator[Aggregator]:
    """Sums over members' processes, which are gone afterwards."""
    names = [f"member-{number}" for number in range(len(parts))]
    folder.mkdir()
    roster = make_identities(folder, names)
    with children(folder / "output") as processes, serving(folder, names) as (address, exchange):
        base = Setting(address, str(folder), roster, "", str(data), fold.number, [], model, fitted)
        for name, rows in zip(names, parts, strict=True):
            path = folder / f"{name}.json"
            replace(base, member=name, rows=rows.tolist()).save(path)
            processes.start(name, [sys.executable, str(MEMBER), str(path)], {"OMP_NUM_THREADS": "1"})
        yield ready(folder, roster, exchange, SUMS)
