"""Many subjects as a stream: chunks in, answers out, one for one and in order.

Each chunk is a call of its own: it is checked, counted and logged as one, and its answer is sent before the
next chunk is read. So a stream holds one chunk and one answer, however much its caller sends, and a stream
that is cut leaves nothing behind: the caller opens another at the first chunk without an answer.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from hanse.api.v1 import scoring_pb2 as pb
from hanse.errors import HanseError, PolicyError, ProtocolError, ServingError
from hanse.server.scoring.asked import Asked, Facts
from hanse.server.scoring.borders import parse
from hanse.server.scoring.own.messages import (
    denied_results,
    read_subjects,
    wanted,
    write_answer,
    write_results,
)
from hanse.server.scoring.scorer import Scorer

IDLE_S: Final = 60.0
"""How long a caller may take for its next chunk, seconds."""
LARGEST_SEQUENCE: Final = (1 << 63) - 1

Identify = Callable[[], str]


def read_opening(body: bytes) -> pb.StreamOpening:
    """Reads the first message of a stream.

    Args:
        body: Bytes from anywhere.

    Raises:
        ProtocolError: ``protocol.malformed``, ``protocol.unexpected-step`` if it is none.
    """
    message = parse(pb.ScoreStreamRequest, body)
    if message.WhichOneof("content") != "opening":
        raise ProtocolError("protocol.unexpected-step", "a stream begins with its opening")
    if message.opening.first_sequence > LARGEST_SEQUENCE:
        raise ProtocolError("protocol.malformed", "a sequence number is too large")
    return message.opening


class Stream:
    """One stream of one caller.

    Args:
        scorer: Answers each chunk.
        identify: Name of the caller, or raises; asked at each chunk.
        until: When the caller stops waiting, by the event loop's clock; None if it said nothing.
        idle_s: See :data:`IDLE_S`.
    """

    def __init__(
        self, scorer: Scorer, identify: Identify, until: float | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._scorer = scorer
        self._identify = identify
        self._until = until
        self._idle_s = idle_s
        self._key = os.urandom(16)  # a stream as a whole is in the share that gets another version, or is not
        self._opening: pb.StreamOpening | None = None
        self._version = ""
        self._next = 0

    async def serve(
        self, messages: AsyncIterator[bytes], send: Callable[[pb.ScoreStreamResponse], Awaitable[Any]]
    ) -> None:
        """Answers chunks until the caller has no more.

        Args:
            messages: What the caller sends.
            send: Sends an answer; waits while the caller takes none.

        Raises:
            HanseError: Why the stream ends early. The refusal is in the log, unless that is the reason.
        """
        while (body := await self._receive(messages)) is not None:
            if self._opening is None:
                await self._open(body)
            else:
                await send(await self._answer(body))

    async def _receive(self, messages: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_s):
                return await anext(messages)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            error = ServingError("scoring.idle", f"no chunk came for {self._idle_s:g} s")
        await self._refuse(b"", error)
        return None

    async def _open(self, body: bytes) -> None:
        try:
            opening = self._opening = read_opening(body)
        except HanseError as error:
            await self._refuse(body, error)
        else:
            self._version, self._next = opening.version, opening.first_sequence

    async def _answer(self, body: bytes) -> pb.ScoreStreamResponse:
        """The answer to one chunk. That nobody in it may be scored is one too: the others go on."""
        seen: list[Facts] = []

        def read(facts: Facts) -> Asked:
            seen.append(facts)
            return self._read(facts, body)

        try:
            answer = await self._scorer.answer(body, read)
        except PolicyError:
            facts = seen[0]
            if facts.log_index is None or facts.consent is None or facts.served is None:
                raise
            if not facts.rules or None in facts.rules:
                raise
            served, results, consent = facts.served, denied_results(facts.rules), facts.consent
            log_index = facts.log_index
        else:
            served, results, consent = answer.served, write_results(answer), answer.consent
            log_index = answer.log_index
        self._version = served.version
        said = write_answer(served, log_index, consent, seen[0].caller or "")
        sequence, self._next = self._next, self._next + 1
        return pb.ScoreStreamResponse(sequence=sequence, answer=said, results=results)

    def _read(self, facts: Facts, body: bytes) -> Asked:
        """Every check of a chunk in its order: caller, purpose, model, place in the stream, subjects."""
        opening = self._opening or pb.StreamOpening()
        caller = facts.caller = self._identify()
        facts.purpose = opening.purpose
        served = self._scorer.admit(facts, opening.model, self._version, self._key)
        message = parse(pb.ScoreStreamRequest, body)
        if message.WhichOneof("content") != "chunk":
            raise ProtocolError("protocol.unexpected-step", "a stream is opened once")
        if message.chunk.sequence != self._next:
            raise ProtocolError("protocol.unexpected-step", f"chunk {self._next} is due")
        subjects = read_subjects(message.chunk.subject_ids, self._scorer.site.maximum_rows)
        outputs = wanted(self._scorer.extra_outputs(served))
        return Asked(caller, opening.purpose, served, subjects, None, outputs, until=self._until)

    async def _refuse(self, body: bytes, error: HanseError) -> None:
        """Ends the stream with an error that leaves an entry, as that of a call does."""

        def read(facts: Facts) -> Asked:
            facts.caller = self._identify()
            facts.purpose = None if self._opening is None else self._opening.purpose
            raise error

        await self._scorer.answer(body, read)
