"""What is used of gRPC's core, in the one place that knows where it is.

The module is private to grpcio: its own Python servers and clients, of both kinds, stand on it, and its names
have stayed as they are for years. They are looked up here once, so that a release without one of them is
refused when the program starts, and never at a call.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias

import grpc

from hanse.errors import ConfigurationError

_MODULE: Final = "grpc._cython.cygrpc"


class Event(Protocol):
    """Something has happened.

    Attributes:
        completion_type: :data:`COMPLETE`, :data:`SHUT_DOWN`, or neither where nothing has.
        success: Whether what was asked for was done.
        batch_operations: What was asked for, with what came of it.
        tag: What was given when it was asked for.
    """

    completion_type: int
    success: bool
    batch_operations: Sequence[Any]
    tag: "Tag"


class CallEvent(Event, Protocol):
    """A call has begun.

    Attributes:
        call: The core's call.
        call_details: Its method and deadline.
        invocation_metadata: What the caller sent beside messages.
    """

    call: Any
    call_details: Any
    invocation_metadata: Sequence[tuple[str, str | bytes]]


Tag: TypeAlias = Callable[[Any], None]
"""What is called, in the loop, with the event that it was given for."""


def _named(*names: str) -> Any:  # noqa: ANN401 - the module has no types
    """Something of the core.

    Raises:
        ConfigurationError: ``config.invalid`` if this release of grpcio does not have it.
    """
    found: Any = import_module(_MODULE)
    try:
        for name in names:
            found = getattr(found, name)
    except AttributeError:
        raise ConfigurationError(
            "config.invalid", f"grpcio {grpc.__version__} has no {_MODULE}.{'.'.join(names)}; install another"
        ) from None
    return found


COMPLETE: Final[int] = _named("CompletionType", "operation_complete")
SHUT_DOWN: Final[int] = _named("CompletionType", "queue_shutdown")
CANCELLED: Final[int] = _named("StatusCode", "cancelled")
PROPAGATE: Final[int] = _named("PropagationConstants", "GRPC_PROPAGATE_DEFAULTS")
Channel: Final = _named("Channel")
Queue: Final = _named("CompletionQueue")
Server: Final = _named("Server")
ReceiveClose: Final = _named("ReceiveCloseOnServerOperation")
ReceiveMessage: Final = _named("ReceiveMessageOperation")
ReceiveMetadata: Final = _named("ReceiveInitialMetadataOperation")
ReceiveStatus: Final = _named("ReceiveStatusOnClientOperation")
SendClose: Final = _named("SendCloseFromClientOperation")
SendMessage: Final = _named("SendMessageOperation")
SendMetadata: Final = _named("SendInitialMetadataOperation")
SendStatus: Final = _named("SendStatusFromServerOperation")
auth_context: Final = _named("auth_context")
