"""Scores with a vertical model whose partner is 5 ms away: how long calls take, and what happens without it.

See README.md in this folder for what is measured and how.
"""

import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common import Children, Figure, Options, children, finish, parse_options
from scoring import sync_ms
from vertical_scoring_parts.serving import (
    JOINT,
    OWN_COLUMNS,
    Answered,
    Client,
    Processes,
    calling,
    empty_s,
    latencies_s,
)
from vertical_scoring_parts.site import OTHERS, TREES, Members, train

WAY_S = 0.0025
MOST_ABOVE_MS = 2.0
DEADLINE_S = 2.0
SILENT_CALLS = 3
PEOPLE = 100
ON_DISK = "trees-on-disk"  # all others are in memory, where a sync costs nothing
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
TURNS, QUICK_TURNS = (40, 100), (20, 40)  # rounds, and calls in each


@dataclass
class Measured:
    """What the rounds gave.

    Attributes:
        empty_ms: Median of each round of calls to a partner that says nothing.
        joint_ms: Of calls that ask the partner.
        kept_ms: Of calls that its kept answers answer.
        until_fallback_s: From when the partner was killed to the first answer that said so, seconds; what
            was kept answers until then.
        gone: Calls after that.
        silent: Calls while the partner is stopped, and says nothing.
        back: Calls after it was started again.
        unanswered: Calls without an answer.
    """

    empty_ms: list[float] = field(default_factory=list)
    joint_ms: list[float] = field(default_factory=list)
    kept_ms: list[float] = field(default_factory=list)
    until_fallback_s: float = 0.0
    gone: list[Answered] = field(default_factory=list)
    silent: list[Answered] = field(default_factory=list)
    back: list[Answered] = field(default_factory=list)
    unanswered: int = 0

    @property
    def above_ms(self) -> float:
        """What a call takes beyond the partner's delay, in the median round."""
        return statistics.median(
            joint - empty for joint, empty in zip(self.joint_ms, self.empty_ms, strict=True)
        )

    @property
    def least_above_ms(self) -> float:
        """The same in the best round of each, with whatever else the machine did left out."""
        return min(self.joint_ms) - min(self.empty_ms)


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that answers for one model, and who asks.

    Attributes:
        processes: What answers.
        port: Of the scorer.
        empty_port: Of the way to the partner that says nothing.
        client: Who asks.
        requests: Calls that are answered by both members.
        measured: Gets the figures.
    """

    processes: Processes
    port: int
    empty_port: int
    client: Client
    requests: list[bytes]
    measured: Measured = field(default_factory=Measured)


@contextmanager
def answering(members: Members, started: Children) -> Iterator[Asked]:
    """Starts everything in the members' folder, with a partner that lets nothing be kept."""
    processes = Processes(started, members, WAY_S)
    processes.start_partner(keep_s=0)
    port, empty_port = processes.start()
    with calling(port, members) as client:
        yield Asked(processes, port, empty_port, client, client.joint(members.requests(), PEOPLE))


def ask_in_turn(models: Sequence[Asked], turns: tuple[int, int]) -> None:
    """Calls a partner that says nothing, then the scorer, of each model by turns, round after round.

    Args:
        models: What is asked.
        turns: Rounds, and calls in each.
    """
    rounds, calls = turns
    for _ in range(rounds):
        for one in models:
            empty = empty_s(one.empty_port, one.processes.tls, calls)
            one.measured.empty_ms.append(_median_ms(empty))
            one.measured.joint_ms.append(_round_ms(one, calls))


def ask_for_kept(asked: Asked, turns: tuple[int, int]) -> None:
    """Starts the partner anew, lets its answers be kept, and asks for those."""
    asked.processes.end_partner()
    asked.processes.start_partner(keep_s=3600)
    asked.client.until_kept(asked.requests)
    rounds, calls = turns
    asked.measured.kept_ms += (_round_ms(asked, calls) for _ in range(rounds))


def _round_ms(asked: Asked, calls: int) -> float:
    taken_s = latencies_s(asked.port, asked.processes.tls, asked.requests, calls)
    asked.measured.unanswered += calls - len(taken_s)
    return _median_ms(taken_s)


def without(asked: Asked) -> None:
    """Stops the partner, lets it go on, kills it, starts it again; each call has a deadline."""
    processes, client, measured = asked.processes, asked.client, asked.measured
    request = asked.requests[0]
    processes.signal_partner(signal.SIGSTOP)
    client.until(request, OWN_COLUMNS)  # what was kept is dropped when nothing is heard any more
    measured.silent = [client.ask(each, DEADLINE_S) for each in asked.requests[:SILENT_CALLS]]
    processes.signal_partner(signal.SIGCONT)
    client.until(request, JOINT)
    processes.end_partner(signal.SIGKILL)
    measured.until_fallback_s = client.until(request, OWN_COLUMNS)
    measured.gone = [client.ask(each, DEADLINE_S) for each in asked.requests]
    processes.start_partner(keep_s=0)
    client.until(request, JOINT)
    measured.back = [client.ask(each, DEADLINE_S) for each in asked.requests]


