"""The server: ports, methods, and an end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import grpc

from hanse.server.completions import core
from hanse.server.completions.call import IncomingCall
from hanse.server.completions.events import Events

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Serve: TypeAlias = Callable[[IncomingCall, Handler], None]

CALLS_ASKED_FOR: Final = 16
"""For so many calls gRPC need not wait until the loop has taken others."""


class _Details(NamedTuple):
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: Sequence[tuple[str, str | bytes]] = ()


class CallServer:
    """Takes calls in the running event loop.

    Args:
        serve: Is called, in the loop, with every call and what serves its method. It must see to it that the
            call ends.
        options: Options of a gRPC server, by name.
    """

    def __init__(self, serve: Serve, options: Sequence[tuple[str, Any]] = ()) -> None:
        self._serve = serve
        self._events = Events()
        self._core = core.Server(tuple(options), False)  # noqa: FBT003 - no xDS
        self._core.register_completion_queue(self._events.queue)
        self._generic: list[grpc.GenericRpcHandler] = []
        self._handlers: dict[str, Handler] = {}
        self._stopped: asyncio.Future[None] | None = None

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds methods, as :meth:`grpc.Server.add_generic_rpc_handlers`."""
        self._generic += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Does nothing: generated code adds each method twice, and once is enough."""

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Opens a port.

        Args:
            address: ``host:port``; port 0 takes a free one.
            credentials: TLS; None for plaintext.

        Returns:
            The port.

        Raises:
            RuntimeError: If it cannot be taken.
        """
        # Private, as what it is for.
        secret = () if credentials is None else (getattr(credentials, "_credentials"),)  # noqa: B009 - untyped
        port: int = self._core.add_http2_port(address.encode(), *secret)
        if port == 0:
            raise RuntimeError(f"cannot listen on {address}")
        return port

    def start(self) -> None:
        """Takes calls from now on."""
        self._core.start()
        for _ in range(CALLS_ASKED_FOR):
            self._ask()
        self._events.start()

    async def stop(self, grace_s: float | None) -> None:
        """Takes no more calls; callers are told to go elsewhere (GOAWAY), and running calls may finish.

        Args:
            grace_s: How long they may take, seconds; with None they are ended at once.
        """
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
            self._core.shutdown(self._events.queue, self._has_stopped)
        if grace_s is None:
            self._core.cancel_all_calls()
        else:
            await asyncio.wait([self._stopped], timeout=grace_s)
            if not self._stopped.done():
                self._core.cancel_all_calls()
        await asyncio.shield(self._stopped)

    async def close(self) -> None:
        """Frees what a stopped server holds."""
        await self._events.close()

    def _has_stopped(self, _event: core.Event) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    def _ask(self) -> None:
        self._core.request_call(self._events.queue, self._events.queue, self._begun)

    def _begun(self, event: core.CallEvent) -> None:
        if not event.success:
            return  # the server has stopped
        if self._stopped is None:
            self._ask()
        call = IncomingCall(event, self._events)
        handler = self._handler(call.method)
        if handler is None:
            call.finish(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        else:
            self._serve(call, handler)

    def _handler(self, method: str) -> "Handler | None":
        """What serves a method, looked up once."""
        handler = self._handlers.get(method)
        if handler is None:
            for generic in self._generic:
                handler = generic.service(_Details(method))  # type: ignore[arg-type]
                if handler is not None:
                    self._handlers[method] = handler
                    break
        return handler
