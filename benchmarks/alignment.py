"""What private set intersection costs both members together, beside openmined-psi in the same run.

Two processes over a socket on loopback, each with one more that computes; half of each set is in common, and
both learn which. ``HANSE_PSI_PYTHON`` names a Python that has ``openmined-psi`` installed (an environment of
its own: it pins another protobuf); without it the ratios are not measured. There, one
party learns the result. Whole run: some six minutes of processor time.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import Figure, Options, finish, parse_options

HERE = Path(__file__).parent
QUICK = 20_000
FULL = 100_000
LARGE = 1_000_000
MB = 1e6


def main() -> int:
    """Measures and prints."""
    options = parse_options(__doc__ or "")
    return finish("Private set intersection", _figures(options), options)


def _figures(options: Options) -> list[Figure]:
    """The bars of the small set, and those of a million unless it must be quick."""
    size = QUICK if options.quick else FULL
    # By turns, and the better of two each: neighbours on the machine disturb single runs by a third.
    rivals, runs = zip(*[(_rival(size), _align(size)) for _ in range(2)], strict=True)
    rival = min(rivals) if all(rivals) else None
    best = min(runs, key=lambda both: sum(one["cpu_s"] for one in both))
    figures = _show(size, best, longest_mb=10 * size / FULL)
    figures.append(Figure(f"openmined-psi, {size:,} each", rival, "CPU-s"))
    ours = figures[0].value or 0.0
    figures.append(
        Figure("openmined-psi / ours", None if rival is None else rival / ours, "times", floor=2.0)
    )
    if options.quick:
        return figures
    large = _show(LARGE, _align(LARGE), longest_mb=100.0)
    ratio = None if rival is None else (large[0].value or 0.0) / (rival * LARGE / FULL)
    return [*figures, *large, Figure("ours / openmined-psi, 1,000,000 (extrapolated)", ratio, "", bar=0.55)]


def _show(size: int, both: list[dict[str, Any]], longest_mb: float) -> list[Figure]:
    name = f"{size:,} each"
    if not all(one["exact"] for one in both) or both[0]["root"] != both[1]["root"]:
        sys.exit(f"{name}: the result is wrong")
    return [
        Figure(f"both members, {name}", sum(one["cpu_s"] for one in both), "CPU-s"),
        Figure(f"time, {name}", max(one["wall_s"] for one in both), "s"),
        Figure(f"sent, {name}", sum(one["sent_bytes"] for one in both) / MB, "MB", bar=longest_mb),
        Figure(f"memory of a member, {name}", max(one["memory_mb"] for one in both), "MB", bar=800.0),
    ]


def _align(size: int) -> list[dict[str, Any]]:
    """Figures of both members."""
    ends = _connection()
    started = []
    for member, end in zip(("brand", "insurer"), ends, strict=True):
        command = [sys.executable, str(HERE / "aligning" / "party.py"), member, "--size", str(size)]
        command += ["--processes", "1", "--descriptor", str(end.fileno())]
        log = None if member == "brand" else subprocess.DEVNULL  # one member's progress is enough
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, pass_fds=[end.fileno()]))
        end.close()
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"{size:,} each: a member ended with an error")
    return [json.loads(text) for text in printed]


def _connection() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _rival(size: int) -> float | None:
    """CPU-seconds of openmined-psi; None without an interpreter that has it."""
    if not (python := os.environ.get("HANSE_PSI_PYTHON")):
        return None
    done = subprocess.run(
        [python, str(HERE / "aligning" / "openmined.py"), str(size)], check=True, capture_output=True
    )
    return float(json.loads(done.stdout)["cpu_s"])


if __name__ == "__main__":
    sys.exit(main())
