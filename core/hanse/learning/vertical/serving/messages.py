"""Question and reply between a label holder's scorer and a feature holder.

The messages are those of ``hanse/api/v1/part_answers.proto``. Reading is total: a value, or
``protocol.malformed``. A reply names the question that it is to by the digest of its exact bytes, a nonce
among them: neither a reply to another question nor one that was given before is taken for it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from hanse.api.v1 import part_answers_pb2 as pb
from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import ProtocolError

MAX_PLACES: Final = 1 << 14
"""Most people in one question."""

NONCE_BYTES: Final = 16
EPOCH_BYTES: Final = 16
MAX_KEEP_S: Final = 86_400

_DIGEST_BYTES: Final = 32
_MAX_NAME: Final = 200

Bits = NDArray[np.uint8]
"""Sides of cuts: bits, the lowest first, 1 for left."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a label holder asks.

    Attributes:
        model: SHA-256 of the signed manifest of the model, hex digits.
        part: SHA-256 of the signed part of the one who is asked, hex digits.
        purpose: That the calling system declared.
        caller: Its name in the agreement.
        nonce: :data:`NONCE_BYTES` random bytes.
        places: Whom it is about, each once, at most :data:`MAX_PLACES`.
    """

    model: str
    part: str
    purpose: str
    caller: str
    nonce: bytes
    places: tuple[int, ...]

    def encode(self) -> bytes:
        """The message."""
        return pb.AnswerRequest(
            model=bytes.fromhex(self.model),
            part=bytes.fromhex(self.part),
            purpose=self.purpose,
            caller=self.caller,
            nonce=self.nonce,
            places=self.places,
        ).SerializeToString(deterministic=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a feature holder answers.

    Attributes:
        epoch: Of its consents.
        keep_s: How long the answers may be kept, seconds.
        answered: For each place of the question whether it is answered.
        sides: For each answered place, in order, the sides of all cuts; shape (answered, ceil(cuts / 8)).
    """

    epoch: bytes
    keep_s: int
    answered: NDArray[np.bool_]
    sides: Bits

    def encode(self, question: bytes) -> bytes:
        """The message.

        Args:
            question: What it is the reply to, its exact bytes.
        """
        return pb.AnswerResponse(
            question=hashlib.sha256(question).digest(),
            epoch=self.epoch,
            keep_s=self.keep_s,
            answered=self.answered.astype(np.uint8).tobytes(),
            sides=np.ascontiguousarray(self.sides).tobytes(),
        ).SerializeToString(deterministic=True)


def read_question(body: bytes) -> Question:
    """Reads a question.

    Raises:
        ProtocolError: ``protocol.malformed``.
    """
    message = pb.AnswerRequest()
    _parse(message, body, "question")
    places = tuple(message.places)
    whole = (
        len(message.model) == len(message.part) == _DIGEST_BYTES
        and len(message.nonce) == NONCE_BYTES
        and max(len(message.purpose), len(message.caller)) <= _MAX_NAME
        and 0 < len(places) <= MAX_PLACES
        and len(set(places)) == len(places)
    )
    if not whole:
        raise ProtocolError("protocol.malformed", "a question of another form")
    return Question(
        message.model.hex(), message.part.hex(), message.purpose, message.caller, message.nonce, places
    )


def read_reply(body: bytes, question: bytes, places: int, cuts: int) -> Reply:
    """Reads the reply to a question.

    Args:
        body: Bytes from the one who was asked.
        question: The question's exact bytes.
        places: How many people it is about.
        cuts: How many cuts the one who was asked has.

    Raises:
        ProtocolError: ``protocol.malformed``; ``protocol.replayed`` if it is the reply to another question.
    """
    message = pb.AnswerResponse()
    _parse(message, body, "reply")
    if message.question != hashlib.sha256(question).digest():
        raise ProtocolError("protocol.replayed", "a reply to another question")
    answered = np.frombuffer(message.answered, np.uint8)
    count, width = int(np.count_nonzero(answered)), -(-cuts // 8)
    whole = (
        len(message.epoch) == EPOCH_BYTES
        and message.keep_s <= MAX_KEEP_S
        and len(answered) == places
        and not (answered > 1).any()
        and len(message.sides) == count * width
    )
    if not whole:
        raise ProtocolError("protocol.malformed", "a reply of another form")
    sides = np.frombuffer(message.sides, np.uint8).reshape(count, width)
    if cuts % 8 and (sides[:, -1] >> (cuts % 8)).any():
        raise ProtocolError("protocol.malformed", "a reply with sides of more cuts than there are")
    return Reply(message.epoch, message.keep_s, answered.astype(np.bool_), sides)


def conversation(question: bytes, reply: bytes) -> str:
    """Digest of question and reply, for both logs; the nonce keeps anybody from trying what was in them.

    Args:
        question: Its exact bytes.
        reply: Its exact bytes.
    """
    return sha256_hex(canonical_json({"question": sha256_hex(question), "reply": sha256_hex(reply)}))


def by_person(sides: Bits, rows: int) -> Bits:
    """Sides as :meth:`FeaturePart.sides` gives them, with a row for each person.

    Args:
        sides: Shape (cuts, ceil(rows / 8)).
        rows: How many people.

    Returns:
        Shape (rows, ceil(cuts / 8)).
    """
    if not len(sides):
        return np.zeros((rows, 0), dtype=np.uint8)
    bits = np.unpackbits(sides, axis=1, count=rows, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little")


def by_cut(people: Sequence[Bits] | Bits, cuts: int) -> Bits:
    """Sides of people as :meth:`LabelPart.scores` takes them.

    Args:
        people: For each person the sides of all cuts, ceil(cuts / 8) bytes.
        cuts: How many cuts.

    Returns:
        Shape (cuts, ceil(people / 8)).
    """
    if not cuts:
        return np.zeros((0, 0), dtype=np.uint8)
    bits = np.unpackbits(np.asarray(people, dtype=np.uint8), axis=1, count=cuts, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little")


def _parse(message: Any, body: bytes, what: str) -> None:  # noqa: ANN401 - any protobuf message
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", f"not a {what}") from error
