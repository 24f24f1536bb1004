"""Following a run to its end, across restarts of the coordinator.

A run goes on when its coordinator is started again; whoever follows it asks again for its events, all of
which the coordinator has, and goes on with the first that is new.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from hanse.client.progress import RUN_FAILED, RUN_FINISHED
from hanse.client.remote import RunEvent
from hanse.errors import HanseError

WAIT_S: Final = 600.0
"""How long the coordinator may be gone, counted from the last time that it answered."""

POLL_S: Final = 2.0

_BROKEN: Final = frozenset({"run.engine"})
"""What a call ends with that the coordinator has not answered."""


class Runs(Protocol):
    """What is asked of the coordinator; :class:`hanse.client.remote.CoordinatorClient`."""

    def start(self, agreement_digest: str) -> Iterator[RunEvent]:
        """Starts a run and yields its events until it ends."""
        ...

    def watch(self, run: str) -> Iterator[RunEvent]:
        """Yields the events of a run, from its first to its last."""
        ...


def start_and_follow(
    runs: Runs,
    agreement_digest: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[RunEvent]:
    """Starts a run and yields its events until it ends, each once.

    Args:
        runs: The coordinator.
        agreement_digest: Of what.
        say: Told when the connection breaks, and when it is there again.
        clock: Seconds that only grow.
        sleep: Waits so many seconds.

    Raises:
        HanseError: ``run.engine`` if the coordinator does not come back within :data:`WAIT_S`, or breaks off
            before it has said which run it began; otherwise what it answers.
    """
    seen: list[RunEvent] = []
    answered_s, waiting = clock(), False
    source = runs.start(agreement_digest)
    while True:
        known = len(seen)
        try:
            for number, event in enumerate(source):
                answered_s = clock()
                if waiting:
                    say(f"connected again; {event.run} goes on")
                    waiting = False
                if number >= known:
                    seen.append(event)
                    yield event
        except HanseError as error:
            if error.code not in _BROKEN or not seen:
                raise
        if not seen or seen[-1].type in (RUN_FINISHED, RUN_FAILED):
            return
        if not waiting:
            say(f"the connection to the coordinator broke; waiting up to {WAIT_S / 60:.0f} minutes for it")
            waiting = True
        if clock() - answered_s > WAIT_S:
            raise HanseError(
                "run.engine",
                f"the coordinator was gone for {WAIT_S:.0f} s; {seen[0].run} may go on when it is back",
            )
        sleep(POLL_S)
        source = runs.watch(seen[0].run)
