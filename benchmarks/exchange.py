"""The exchange: round trips and throughput between a coordinator and five members, and between two of them.

Every member is a process of its own. What two members say to each other is sealed, and unsealed beside it.

See README.md in this folder for what is measured and how.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from common import Children, Figure, Options, children, finish, parse_options
from exchanging.bare import serving_bare
from exchanging.between import between_members
from exchanging.coordinator import coordinating, make_sites
from hanse.errors import HanseError
from hanse.server.exchange import Exchange
from hanse.server.ports import free_port

Ask: TypeAlias = Callable[[Sequence[str], bytes, float], None]

MEMBERS = tuple(f"member-{number}" for number in range(5))
MEMBER = Path(__file__).parent / "exchanging" / "member.py"
PHASE = "benchmark"
START_S = 120.0
WAIT_S = 60.0

PING = b"echo" + bytes(60)
VECTOR_BYTES = 4_000_000
LONG_BYTES = 60_000_000
TURNS = 10
BAR_ROUND_TRIP_MS = 2.0
BAR_SECONDS_PER_100_MB = 1.0


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "", ("coordinator", "members"))
    with tempfile.TemporaryDirectory(prefix="hanse-exchange-") as name, ExitStack() as stack:
        folder = Path(name)
        make_sites(folder, MEMBERS)
        processes = stack.enter_context(children(folder / "output"))
        figures: list[Figure] = []
        if "members" in options.parts:
            with ExitStack() as own:
                figures += between_members(folder, (MEMBERS[0], MEMBERS[1]), own, processes, options)
        if "coordinator" in options.parts:
            figures += measure(_arms(folder, stack, processes), options)
    return finish("Exchange, five members", figures, options)


def _arms(folder: Path, stack: ExitStack, processes: Children) -> dict[str, Ask]:
    """Starts the sessions, and bare streams of gRPC beside them; returns how each asks its members."""
    addresses = {kind: f"127.0.0.1:{free_port()}" for kind in ("exchange", "bare")}
    bare = stack.enter_context(serving_bare(folder, addresses["bare"], MEMBERS))
    hub, run = stack.enter_context(coordinating(folder, addresses["exchange"], MEMBERS))
    exchange = stack.enter_context(hub.open(run, PHASE, MEMBERS))
    for kind, address in addresses.items():
        for member in MEMBERS:
            command = [sys.executable, str(MEMBER), kind, str(folder / member), address, run, PHASE]
            environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
            processes.start(f"{kind}-{member}", command, environment)
    arms: dict[str, Ask] = {"exchange": lambda *asked: _ask(exchange, *asked), "bare": bare.ask}
    for ask in arms.values():
        ask(MEMBERS, PING, START_S)
    return arms


def _ask(exchange: Exchange, members: Sequence[str], message: bytes, wait_s: float) -> None:
    for member in members:
        exchange.send(member, message, wait_s)
    for member, answer in exchange.gather(wait_s, members).items():
        if isinstance(answer, HanseError):
            raise SystemExit(f"{member}: {answer}")


def measure(arms: Mapping[str, Ask], options: Options) -> list[Figure]:
    """Measures everything, the arms by turns; first what is small."""
    figures: list[Figure] = []
    pings, messages = (30, 1) if options.quick else (300, 2)
    for members, bar in ((MEMBERS[:1], None), (MEMBERS, BAR_ROUND_TRIP_MS)):
        for ask in arms.values():
            _repeat(ask, members, PING, pings)  # a warm-up
        figures += _round_trips(arms, members, pings, bar)
    for way, members, size in (
        ("to", MEMBERS, VECTOR_BYTES),
        ("from", MEMBERS, VECTOR_BYTES),
        ("to", MEMBERS[:1], LONG_BYTES),
        ("from", MEMBERS[:1], LONG_BYTES),
    ):
        message = b"take" + bytes(size) if way == "to" else b"give %d" % size
        figures += _throughput(arms, f"{way} {len(members)}", members, message, size, messages)
    return figures


def _round_trips(
    arms: Mapping[str, Ask], members: Sequence[str], count: int, bar: float | None
) -> list[Figure]:
    seconds, cpu_s = _by_turns(arms, members, PING, count)
    what = f"64 bytes to {len(members)} and back"
    medians = {kind: statistics.median(taken) * 1e3 for kind, taken in seconds.items()}
    return [
        Figure(what, medians["exchange"], "ms", bar),
        Figure(f"{what}, slowest of 100", statistics.quantiles(seconds["exchange"], n=100)[-1] * 1e3, "ms"),
        Figure(f"{what}, bare stream", medians["bare"], "ms"),
        Figure(f"{what}, processor", cpu_s["exchange"] * 1e3, "ms"),
        Figure(f"{what}, processor, bare stream", cpu_s["bare"] * 1e3, "ms"),
    ]


def _throughput(
    arms: Mapping[str, Ask], name: str, members: Sequence[str], message: bytes, size: int, count: int
) -> list[Figure]:
    seconds, cpu_s = _by_turns(arms, members, message, count)
    scale = 1e8 / (size * len(members))
    medians = {kind: statistics.median(taken) * scale for kind, taken in seconds.items()}
    what = f"100 MB {name}, {size / 1e6:.0f} MB each"
    return [
        Figure(what, medians["exchange"], "s", BAR_SECONDS_PER_100_MB),
        Figure(f"{what}, bare stream", medians["bare"], "s"),
        Figure(f"{what}, processor", cpu_s["exchange"] * scale, "s"),
        Figure(f"{what}, processor, bare stream", cpu_s["bare"] * scale, "s"),
    ]


def _by_turns(
    arms: Mapping[str, Ask], members: Sequence[str], message: bytes, count: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each question, and the coordinator's processor seconds of one."""
    seconds: dict[str, list[float]] = {kind: [] for kind in arms}
    cpu_s = dict.fromkeys(arms, 0.0)
    for _ in range(TURNS):
        for kind, ask in arms.items():
            begun_s = time.process_time()
            seconds[kind] += _repeat(ask, members, message, count)
            cpu_s[kind] += (time.process_time() - begun_s) / (TURNS * count)
    return seconds, cpu_s


def _repeat(ask: Ask, members: Sequence[str], message: bytes, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begun_s = time.perf_counter()
        ask(members, message, WAIT_S)
        taken.append(time.perf_counter() - begun_s)
    return taken


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
