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

from hanse.api.v1 import part_answers_pb2 as pb
from hanse.crypto import sha256_hex
from hanse.errors import ProtocolError
from hanse.learning.vertical.serving.forms import Form, Rows

MAX_PLACES: Final = 1 << 14
"""Most people in one question."""

NONCE_BYTES: Final = 16
EPOCH_BYTES: Final = 16
MAX_KEEP_S: Final = 86_400

_DIGEST_BYTES: Final = 32
_MAX_NAME: Final = 200


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
        answers: For each answered place, in order, what is said; shape (answered, bytes).
    """

    epoch: bytes
    keep_s: int
    answered: Sequence[bool]
    answers: Rows

    def encode(self, question: bytes) -> bytes:
        """The message.

        Args:
            question: What it is the reply to, its exact bytes.
        """
        return pb.AnswerResponse(
            question=hashlib.sha256(question).digest(),
            epoch=self.epoch,
            keep_s=self.keep_s,
            answered=bytes(self.answered),
            answers=self.answers.tobytes(),
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


def read_reply(body: bytes, question: bytes, places: int, form: Form) -> Reply:
    """Reads the reply to a question.

    Args:
        body: Bytes from the one who was asked.
        question: The question's exact bytes.
        places: How many people it is about.
        form: Of what it says.

    Raises:
        ProtocolError: ``protocol.malformed``; ``protocol.replayed`` if it is the reply to another question.
    """
    message = pb.AnswerResponse()
    _parse(message, body, "reply")
    if message.question != hashlib.sha256(question).digest():
        raise ProtocolError("protocol.replayed", "a reply to another question")
    answered: bytes = message.answered
    count, width = answered.count(1), form.width
    whole = (
        len(message.epoch) == EPOCH_BYTES
        and message.keep_s <= MAX_KEEP_S
        and len(answered) == places
        and count + answered.count(0) == places
        and len(message.answers) == count * width
    )
    if not whole:
        raise ProtocolError("protocol.malformed", "a reply of another form")
    answers = np.frombuffer(message.answers, np.uint8).reshape(count, width)
    form.require(answers)
    return Reply(message.epoch, message.keep_s, [one == 1 for one in answered], answers)


def conversation(question: bytes, reply: bytes) -> str:
    """Digest of question and reply, for both logs; the nonce keeps anybody from trying what was in them.

    Args:
        question: Its exact bytes.
        reply: Its exact bytes.
    """
    # As canonical JSON has it: the digests are hex digits, which nothing is escaped in.
    return sha256_hex(f'{{"question":"{sha256_hex(question)}","reply":"{sha256_hex(reply)}"}}'.encode())


def _parse(message: Any, body: bytes, what: str) -> None:  # noqa: ANN401 - any protobuf message
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", f"not a {what}") from error
