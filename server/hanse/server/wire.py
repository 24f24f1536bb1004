"""Signs commands and opens replies. Every reply is checked before a field of it is used."""

from typing import TypeVar

from google.protobuf.message import DecodeError

from hanse.api.v1 import round_pb2 as pb
from hanse.crypto import SigningKey, VerifierKey
from hanse.errors import ProtocolError

PROTOCOL = 1
SIGNATURE_CONTEXT = "hanse.round.v1"

MessageT = TypeVar("MessageT", pb.SignedMessage, pb.Reply)


def sign_command(command: pb.Command, key: SigningKey) -> bytes:
    """Returns the serialised ``SignedMessage`` of a command."""
    body = command.SerializeToString(deterministic=True)
    return pb.SignedMessage(
        body=body, signer=key.name, signature=key.sign(SIGNATURE_CONTEXT, body)
    ).SerializeToString()


def open_reply(data: bytes, command: pb.Command, verifier: VerifierKey) -> pb.Reply:
    """Opens the reply to a command.

    Args:
        data: Bytes from a member.
        command: The command that they should answer.
        verifier: The member's node key, from the agreement.

    Raises:
        ProtocolError: ``protocol.malformed`` when the bytes do not parse, ``protocol.replayed`` when they
            answer another command.
        IdentityError: ``identity.bad-signature`` when the member did not sign them.
    """
    signed = _parse(pb.SignedMessage, data)
    verifier.verify(SIGNATURE_CONTEXT, signed.body, signed.signature)
    reply = _parse(pb.Reply, signed.body)
    expected = (PROTOCOL, command.agreement_digest, command.run, command.member, command.sequence)
    given = (reply.protocol, reply.agreement_digest, reply.run, reply.member, reply.sequence)
    if given != expected:
        raise ProtocolError(
            "protocol.replayed", f"a reply of member {command.member} answers another command"
        )
    if reply.WhichOneof("outcome") is None:
        raise ProtocolError("protocol.malformed", f"a reply of member {command.member} says nothing")
    return reply


def _parse(kind: type[MessageT], data: bytes) -> MessageT:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", f"bytes that are no {kind.__name__}") from error
    return message
