"""Boosted trees over five members, each a process of its own, beside the same engine in one process.

See README.md in this folder for what is measured and how.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from common import Figure, Options, children, finish, parse_options
from growing.member import WORK
from growing.shared import BINNING, DEPTH, TREES_PER_ROUND, Setting, chosen, contributor
from hanse.aggregation import Aggregator, InProcessAggregator
from hanse.errors import HanseError
from hanse.learning.boosting import BoostedTrees, BoostingCoordinator, encode_trees
from hanse.server.checkpoints import OpenedSums
from hanse.server.sums import Epochs, Exchange, SecureAggregator, Work
from sums.coordinator import make_identities, serving
from sums.wire import AGREEMENT, MINIMUM, PURPOSE, RUN, agreed

MEMBERS = tuple(f"member-{number}" for number in range(5))
MEMBER = Path(__file__).parent / "growing" / "member.py"
TREES, QUICK_TREES = 100, 20
BAR = 10.0
TIMEOUT_S = 120


class Party:
    """What the sums need of the members of a run, of which there is none here."""

    def __init__(self, roster: dict[str, str]) -> None:
        self.active = frozenset(roster)
        self.attempt = 0
        self.verifiers = agreed(roster).members
        cohort, training = (
            SimpleNamespace(minimum_members=MINIMUM),
            SimpleNamespace(round_timeout_s=TIMEOUT_S),
        )
        self.agreement = SimpleNamespace(cohort=cohort, training=training, purpose=PURPOSE, privacy=None)
        signed = SimpleNamespace(digest=AGREEMENT)
        self.context = SimpleNamespace(signed=signed, run=RUN, agreement=self.agreement)

    def lose_for(self, member: str, error: HanseError, what: str, number: int | None) -> None:
        """One member less."""
        del error, what, number
        self.active -= {member}

    def require_wanted(self) -> None:
        """Nobody cancels."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Trees, and what they took.

    Attributes:
        trees: The model.
        seconds: On the clock.
        cpu_s: Of the coordinator and all members.
    """

    trees: BoostedTrees
    seconds: float
    cpu_s: float


def grow(aggregator: Aggregator, trees: int) -> Grown:
    """Grows trees; the processor time is that of this process."""
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    model = BoostingCoordinator(aggregator, chosen(trees), BINNING).train()
    return Grown(model, time.perf_counter() - begun_s, time.process_time() - begun_cpu_s)


def in_one_process(trees: int) -> Grown:
    """The same engine over all rows."""
    return grow(InProcessAggregator({"all": contributor(trees, slice(None))}), trees)


def over_members(folder: Path, trees: int, leaves: int = 0) -> Grown:
    """Grows trees over processes of members, of whom one leaves after so many questions."""
    folder.mkdir()
    roster = make_identities(folder, MEMBERS)
    settings = {
        member: Setting("", str(folder), roster, member, trees, leaves if member == MEMBERS[-1] else 0)
        for member in MEMBERS
    }
    with children(folder / "output") as processes:
        with serving(folder, MEMBERS) as (address, exchange):
            for member, setting in settings.items():
                path = folder / f"{member}.json"
                replace(setting, address=address).save(path)
                command = [sys.executable, str(MEMBER), str(path)]
                processes.start(member, command, {"OMP_NUM_THREADS": "1"})
            grown = grow(ready(folder, roster, exchange), trees)
        cpu_s = sum(_processor_s(folder / f"{member}.seconds") for member in MEMBERS)
    return Grown(grown.trees, grown.seconds, grown.cpu_s + cpu_s)


def ready(
    folder: Path, roster: dict[str, str], exchange: Exchange, sums: int = 1 + TREES_PER_ROUND * DEPTH
) -> SecureAggregator:
    """Sums over the members, all of whom are there; keys and shares for so many sums at once."""
    party: Any = Party(roster)
    work = Work(WORK, "trained", 1, sums)
    aggregator = SecureAggregator(party, exchange, Epochs(party), work, OpenedSums(folder / "opened"))
    for _ in aggregator.receive(tuple(roster)):
        pass
    return aggregator


def _processor_s(path: Path) -> float:
    """What a member has written at its end."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not (path.exists() and path.stat().st_size) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return float(path.read_text(encoding="utf-8"))


def measure(folder: Path, options: Options) -> list[Figure]:
    """One process before and after the members, so that a load that changes meets both."""
    trees = QUICK_TREES if options.quick else TREES
    before = in_one_process(trees)
    whole = over_members(folder / "whole", trees)
    left = over_members(folder / "left", trees, leaves=trees * DEPTH // 2)
    after = in_one_process(trees)
    seconds, cpu_s = ((a + b) / 2 for a, b in ((before.seconds, after.seconds), (before.cpu_s, after.cpu_s)))
    if encode_trees(whole.trees) != encode_trees(before.trees):
        raise SystemExit("not the trees of all rows in one place")
    return [
        Figure(f"{trees} trees in one process", seconds, "s"),
        Figure(f"{trees} trees over 5 members", whole.seconds, "s"),
        Figure("members / one process", whole.seconds / seconds, "ratio", BAR),
        Figure(f"{trees} trees, one member leaves half way", left.seconds, "s"),
        Figure("one leaves / one process", left.seconds / seconds, "ratio", BAR),
        Figure("processor, one process", cpu_s, "s"),
        Figure("processor, coordinator and members", whole.cpu_s, "s"),
        Figure("processor, members / one process", whole.cpu_s / cpu_s, "ratio"),
        Figure("a tree of four sums over members", whole.seconds / trees * 1e3, "ms"),
    ]


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="hanse-trees-") as name:
        figures = measure(Path(name), options)
    Console(highlight=False).print(f"load average {os.getloadavg()[0]:.1f}")
    return finish("Boosted trees over five members' processes, secure sums, mutual TLS", figures, options)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
