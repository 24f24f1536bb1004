"""What every gRPC method of the coordinator does first and last: who calls, and what is told of an error."""

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Protocol, TypeVar

import grpc

from hanse.crypto import fingerprint
from hanse.errors import HanseError, IdentityError
from hanse.policies import Identity
from hanse.server.coordinator import Coordinator

log = logging.getLogger("hanse.server")

R = TypeVar("R")


class Service(Protocol):
    """A service that knows its callers."""

    def authenticate(self, context: grpc.ServicerContext) -> Identity:
        """The enrolled identity whose certificate the caller presented; raises if it may not call."""
        ...


def caller_of(context: grpc.ServicerContext, coordinator: Coordinator) -> Identity:
    """The enrolled identity whose certificate the caller presented.

    Raises:
        IdentityError: ``identity.unauthenticated``.
    """
    presented = context.auth_context().get("x509_pem_cert")
    if not presented:
        raise IdentityError("identity.unauthenticated", "no client certificate")
    return coordinator.authenticate(fingerprint(bytes(presented[0])))


def member_of(context: grpc.ServicerContext, coordinator: Coordinator) -> Identity:
    """The enrolled member that calls.

    Raises:
        IdentityError: ``identity.unauthenticated`` for everybody else; an auditor's rights end at the log.
    """
    caller = caller_of(context, coordinator)
    if caller.role != "member":
        raise IdentityError("identity.unauthenticated", f"{caller.name} is no member")
    return caller


def abort(context: grpc.ServicerContext, error: Exception) -> None:
    """Ends the call with the error's status and public message, and nothing else of it."""
    known = error if isinstance(error, HanseError) else HanseError("internal.error", repr(error))
    log.warning("call refused: %s", known, exc_info=known if known is error else error)
    context.set_trailing_metadata((("hanse-error-code", known.code),))
    context.abort(grpc.StatusCode[known.spec.status.value], known.public_message)


def unary(method: Callable[..., R]) -> Callable[..., R]:
    """Authenticates the caller and translates errors around a unary method."""

    @wraps(method)
    def call(self: Service, request: Any, context: grpc.ServicerContext) -> R:  # noqa: ANN401
        try:
            return method(self, request, context, self.authenticate(context))
        except Exception as error:
            abort(context, error)
            raise

    return call


def stream(method: Callable[..., Iterator[R]]) -> Callable[..., Iterator[R]]:
    """As :func:`unary`, for a method that streams."""

    @wraps(method)
    def call(self: Service, request: Any, context: grpc.ServicerContext) -> Iterator[R]:  # noqa: ANN401
        try:
            yield from method(self, request, context, self.authenticate(context))
        except Exception as error:  # noqa: BLE001 - the border of the process
            abort(context, error)

    return call
