"""Scores with a vertical model whose partner is 5 ms away: how long calls take, and what happens without it.

See README.md in this folder for what is measured and how.
"""

import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
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
    own_core,
)
from vertical_scoring_parts.site import OTHERS, TREES, Members, train

WAY_S = 0.0025
MOST_ABOVE_MS = 2.0
DEADLINE_S = 2.0
SILENT_CALLS = 3
PEOPLE = 100
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
TURNS, QUICK_TURNS = (40, 100), (12, 40)  # rounds, and calls in each
SYNCS = 2  # the partner's entry is on the disk before it answers, the label holder's before it answers


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
        """What a call takes beyond the partner's delay: the best round of each."""
        return min(self.joint_ms) - min(self.empty_ms)

    @property
    def usually_above_ms(self) -> float:
        """The same in the median round, with whatever else the machine did."""
        return statistics.median(
            joint - empty for joint, empty in zip(self.joint_ms, self.empty_ms, strict=True)
        )


def measure(members: Members, started: Children, options: Options, *, faults: bool) -> Measured:
    """Starts everything in the members' folder, and asks."""
    measured = Measured()
    rounds, calls = turns = QUICK_TURNS if options.quick else TURNS
    with asking(members, started) as (processes, ports, client):
        requests = client.joint(members.requests(), PEOPLE)
        in_turn(processes, ports, requests, turns, measured)
        processes.end_partner()
        processes.start_partner(keep_s=3600)
        client.until_kept(requests)
        for _ in range(rounds):
            taken_s = latencies_s(ports[0], processes.tls, requests, calls)
            measured.unanswered += calls - len(taken_s)
            measured.kept_ms.append(_median_ms(taken_s))
        if faults:
            without(processes, client, requests, measured)
    return measured


def measure_kind(members: Members, started: Children) -> Measured:
    """Asks the partner alone, of a model of another kind."""
    measured = Measured()
    with asking(members, started) as (processes, ports, client):
        in_turn(processes, ports, client.joint(members.requests(), PEOPLE), TURNS, measured)
    return measured


@contextmanager
def asking(members: Members, started: Children) -> Iterator[tuple[Processes, tuple[int, int], Client]]:
    """Everything that answers, with a partner that lets nothing be kept; its ports; and who asks."""
    with own_core() as core:
        processes = Processes(started, members, WAY_S, core)
        processes.start_partner(keep_s=0)
        ports = processes.start()
        with calling(ports[0], members) as client:
            yield processes, ports, client


def in_turn(
    processes: Processes,
    ports: tuple[int, int],
    requests: list[bytes],
    turns: tuple[int, int],
    measured: Measured,
) -> None:
    """Calls a partner that says nothing, then the scorer, round after round.

    Args:
        processes: What answers.
        ports: Of the scorer, and of the way to the partner that says nothing.
        requests: Calls that ask the partner.
        turns: Rounds, and calls in each.
        measured: Gets the figures.
    """
    (port, near), (rounds, calls) = ports, turns
    for _ in range(rounds):
        measured.empty_ms.append(_median_ms(empty_s(near, processes.tls, calls)))
        taken_s = latencies_s(port, processes.tls, requests, calls)
        measured.unanswered += calls - len(taken_s)
        measured.joint_ms.append(_median_ms(taken_s))


def without(processes: Processes, client: Client, requests: list[bytes], measured: Measured) -> None:
    """Stops the partner, lets it go on, kills it, starts it again; each call has a deadline."""
    processes.signal_partner(signal.SIGSTOP)
    client.until(requests[0], OWN_COLUMNS)  # what was kept is dropped when nothing is heard any more
    measured.silent = [client.ask(request, DEADLINE_S) for request in requests[:SILENT_CALLS]]
    processes.signal_partner(signal.SIGCONT)
    client.until(requests[0], JOINT)
    processes.end_partner(signal.SIGKILL)
    measured.until_fallback_s = client.until(requests[0], OWN_COLUMNS)
    measured.gone = [client.ask(request, DEADLINE_S) for request in requests]
    processes.start_partner(keep_s=0)
    client.until(requests[0], JOINT)
    measured.back = [client.ask(request, DEADLINE_S) for request in requests]


def figures(
    disk: Measured | None, memory: Measured | None, disk_ms: float, kinds: Mapping[str, Measured]
) -> list[Figure]:
    """The figures, with their bars; faults are of the disk, if anything is."""
    found = [] if disk is None else _times("on the disk", disk)
    found.append(Figure("the disk's sync, median", disk_ms, "ms"))
    if memory is not None:
        found += _times("in memory", memory)
    if disk is not None:
        rest_ms, bar = disk.above_ms - SYNCS * disk_ms, None if memory else MOST_ABOVE_MS
        found.append(Figure("beyond the delay, without two syncs of the disk", rest_ms, "ms", bar))
    above = None if memory is None else memory.above_ms
    found.append(Figure("beyond the delay, where a sync costs nothing", above, "ms", MOST_ABOVE_MS))
    found += (
        Figure(f"{kind}: beyond the delay, where a sync costs nothing", each.above_ms, "ms", MOST_ABOVE_MS)
        for kind, each in kinds.items()
    )
    unanswered = sum(each.unanswered for each in (disk, memory, *kinds.values()) if each)
    faults = disk or memory
    return [
        *found,
        *(_faults(faults) if faults else ()),
        Figure("calls that were not answered", unanswered, "calls", 0),
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


def _times(where: str, measured: Measured) -> list[Figure]:
    return [
        Figure(f"{where}: empty call to the partner, median", min(measured.empty_ms), "ms"),
        Figure(f"{where}: ours, the partner asked, median", min(measured.joint_ms), "ms"),
        Figure(f"{where}: beyond the empty call in the median round", measured.usually_above_ms, "ms"),
        Figure(f"{where}: ours, from kept answers, median", min(measured.kept_ms), "ms"),
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


def main() -> int:
    """Trains, measures, prints."""
    options = parse_options((__doc__ or "").partition("\n")[0])
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hanse-vertical-scoring-")))
        (disk / "members").mkdir()
        members = train(disk / "members", TREES)
        memory = on_disk = None
        kinds: dict[str, Measured] = {}
        if MEMORY.is_dir():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY, prefix="hanse-")))
            copied = members.copied(folder / "members")
            with children(folder / "logs") as started:
                memory = measure(copied, started, options, faults=options.quick)
            for kind in () if options.quick else OTHERS:
                (folder / kind).mkdir()
                other = train(folder / kind, kind)
                with children(folder / f"{kind}-logs") as started:
                    kinds[kind] = measure_kind(other, started)
        if memory is None or not options.quick:
            with children(disk / "logs") as started:
                on_disk = measure(members, started, options, faults=True)
        disk_ms = sync_ms(disk, 50 if options.quick else 300)
    return finish("Vertical scoring", figures(on_disk, memory, disk_ms, kinds), options)


if __name__ == "__main__":
    sys.exit(main())
