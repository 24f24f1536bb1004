"""The border of the process: bytes become messages, errors become what an outsider may learn."""

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from hanse.errors import HanseError, ProtocolError

if TYPE_CHECKING:
    from hanse.server.completions import IncomingCall

CODE_TRAILER: Final = "hanse-error-code"
RULE_TRAILER: Final = "hanse-error-rule"
_ROW_RULES: Final = frozenset({"P26"})
"""Rules that an answer says of single subjects; that all of a call are denied by one is nothing more."""

_log = logging.getLogger(__name__)

_Message = TypeVar("_Message", bound=Message)


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


def until(context: "IncomingCall") -> float | None:
    """When a caller stops waiting, by the event loop's clock; None if it said nothing.

    Args:
        context: Of the call.
    """
    left_s = context.time_remaining()
    return None if left_s is None else asyncio.get_running_loop().time() + left_s


def trailers(error: HanseError) -> tuple[tuple[str, str], ...]:
    """What a program may learn of an error: the code, and the rule where each row of an answer names it."""
    rule = error.rule if error.rule in _ROW_RULES else None
    return ((CODE_TRAILER, error.code), *(() if rule is None else ((RULE_TRAILER, rule),)))
