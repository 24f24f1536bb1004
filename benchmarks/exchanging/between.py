"""What sealing costs two members that talk to each other through the coordinator."""

import json
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common import Children, Figure, Options
from exchanging.coordinator import coordinating
from exchanging.peers import PHASES
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey
from hanse.crypto.sealed import Opener, Sealer
from hanse.server.exchange import Exchange
from hanse.server.ports import free_port

PEERS = Path(__file__).parent / "peers.py"
START_S = 120.0
WAIT_S = 120.0
TURNS = 10
BODY_BYTES = 16_000_000
BAR_LARGE = 1.25
BAR_SMALL = 1.25
BAR_RECORD_US = 20.0
BAR_CIPHER_MB_S = 200.0


def between_members(
    folder: Path, pair: tuple[str, str], stack: ExitStack, processes: Children, options: Options
) -> list[Figure]:
    """Starts two members, and measures sealed and unsealed by turns."""
    address = f"127.0.0.1:{free_port()}"
    hub, run = stack.enter_context(coordinating(folder, address, pair))
    plain, _ = (stack.enter_context(hub.open(run, phase, pair)) for phase in PHASES)
    for part, name, other in (("lead", *pair), ("follow", *reversed(pair))):
        key = SigningKey.load(MemberHome(folder / other).node_key).verifier.encode()
        command = [sys.executable, str(PEERS), part, str(folder / name), address, run, other, key]
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        processes.start(f"{part}-{name}", command, environment)
    measure = _Measure(plain, pair[0])
    measure("plain", 1, "echo", 64, START_S)
    small = measure.by_turns(50 if options.quick else 300, "echo", 64)
    large = measure.by_turns(1 if options.quick else 2, "take", BODY_BYTES)
    return [*_small(small), *_large(large), *_alone()]


class _Measure:
    """Tells the member that leads what to measure."""

    def __init__(self, exchange: Exchange, leader: str) -> None:
        self._exchange = exchange
        self._leader = leader

    def __call__(self, phase: str, count: int, kind: str, size: int, wait_s: float = WAIT_S) -> list[float]:
        """Seconds of one message and its answer, and the leader's processor seconds of it."""
        self._exchange.send(self._leader, f"{phase} {count} {kind} {size}".encode())
        taken: list[float] = json.loads(self._exchange.receive(self._leader, wait_s))
        return [value / count for value in taken]

    def by_turns(self, count: int, kind: str, size: int) -> "_Taken":
        """Plain and sealed by turns, which go first by turns."""
        taken: dict[str, list[list[float]]] = {phase: [] for phase in PHASES}
        for phase in PHASES:
            self(phase, count, kind, size)  # a warm-up
        for turn in range(TURNS):
            for phase in PHASES if turn % 2 else reversed(PHASES):
                taken[phase].append(self(phase, count, kind, size))
        return _Taken(taken)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Wall and processor seconds of each turn, by phase."""

    turns: dict[str, list[list[float]]]

    def median_s(self, phase: str) -> float:
        return statistics.median(wall_s for wall_s, _ in self.turns[phase])

    def processor_s(self, phase: str) -> float:
        return statistics.median(processor_s for _, processor_s in self.turns[phase])

    @property
    def ratio(self) -> float:
        """Sealed to plain, of the two of one turn: the machine's other work changes between turns."""
        pairs = zip(self.turns["sealed"], self.turns["plain"], strict=True)
        return statistics.median(sealed[0] / plain[0] for sealed, plain in pairs)


def _small(taken: _Taken) -> list[Figure]:
    what = "64 bytes to another member and back"
    return [
        Figure(f"{what}, sealed", taken.median_s("sealed") * 1e6, "µs"),
        Figure(f"{what}, unsealed", taken.median_s("plain") * 1e6, "µs"),
        Figure(f"{what}, sealed / unsealed", taken.ratio, "", BAR_SMALL),
        Figure(f"{what}, processor of one, sealed", taken.processor_s("sealed") * 1e6, "µs"),
        Figure(f"{what}, processor of one, unsealed", taken.processor_s("plain") * 1e6, "µs"),
    ]


def _large(taken: _Taken) -> list[Figure]:
    what, megabytes = "16 MB to another member", BODY_BYTES / 1e6
    return [
        Figure(f"{what}, sealed", megabytes / taken.median_s("sealed"), "MB/s"),
        Figure(f"{what}, unsealed", megabytes / taken.median_s("plain"), "MB/s"),
        Figure(f"{what}, time sealed / unsealed", taken.ratio, "", BAR_LARGE),
        Figure(f"{what}, processor of the sender, sealed", taken.processor_s("sealed") * 1e3, "ms"),
        Figure(f"{what}, processor of the sender, unsealed", taken.processor_s("plain") * 1e3, "ms"),
    ]


def _alone() -> list[Figure]:
    """Sealing and opening without anything in between, in processor time; the best of several."""
    direction = (bytes(32), "low", bytes(32))
    sealer, opener = Sealer(*direction), Opener(*direction)  # type: ignore[arg-type]

    def best(size: int, count: int) -> float:
        body, taken = bytes(size), []
        for _ in range(5):
            begun_s = time.process_time()
            for _ in range(count):
                opener.open(sealer.seal(body))
            taken.append((time.process_time() - begun_s) / count)
        return min(taken)

    return [
        Figure("64 bytes sealed and opened, processor", best(64, 5_000) * 1e6, "µs", BAR_RECORD_US),
        Figure(
            "16 MB sealed and opened, processor",
            BODY_BYTES / 1e6 / best(BODY_BYTES, 3),
            "MB/s",
            floor=BAR_CIPHER_MB_S,
        ),
    ]
