"""Group operations on blocks of values, and a process that does nothing else.

The process is started as ``python -m hanse.alignment.worker``; it reads jobs from its standard input and
writes results to its standard output, until the input ends. A job is: length of what follows (4 bytes,
big-endian), kind (1), key (32), context (32), then values of 32 bytes without gaps. A result is: length of
what follows (4 bytes), 0 and the values; or 1 if a value of the job is no point; or 2 and a message if the
arithmetic is wrong.
Nothing is serialised otherwise, nothing is written to disk, and keys are in no command line.
"""

import hashlib
import struct
import sys
from enum import IntEnum
from typing import IO, Final

from hanse.alignment.curve import KEY_BYTES, POINT_BYTES, hash_to_field, map_to_curve, multiply
from hanse.errors import TrainingError

DERIVED_BYTES: Final = 48
"""What is derived from a point: see :func:`derive`."""

CONTEXT_BYTES: Final = 32

DST: Final = b"HANSE-V01-curve25519_XMD:SHA-512_ELL2_NU_"
"""Short, so that each of the two hashes of an identifier is one block; the context is in the message."""

LENGTH: Final = struct.Struct(">I")
_DONE: Final = b"\x00"
_NO_POINT: Final = b"\x01"
_WRONG: Final = b"\x02"


class Job(IntEnum):
    """What is done with every value of a block."""

    HASH_MULTIPLY = 0  # 32 bytes are hashed to the curve and multiplied: a point
    MULTIPLY = 1  # a point is multiplied: a point
    HASH_MULTIPLY_DERIVE = 2  # as the first, then derived
    MULTIPLY_DERIVE = 3  # as the second, then derived


def derive(points: list[bytes], context: bytes) -> list[bytes]:
    """48 bytes that look random to who does not have the point: of SHA-512 over context and point."""
    sha512, start = hashlib.sha512, b"hanse alignment v1 derive\0" + context
    return [sha512(start + point).digest()[:DERIVED_BYTES] for point in points]


def compute(job: Job, key: bytes, context: bytes, values: bytes) -> bytes:
    """Does a job.

    Args:
        job: What is done.
        key: The key that is multiplied with, 32 bytes.
        context: What the hashing and the deriving depend on beside the values, 32 bytes.
        values: Values of 32 bytes without gaps.

    Returns:
        Points of 32 bytes, or derived values of :data:`DERIVED_BYTES`, in the same order.

    Raises:
        ValueError: If a value is no point with a multiple.
        TrainingError: ``alignment.multi-buffer`` if the arithmetic is wrong.
    """
    points = [values[at : at + POINT_BYTES] for at in range(0, len(values), POINT_BYTES)]
    if job in {Job.HASH_MULTIPLY, Job.HASH_MULTIPLY_DERIVE}:
        points = map_to_curve(hash_to_field([context + value for value in points], DST))
    points = multiply(points, key)
    if job in {Job.HASH_MULTIPLY_DERIVE, Job.MULTIPLY_DERIVE}:
        points = derive(points, context)
    return b"".join(points)


def write_job(stream: IO[bytes], job: Job, key: bytes, context: bytes, values: bytes) -> None:
    """Writes a job as the process reads it."""
    head = bytes([job]) + key + context
    stream.write(LENGTH.pack(len(head) + len(values)) + head)
    stream.write(values)
    stream.flush()


def read_result(stream: IO[bytes]) -> bytes | None:
    """Reads a result; None if a value was no point.

    Raises:
        EOFError: If the process is gone.
        TrainingError: ``alignment.multi-buffer`` if its arithmetic is wrong.
    """
    body = _read_frame(stream)
    if body is None:
        raise EOFError("the process ended")
    if body[:1] == _WRONG:
        raise TrainingError("alignment.multi-buffer", body[1:].decode())
    return body[1:] if body[:1] == _DONE else None


def _read_frame(stream: IO[bytes]) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(head)[0])
    return body if len(body) == LENGTH.unpack(head)[0] else None


def serve(jobs: IO[bytes], results: IO[bytes]) -> None:
    """Does jobs until there are no more."""
    while (frame := _read_frame(jobs)) is not None:
        start = 1 + KEY_BYTES + CONTEXT_BYTES
        key, context = frame[1 : 1 + KEY_BYTES], frame[1 + KEY_BYTES : start]
        try:
            made = _DONE + compute(Job(frame[0]), key, context, frame[start:])
        except ValueError:
            made = _NO_POINT
        except TrainingError as error:
            made = _WRONG + error.detail.encode()
        results.write(LENGTH.pack(len(made)) + made)
        results.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
