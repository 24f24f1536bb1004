"""How a scorer stops: no new calls, running ones finish, and a second word ends those as well."""

import asyncio
from typing import Final

from hanse.server.completions import CallServer
from hanse.server.scoring.limits import Limits

DRAINED: Final = "drained"
"""How it stopped: every call that it had taken was answered."""
CUT_OFF: Final = "cut-off"
"""How it stopped: calls were still running, and were ended."""


class Stop:
    """Tells a scorer to stop.

    Attributes:
        told: It is to stop.
        at_once: It is not to wait for running calls.
    """

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.at_once = asyncio.Event()

    def tell(self) -> None:
        """Tells it; the second time, to do so at once."""
        if self.told.is_set():
            self.at_once.set()
        self.told.set()


async def drain(server: CallServer, limits: Limits, stop: Stop, grace_s: float) -> str:
    """Stops a server; callers are told to go elsewhere (GOAWAY) and running calls may finish.

    Args:
        server: The server.
        limits: Knows which calls run.
        stop: Says whether to wait.
        grace_s: How long running calls may take, seconds.

    Returns:
        :data:`DRAINED` or :data:`CUT_OFF`.
    """
    stopping = asyncio.create_task(server.stop(grace_s))
    finished = asyncio.create_task(limits.finish())
    hurry = asyncio.create_task(stop.at_once.wait())
    try:
        # Not `stopping`: when the grace is over, it cancels what runs and then looks finished.
        await asyncio.wait({finished, hurry}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        drained = finished.done()
        if not drained:
            await limits.cut_off()
            await server.stop(None)
        await stopping
        await server.close()
        return DRAINED if drained else CUT_OFF
    finally:
        finished.cancel()
        hurry.cancel()
