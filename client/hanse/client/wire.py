"""Opens commands and signs replies. Nothing of a command is used before its signature has been checked."""

from typing import Final, TypeVar

from google.protobuf.message import DecodeError
from pydantic import TypeAdapter, ValidationError

from hanse.api.v1 import round_pb2 as pb
from hanse.audit.event import RunId
from hanse.crypto import SigningKey, VerifierKey
from hanse.errors import IdentityError, ProtocolError

PROTOCOL = 1
SIGNATURE_CONTEXT = "hanse.round.v1"
_RUN: Final = TypeAdapter[str](RunId)

MessageT = TypeVar("MessageT", pb.SignedMessage, pb.Command)


def open_command(data: bytes, member: str, verifier: VerifierKey) -> pb.Command:
    """Opens a command.

    Args:
        data: Bytes that claim to come from the coordinator.
        member: This member's name.
        verifier: The coordinator's key, as this site pinned it.

    Raises:
        ProtocolError: ``protocol.malformed`` or ``protocol.version``, or ``protocol.unexpected-step`` for
            another member's command.
        IdentityError: ``identity.unknown-signer`` or ``identity.bad-signature``.
    """
    signed = _parse(pb.SignedMessage, data)
    if signed.signer != verifier.name:
        raise IdentityError(
            "identity.unknown-signer", "the command is not signed by the coordinator known here"
        )
    verifier.verify(SIGNATURE_CONTEXT, signed.body, signed.signature)
    command = _parse(pb.Command, signed.body)
    if command.protocol != PROTOCOL:
        raise ProtocolError("protocol.version", f"protocol {command.protocol} instead of {PROTOCOL}")
    if command.member != member:
        raise ProtocolError("protocol.unexpected-step", "the command is for another member")
    if command.WhichOneof("step") is None:
        raise ProtocolError("protocol.malformed", "the command asks for nothing")
    try:
        _RUN.validate_python(command.run)
    except ValidationError as error:
        # A name that the log cannot hold would be a run that the log cannot tell of.
        raise ProtocolError("protocol.malformed", "the command is about no run") from error
    return command


def sign_reply(reply: pb.Reply, key: SigningKey) -> bytes:
    """Returns the serialised ``SignedMessage`` of a reply."""
    body = reply.SerializeToString(deterministic=True)
    signature = key.sign(SIGNATURE_CONTEXT, body)
    return pb.SignedMessage(body=body, signer=key.name, signature=signature).SerializeToString()


def _parse(kind: type[MessageT], data: bytes) -> MessageT:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", f"bytes that are no {kind.__name__}") from error
    return message
