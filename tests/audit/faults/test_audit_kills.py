"""Two hundred times ``kill -9`` under load: several processes with several threads each on one log.

Every acknowledgement and every checkpoint that the log hands out is on record before the kill. After each
kill the log is opened and verified again, and everything on record is compared with it.
"""

import secrets
import time

import pytest
from tests.audit.faults.conftest import Site

CYCLES = 200
CYCLES_PER_TEST = 10
PARTS = range(CYCLES // CYCLES_PER_TEST)
SLOW_PARTS = 3
"""These go with the slow tests; all of them are the soak."""
CYCLES_PER_LOG = 5
CYCLES_POSTGRESQL = 12
THREADS = 2
BATCH = 3
LONGEST_S = 0.04


def survive(site: Site, cycle: int) -> int:
    """Kills one writer, then those beside it; returns how many commits were acknowledged."""
    writers = [site.start("load", threads=THREADS, batch=BATCH) for _ in range(2)]
    for writer in writers:
        writer.wait_until_told("ack")
    pause()
    writers[0].kill()
    if cycle % 2:  # half of the time others go on where one was killed
        writers.append(site.start("load", threads=THREADS, batch=BATCH))
        writers[2].wait_until_told("ack")
        pause()
    for writer in writers[1:]:
        writer.kill()
    assert all(writer.was_killed and not writer.told("error") for writer in writers)
    site.check(detailed=cycle % CYCLES_PER_LOG == CYCLES_PER_LOG - 1)
    return sum(len(writer.told("ack")) for writer in writers)


def pause() -> None:
    """A moment without rhythm, so that kills come everywhere in a commit."""
    time.sleep(secrets.randbelow(1_000) / 1_000 * LONGEST_S)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=[pytest.mark.soak, *([pytest.mark.slow] if part < SLOW_PARTS else [])])
        for part in PARTS
    ],
)
def test_kills_under_load(site: Site, part: int) -> None:
    del part
    acknowledged = 0
    for cycle in range(CYCLES_PER_TEST):
        if cycle % CYCLES_PER_LOG == 0:
            site.begin_anew()
        acknowledged += survive(site, cycle)
    assert acknowledged > 4 * CYCLES_PER_TEST


@pytest.mark.slow
def test_kills_of_postgresql_writers(database_site: Site) -> None:
    """The server lives on; a session whose process was killed ends without a commit, or has committed."""
    acknowledged = 0
    for cycle in range(CYCLES_POSTGRESQL):
        acknowledged += survive(database_site, cycle)
    assert acknowledged > 4 * CYCLES_POSTGRESQL
