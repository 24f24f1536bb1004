"""The border of the process: bytes become messages, errors become what an outsider may learn."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from typing_extensions import override

from hanse.errors import HanseError, ProtocolError

CODE_TRAILER: Final = "hanse-error-code"

_log = logging.getLogger(__name__)

_Message = TypeVar("_Message", bound=Message)
_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Handler = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]


def known(error: Exception) -> HanseError:
    """The error of our own that stands for any exception.

    An exception that nobody foresaw may quote the data it failed on. The log of the process gets its type
    and where it was raised, never its text.

    Args:
        error: What was raised.

    Returns:
        The error itself if it is ours, else ``internal.error``.
    """
    if isinstance(error, HanseError):
        return error
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("unexpected %s\n%s", type(error).__name__, frames)
    return HanseError("internal.error", type(error).__name__)


def parse(kind: type[_Message], body: bytes) -> _Message:
    """Reads a message.

    Args:
        kind: Its type.
        body: Bytes from anywhere.

    Returns:
        The message.

    Raises:
        ProtocolError: ``protocol.malformed`` if the bytes are no message.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise ProtocolError("protocol.malformed", f"not a {kind.DESCRIPTOR.name}") from None


class ErrorTranslator(grpc.aio.ServerInterceptor):
    """Turns every exception of a unary call into its catalogue status and public message.

    The code travels in the trailer ``hanse-error-code``, so that a client need not read prose.
    """

    @override
    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_MethodHandler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_MethodHandler | None":
        """Wraps unary handlers; streams (reflection, health watch) are gRPC's own and pass unchanged."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _guarded(handler: Any) -> _Handler:  # noqa: ANN401 - grpc types its handlers for the synchronous API
    async def guarded(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:  # noqa: ANN401
        try:
            return await handler(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as raised:  # noqa: BLE001 - this is the border: nothing may pass untranslated
            error = known(raised)
        _log.info("refused: %s", error)
        context.set_trailing_metadata(((CODE_TRAILER, error.code),))
        return await context.abort(grpc.StatusCode[error.spec.status.value], error.public_message)

    return guarded
