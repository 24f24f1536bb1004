"""A scorer under load for half an hour: its memory stays flat, no call fails, and the log verifies.

The load is four fifths of what scorer and client reach together, over mutual TLS, with every check and every
entry. Calls are about twenty thousand people, one of whom gives consent anew each second. First everybody is
asked about once, and the load goes on for five minutes, with more consents: that fills what is kept of
subjects and the pages that SQLite keeps. Then the memory is measured once a second, and a line is put through
the means of blocks of time, which hang together less than single seconds do.

``HANSE_SOAK_SECONDS`` makes it shorter; a sixth of it is for warming then. ``HANSE_SOAK`` names a file that
gets the figures.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from tests.scoring.conftest import MemberSite, make_grant
from tests.scoring.many_callers import caller_names, site_with_callers
from tests.scoring.replica_drill import PROGRAM, grant
from tests.scoring.test_scoring_limits import INFER, make_request

from hanse.audit import EventType, verify_log
from hanse.crypto import VerifierKey
from hanse.policies import ConsentLedger

pytestmark = [pytest.mark.soak, pytest.mark.timeout(4 * 3600)]

SECONDS = float(os.environ.get("HANSE_SOAK_SECONDS", "1800"))
WARM_S = SECONDS / 6
MEASURED_S = 5.0
STREAMS = 16
SHARE = 0.8
ROWS = 4
IN_TURN = 3
"""Callers of a stream: one may not ask about as many people in a day as a stream does in half an hour."""
PEOPLE = tuple(f"person-{number}" for number in range(20_000))
WARMING_CONSENTS = 20
"""In a second of warming. SQLite's pages are full after some 3,000, which one a second would not reach."""
BLOCKS = 25
FLAT = 0.05
"""Most growth while it is measured, as a share of the memory, that the upper end of the slope may mean."""
PAGE = os.sysconf("SC_PAGE_SIZE")

Points: TypeAlias = list[tuple[float, float]]
Call: TypeAlias = Callable[[], Awaitable[None]]


def resident_mib(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 2**20


def slope(points: Points) -> tuple[float, float]:
    """MiB per hour by least squares through means of blocks, and half the width of its interval of 95 %."""
    values: npt.NDArray[np.float64] = np.array(points)
    means = np.array([block.mean(axis=0) for block in np.array_split(values, BLOCKS)])
    line: Any = stats.linregress(means[:, 0] / 3600, means[:, 1])
    return float(line.slope), float(stats.t.ppf(0.975, BLOCKS - 2) * line.stderr)


async def as_fast_as_it_goes(calls: Sequence[Call], seconds: float) -> float:
    """Calls in a second, with as many at once as there are streams."""
    end, done = time.monotonic() + seconds, 0

    async def stream(call: Call) -> None:
        nonlocal done
        while time.monotonic() < end:
            await call()
            done += 1

    await asyncio.gather(*map(stream, calls))
    return done / seconds


async def at_a_rate(
    calls: Sequence[Call], rate: float, seconds: float, each_second: Callable[[float], None]
) -> int:
    """Calls at even distances; how many."""
    began, done = time.monotonic(), 0

    async def stream(number: int, call: Call) -> None:
        nonlocal done
        due = began + number / rate
        # What the machine was too slow for is not made up for.
        while max(due, time.monotonic()) < began + seconds:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            await call()
            done += 1
            due += len(calls) / rate

    async def watch() -> None:
        while (now := time.monotonic() - began) < seconds:
            each_second(now)
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(stream(number, call) for number, call in enumerate(calls)))
    return done


async def soak(site: MemberSite, address: str, process: int) -> dict[str, Any]:
    bodies = [make_request(*PEOPLE[at : at + ROWS]).SerializeToString() for at in range(0, len(PEOPLE), ROWS)]
    coming = cycle(bodies)
    points: Points = []
    async with AsyncExitStack() as stack:
        infers: list[Any] = [
            (
                await stack.enter_async_context(grpc.aio.secure_channel(address, site.credentials(name)))
            ).unary_unary(INFER)
            for name in caller_names(IN_TURN * STREAMS)
        ]
        calls = [_calling(cycle(infers[at::STREAMS]), coming) for at in range(STREAMS)]
        for first in range(0, len(bodies), STREAMS):
            some = bodies[first : first + STREAMS]
            await asyncio.gather(
                *(infer(body, timeout=60) for infer, body in zip(infers, some, strict=False))
            )
        capacity = await as_fast_as_it_goes(calls, MEASURED_S)
        with consenting(site) as consents:

            def each_second(now: float) -> None:
                points.append((now, resident_mib(process)))
                consents(WARMING_CONSENTS if now < WARM_S else 1)

            done = await at_a_rate(calls, SHARE * capacity, SECONDS, each_second)
    kept = [point for point in points if point[0] >= WARM_S]
    rise, width = slope(kept)
    return {
        "seconds": SECONDS,
        "warm_s": WARM_S,
        "capacity_per_s": round(capacity, 1),
        "calls": done,
        "reached_share": round(done / SECONDS / capacity, 3),
        "load": round(os.getloadavg()[2], 1),
        "first_mib": round(kept[0][1], 1),
        "last_mib": round(kept[-1][1], 1),
        "slope_mib_per_hour": round(rise, 2),
        "slope_interval": round(width, 2),
    }


def _calling(infers: Iterator[Any], bodies: Iterator[bytes]) -> Call:
    async def call() -> None:
        assert await next(infers)(next(bodies), timeout=60)

    return call


@contextmanager
def consenting(site: MemberSite) -> Iterator[Callable[[int], None]]:
    """As many people as are asked for give consent anew, one after the other."""
    coming = enumerate(cycle(PEOPLE))
    with ConsentLedger(site.settings.consents) as ledger:

        def again(people: int) -> None:
            for number, subject in islice(coming, people):
                event = make_grant(
                    site.ref(subject),
                    event_id=f"again-{number}",
                    recorded_at=datetime.now(UTC).replace(microsecond=0),
                )
                ledger.record([event])

        yield again


def test_memory_stays_flat_under_load(tmp_path: Path) -> None:
    site = site_with_callers(tmp_path, IN_TURN * STREAMS)
    grant(site, PEOPLE)
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
    check_log(site.settings.log, site.keys.node.verifier, figures["calls"])
    highest = figures["slope_mib_per_hour"] + figures["slope_interval"]
    assert highest * (SECONDS - WARM_S) / 3600 < FLAT * figures["first_mib"], figures


def check_log(place: Path | str, key: VerifierKey, calls: int) -> None:
    """Every byte is checked, then every entry is read, one at a time: there are millions."""
    entries = verify_log(place, key, origin="brand-log").entries
    last, asked = entries[-1], 0
    assert (last.type, last.detail) == (EventType.SCORER_STOPPED, "drained")
    for entry in entries:
        assert entry.type is not EventType.SCORE_DENIED
        asked += 0 if entry.counts is None else int(entry.counts.rows_in)
    assert asked >= ROWS * calls


def _tell(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    if file := os.environ.get("HANSE_SOAK"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(figures) + "\n")
