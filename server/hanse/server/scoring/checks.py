"""Health checks (``grpc.health.v1``), for whoever sends calls to one of several scorers.

The servicer of grpcio keeps one condition per service and drops it when one watcher leaves; the others then
never learn that the scorer stops. Here all watchers wait on one.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2

from hanse.server.completions import IncomingCall

HEALTH_NAME: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
WHOLE_SERVER: Final = ""

# grpcio publishes no types for its health checks.
_Request: TypeAlias = Any
_Answer: Any = health_pb2.HealthCheckResponse


class Checks:
    """Says whether services take calls: all of them, or none.

    Args:
        services: Full names of the services, beside the server as a whole.

    Attributes:
        serving: Whether calls are taken.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset({WHOLE_SERVER, *services})
        self._changed = asyncio.Condition()
        self.serving = False
        self._stopping = False

    async def start(self) -> None:
        """Tells every watcher that calls are taken."""
        await self._tell(serving=True, stopping=False)

    async def pause(self) -> None:
        """Tells every watcher that no calls are taken for now."""
        await self._tell(serving=False, stopping=False)

    async def stop(self) -> None:
        """Tells every watcher that no more calls are taken; their streams end with that."""
        await self._tell(serving=False, stopping=True)

    async def _tell(self, *, serving: bool, stopping: bool) -> None:
        async with self._changed:
            self.serving, self._stopping = serving, stopping
            self._changed.notify_all()

    async def Check(self, request: _Request, context: IncomingCall) -> Any:  # noqa: ANN401, N802 - the protocol's
        """Answers for one service; NOT_FOUND for one that is not there."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return _Answer(status=self._status(request.service))

    async def Watch(self, request: _Request, context: IncomingCall) -> None:  # noqa: N802 - the protocol's
        """Answers now and at every change, until the caller has enough."""
        told = None
        while not (self._stopping and told is not None):
            async with self._changed:
                while self._status(request.service) == told and not self._stopping:
                    await self._changed.wait()
                told = self._status(request.service)
            await context.write(_Answer(status=told))

    def _status(self, service: str) -> Any:  # noqa: ANN401 - an int
        if service not in self._services:
            return _Answer.SERVICE_UNKNOWN
        return _Answer.SERVING if self.serving else _Answer.NOT_SERVING