def figures(measured: Mapping[str, Measured], disk_ms: float) -> list[Figure]:
    """The figures, with their bars; where there is no memory to measure in, the disk has the bar."""
    found: list[Figure] = []
    for name, one in measured.items():
        found += _times(name, one) if one.kept_ms else ()
        found += _above(name, one, disk_ms, barred=name != ON_DISK or len(measured) == 1)
    found.append(Figure("the disk's sync, median", disk_ms, "ms"))
    (faulty,) = (one for one in measured.values() if one.silent)
    unanswered = sum(one.unanswered for one in measured.values())
    return [*found, *_faults(faulty), Figure("calls that were not answered", unanswered, "calls", 0)]


def _above(name: str, measured: Measured, disk_ms: float, *, barred: bool) -> list[Figure]:
    """Beyond the delay. Of the syncs only the partner's is waited for, the other one is made meanwhile."""
    said, sync_ms = f"{name}: beyond the delay", 0.0
    if name == ON_DISK:
        said, sync_ms = f"{said}, without the disk's sync", disk_ms
    bar = MOST_ABOVE_MS if barred else None
    return [
        Figure(said, measured.above_ms - sync_ms, "ms", bar),
        Figure(f"{said}, in the best round", measured.least_above_ms - sync_ms, "ms"),
    ]


def _faults(measured: Measured) -> list[Figure]:
    joint = sum(one.basis == JOINT for one in measured.back) / len(measured.back)
    until_s = measured.until_fallback_s
    return [
        *_fallback("silent", measured.silent),
        Figure("partner killed: until the first answer that says so", until_s, "s", DEADLINE_S),
        *_fallback("killed", measured.gone),
        Figure("partner back: answered jointly", joint, "of 1", floor=1.0),
    ]


def _times(name: str, measured: Measured) -> list[Figure]:
    return [
        Figure(f"{name}: empty call to the partner", statistics.median(measured.empty_ms), "ms"),
        Figure(f"{name}: ours, the partner asked", statistics.median(measured.joint_ms), "ms"),
        Figure(f"{name}: ours, from kept answers", statistics.median(measured.kept_ms), "ms"),
    ]


def _fallback(what: str, calls: list[Answered]) -> list[Figure]:
    marked = sum(one.basis == OWN_COLUMNS for one in calls) / len(calls)
    slowest_s = max(one.seconds for one in calls)
    return [
        Figure(f"partner {what}: answered by own columns, marked as that", marked, "of 1", floor=1.0),
        Figure(f"partner {what}: slowest answer, deadline {DEADLINE_S:g} s", slowest_s, "s", DEADLINE_S),
    ]


def _median_ms(taken_s: list[float]) -> float:
    return statistics.median(taken_s or [float("inf")]) * 1e3


def measure(members: Mapping[str, Members], logs: Path, options: Options) -> dict[str, Measured]:
    """All models by turns; then kept answers of those of trees, and the faults of the last of these.

    Args:
        members: With a model each, by what is said of it.
        logs: A folder for what processes say.
        options: Of the command line.

    Returns:
        What was measured, likewise.
    """
    turns = QUICK_TURNS if options.quick else TURNS
    with ExitStack() as stack:
        models = {
            name: stack.enter_context(answering(one, stack.enter_context(children(logs / name))))
            for name, one in members.items()
        }
        ask_in_turn(list(models.values()), turns)
        of_trees = [models[name] for name in (TREES, ON_DISK) if name in models]
        for one in of_trees:
            ask_for_kept(one, turns)
        without(of_trees[-1])
    return {name: one.measured for name, one in models.items()}


def trained(disk: Path, memory: Path | None, options: Options) -> dict[str, Members]:
    """Members with models: of trees on the disk and in memory, of other kinds in memory; in short one."""
    (disk / "members").mkdir()
    trees = train(disk / "members", TREES)
    if memory is None:
        return {ON_DISK: trees}
    found = {TREES: trees.copied(memory / TREES)}
    if not options.quick:
        for kind in OTHERS:
            (memory / kind).mkdir()
            found[kind] = train(memory / kind, kind)
        found[ON_DISK] = trees
    return found


def main() -> int:
    """Trains, measures, prints."""
    options = parse_options((__doc__ or "").partition("\n")[0])
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hanse-vertical-scoring-")))
        memory = None
        if MEMORY.is_dir():
            memory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY, prefix="hanse-")))
        found = measure(trained(disk, memory, options), disk / "logs", options)
        disk_ms = sync_ms(disk, 50 if options.quick else 300)
    return finish("Vertical scoring", figures(found, disk_ms), options)


if __name__ == "__main__":
    sys.exit(main())
