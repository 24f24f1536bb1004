"""A scorer under load for half an hour: its memory stays flat, no call fails, and the log verifies.

``HANSE_SOAK_SECONDS`` makes it shorter; in the first minutes caches of SQLite fill, 16 MiB each. The load is
four fifths of what scorer and client reach together, over mutual TLS, with every check and every entry.
``HANSE_SOAK`` names a file that gets the figures.
"""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from tests.scoring.conftest import CALLER, GRANTED, Keys, MemberSite, make_agreement, make_site
from tests.scoring.test_scoring_limits import INFER, make_request

from hanse.audit import EventType

pytestmark = [pytest.mark.soak, pytest.mark.timeout(4 * 3600)]

SECONDS = float(os.environ.get("HANSE_SOAK_SECONDS", "1800"))
MEASURED_S = 5.0
STREAMS = 16
SHARE = 0.8
ROWS = 4
WARM_SHARE = 0.2
"""Of the time; memory grows while caches fill."""
FLAT = 0.05
"""Most growth over the whole time, as a share of the memory, that the line through it may show."""
PAGE = os.sysconf("SC_PAGE_SIZE")
PROGRAM = """
import sys
from hanse.server.scoring import ScoringSettings, run_scorer
run_scorer(ScoringSettings.model_validate_json(sys.stdin.read()))
"""

Points = list[tuple[float, float]]
Call = Callable[[], Any]


def resident_mib(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 2**20


def slope(points: Points) -> tuple[float, float]:
    """MiB per hour by least squares, and half the width of its interval of 95 % (points as independent)."""
    values: npt.NDArray[np.float64] = np.array(points)
    x, y = values[:, 0] / 3600, values[:, 1]
    centred = x - x.mean()
    rise = float((centred @ (y - y.mean())) / (centred @ centred))
    rest = y - y.mean() - rise * centred
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / float(centred @ centred))
    return rise, 1.96 * error


async def as_fast_as_it_goes(call: Call, seconds: float) -> float:
    """Calls in a second, with as many at once as there are streams."""
    end, done = time.monotonic() + seconds, 0

    async def stream() -> None:
        nonlocal done
        while time.monotonic() < end:
            await call()
            done += 1

    await asyncio.gather(*(stream() for _ in range(STREAMS)))
    return done / seconds


async def at_a_rate(
    call: Call, rate: float, seconds: float, measure: Callable[[], float]
) -> tuple[int, Points]:
    """Calls at even distances; how many, and the memory once a second."""
    began, points, done = time.monotonic(), [], 0

    async def stream(number: int) -> None:
        nonlocal done
        due = began + number / rate
        while due < began + seconds:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            await call()
            done += 1
            due += STREAMS / rate

    async def watch() -> None:
        while (now := time.monotonic() - began) < seconds:
            points.append((now, measure()))
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(stream(number) for number in range(STREAMS)))
    return done, points


def soaked_site(root: Path) -> MemberSite:
    """A site whose caller may ask for as long as this takes."""
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    terms["callers"][0]["daily_quota"] = 10**9
    return make_site(root, scoring=terms)


async def soak(site: MemberSite, address: str, process: int) -> dict[str, Any]:
    body = make_request(*GRANTED[:ROWS]).SerializeToString()
    async with grpc.aio.secure_channel(address, site.credentials(CALLER)) as channel:
        infer: Any = channel.unary_unary(INFER)

        async def call() -> None:
            assert await infer(body, timeout=20)

        await as_fast_as_it_goes(call, 2)
        capacity = await as_fast_as_it_goes(call, MEASURED_S)
        done, points = await at_a_rate(call, SHARE * capacity, SECONDS, lambda: resident_mib(process))
    kept = [point for point in points if point[0] >= WARM_SHARE * SECONDS]
    rise, width = slope(kept)
    return {
        "seconds": SECONDS,
        "capacity_per_s": round(capacity, 1),
        "calls": done,
        "reached_share": round(done / SECONDS / capacity, 3),
        "first_mib": round(kept[0][1], 1),
        "last_mib": round(kept[-1][1], 1),
        "slope_mib_per_hour": round(rise, 2),
        "slope_interval": round(width, 2),
    }


def test_memory_stays_flat_under_load(tmp_path: Path) -> None:
    site = soaked_site(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(site.settings.model_dump_json())
        process.stdin.close()
        address = process.stdout.readline().split()[1]
        try:
            figures = asyncio.run(soak(site, address, process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    _tell(figures)
    entries = site.entries()  # every byte of the log is checked
    assert entries[-1].type is EventType.SCORER_STOPPED
    assert entries[-1].detail == "drained"
    assert not [entry for entry in entries if entry.type is EventType.SCORE_DENIED]
    asked = sum(int(entry.counts.rows_in) for entry in entries if entry.counts is not None)
    assert asked >= ROWS * figures["calls"]
    growth = (figures["slope_mib_per_hour"] - figures["slope_interval"]) * SECONDS / 3600
    assert growth < FLAT * figures["first_mib"], figures


def _tell(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    if file := os.environ.get("HANSE_SOAK"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(figures) + "\n")
