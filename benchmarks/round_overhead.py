"""Round overhead with a tiny model and two members: Hanse, Flower with persistent clients, stock Flower.

See README.md in this folder for what is compared and how.
"""

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from common import Children, Figure, Options, children, finish, parse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overhead.arms import Arm

WARM_UP_ROUNDS = 1
ROUNDS = 5
QUICK_ROUNDS = 1
FULL_ROUNDS = 5
BAR_PERSISTENT = 0.3
BAR_STOCK = 0.08
BAR_WHOLE_S = 2.5

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "OMP_NUM_THREADS": "1",
}

APP = Path(__file__).parent / "flower_app"


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    os.environ.update(QUIET)
    sys.path.insert(0, str(APP))
    with tempfile.TemporaryDirectory(prefix="hanse-overhead-") as name:
        folder = Path(name)
        os.environ["FLWR_HOME"] = str(folder / "home")
        with children(folder / "output") as processes:
            seconds = measure(_arms(folder, processes, options), options)
        full = None if options.quick else _full_round(folder / "full")
    return finish("Round overhead, tiny model, two members", figures(seconds, full), options)


def _arms(folder: Path, processes: Children, options: Options) -> "list[Arm]":
    # Imported now: Flower reads its environment when it is first imported.
    from overhead.arms import FlowerArm, HanseArm  # noqa: PLC0415

    rounds = _rounds(options)
    arms: list[Arm] = [HanseArm("hanse", folder / "hanse", processes)]
    arms.append(FlowerArm("persistent", folder / "persistent", processes, rounds=rounds, persistent=True))
    if not options.quick:
        arms.append(FlowerArm("stock", folder / "stock", processes, rounds=rounds, persistent=False))
    return arms


def measure(arms: "Sequence[Arm]", options: Options) -> dict[str, float]:
    """Starts all arms, then runs one round of each in turn; returns the median seconds per round of each."""
    console = Console(highlight=False)
    _start(arms)
    taken: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for number in range(WARM_UP_ROUNDS + 1, _rounds(options) + 1):
        for arm in arms:
            seconds = arm.round(number)
            taken[arm.name].append(seconds)
            console.print(f"{arm.name}: {seconds:.2f} s (load {os.getloadavg()[0]:.1f})")
    return {name: statistics.median(rounds) for name, rounds in taken.items()}


def _start(arms: "Sequence[Arm]") -> None:
    """Starts the arms and warms them up, all at the same time; only what follows is measured."""

    def start(arm: "Arm") -> None:
        arm.start()
        for number in range(1, WARM_UP_ROUNDS + 1):
            arm.round(number)

    with ThreadPoolExecutor(len(arms)) as pool:
        for done in [pool.submit(start, arm) for arm in arms]:
            done.result()


def _rounds(options: Options) -> int:
    return WARM_UP_ROUNDS + (QUICK_ROUNDS if options.quick else ROUNDS)


def figures(seconds: dict[str, float], full: float | None) -> list[Figure]:
    """The figures and the ratios with their bars."""
    hanse, persistent, stock = seconds["hanse"], seconds["persistent"], seconds.get("stock")
    ratio = None if stock is None else hanse / stock
    return [
        Figure("Hanse's engine and nodes", hanse, "s/round"),
        Figure("Flower, persistent clients, stock polling", persistent, "s/round"),
        Figure("stock Flower, a process per message", stock, "s/round"),
        Figure("Hanse / Flower with persistent clients", hanse / persistent, "ratio", BAR_PERSISTENT),
        Figure("Hanse / stock Flower", ratio, "ratio", BAR_STOCK),
        Figure("whole Hanse round: admission, DP-SGD, evaluation, logs", full, "s/round", BAR_WHOLE_S),
    ]


def _full_round(folder: Path) -> float:
    """Median seconds of a round of ``hanse demo`` with two members."""
    from overhead.full import full_round_s  # noqa: PLC0415

    folder.mkdir()
    return full_round_s(folder, WARM_UP_ROUNDS, FULL_ROUNDS)


if __name__ == "__main__":
    started_s = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started_s:.0f} s in all")
    sys.exit(code)
