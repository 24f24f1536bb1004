"""gRPC's completion queue, in an event loop.

gRPC has nothing that a loop could wait for beside its sockets. So a thread waits for the first event, hands
it to the loop and sleeps; the loop takes whatever else is ready without waiting, and wakes the thread when
there is nothing more. Under load the two change places once for many events, and never work at the same time:
they would fight for Python's lock.
"""

import asyncio
import logging
import threading
from typing import Final

from hanse.server.completions import core

MOST_AT_ONCE: Final = 64
"""After so many events the loop turns to its other work before it takes more."""
_NOW: Final = 0.0  # any moment that has passed

_log = logging.getLogger(__name__)


class Events:
    """Takes events; what they are for is called in the loop.

    Attributes:
        queue: The completion queue; every tag in it is a :data:`hanse.server.completions.core.Tag`.
        is_open: Whether something may be asked of it; gRPC ends the process if it is asked too late.
    """

    def __init__(self) -> None:
        self.queue = core.Queue()
        self.is_open = True
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Lock()  # held while the loop takes events
        self._taken.acquire()
        self._thread = threading.Thread(target=self._wait, name="grpc-events", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    async def close(self) -> None:
        """Ends, once nothing can come any more: what it was for must be shut down before."""
        self.is_open = False
        self.queue.shutdown()
        await asyncio.to_thread(self._thread.join)

    def _wait(self) -> None:
        """In the thread: waits for one event after the other."""
        while True:
            event = self.queue.poll(None)
            if event.completion_type == core.SHUT_DOWN:
                return
            try:
                self._loop.call_soon_threadsafe(self._take, event)
            except RuntimeError:
                return  # the loop is closed, and with it all that an event could be for
            # Before the thread holds on to nothing: an event may hold the last reference to a call.
            del event
            self._taken.acquire()

    def _take(self, event: core.Event) -> None:
        _handle(event)
        self._take_more()

    def _take_more(self) -> None:
        """Takes what is ready; then the thread waits for more."""
        poll = self.queue.poll
        for _ in range(MOST_AT_ONCE):
            event = poll(_NOW)
            if event.completion_type != core.COMPLETE:
                self._taken.release()
                return
            _handle(event)
        self._loop.call_soon(self._take_more)


def _handle(event: core.Event) -> None:
    try:
        event.tag(event)
    except Exception as error:  # noqa: BLE001 - one call's mistake is no other's
        # Never its text: an exception that nobody foresaw may quote the data it failed on.
        _log.error("unexpected %s in an event of gRPC", type(error).__name__)
