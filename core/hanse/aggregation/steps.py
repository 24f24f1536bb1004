"""Messages between two parties of a protocol: a step, fields, arrays.

Every message is a :mod:`hanse.aggregation.body` whose header is ``{"step": …}`` and the fields of that step.
A reader names the step that is due; whatever else arrives is an error that names who sent it.
"""

from typing import Any, TypeAlias

from numpy.typing import NDArray

from hanse.aggregation.body import decode_body, encode_body
from hanse.crypto import JsonInput, JsonValue
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel

Fields: TypeAlias = dict[str, JsonValue]
Arrays: TypeAlias = tuple[NDArray[Any], ...]


def say(channel: PeerChannel, step: str, *arrays: NDArray[Any], **fields: JsonInput) -> None:
    """Sends a message.

    Args:
        channel: To whom.
        step: Of the protocol.
        arrays: Of any type that :mod:`hanse.aggregation.body` has; a number that is not finite is refused.
        fields: What else the step needs.

    Raises:
        HanseError: ``protocol.malformed`` for such a number; and what the channel raises.
    """
    channel.send(encode_body({"step": step, **fields}, *arrays))


def hear(channel: PeerChannel) -> tuple[str, Fields, Arrays]:
    """Receives a message of any step.

    Returns:
        Step, fields, arrays.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is no message; and what the channel raises.
    """
    body = channel.receive()
    try:
        fields, arrays = decode_body(body)
    except ProtocolError as error:
        raise malformed(channel, error.detail) from error
    step = fields.pop("step", None)
    if not isinstance(step, str):
        raise malformed(channel, "a message without a step")
    return step, fields, arrays


def hear_step(channel: PeerChannel, step: str) -> tuple[Fields, Arrays]:
    """Receives the message that is due.

    Raises:
        ProtocolError: As :func:`hear`; ``protocol.unexpected-step`` if it is another one.
    """
    found, fields, arrays = hear(channel)
    if found != step:
        raise unexpected(channel, step)
    return fields, arrays


def malformed(channel: PeerChannel, what: str) -> ProtocolError:
    """The error for a message that is not as it must be."""
    return ProtocolError("protocol.malformed", f"{speaker(channel)}: {what}")


def unexpected(channel: PeerChannel, due: str) -> ProtocolError:
    """The error for a message that is not due."""
    return ProtocolError(
        "protocol.unexpected-step", f"{speaker(channel)} said something else where {due} is due"
    )


def speaker(channel: PeerChannel) -> str:
    """Who is at the other end, for people."""
    return channel.peer or "the coordinator"
