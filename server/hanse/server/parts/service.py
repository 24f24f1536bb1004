"""The service that a label holder's scorer asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import grpc

from hanse.api.v1 import part_answers_pb2 as pb
from hanse.errors import ServingError
from hanse.server.completions import IncomingCall
from hanse.server.parts.answering import Answering
from hanse.server.scoring.borders import parse
from hanse.server.scoring.callers import Callers

SERVICE: Final = "hanse.api.v1.PartAnswers"
TELL_AGAIN_S: Final = 1.0
"""How often an epoch is told that has not changed, seconds."""


class PartService:
    """See ``hanse/api/v1/part_answers.proto``.

    Args:
        answering: Answers.
        callers: The label holder, and nobody else.
    """

    def __init__(self, answering: Answering, callers: Callers) -> None:
        self._answering = answering
        self._callers = callers
        self._changed = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        """What to register with a server; messages arrive as bytes, of which the log has a digest."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Answer": grpc.unary_unary_rpc_method_handler(self._answer),
                "Follow": grpc.unary_stream_rpc_method_handler(self._follow),
            },
        )

    def tell(self, epoch: bytes) -> None:
        """Another epoch begins; everybody who follows is told."""
        self._answering.epoch = epoch
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _answer(self, body: bytes, context: IncomingCall) -> bytes:
        return await self._answering.answer(body, lambda: self._callers.identify(context))

    async def _follow(self, body: bytes, context: IncomingCall) -> AsyncIterator[bytes]:
        self._callers.identify(context)
        if parse(pb.FollowRequest, body).part.hex() != self._answering.site.kept.digest:
            raise ServingError("model.not-found", "a part is followed that is not the one here")
        while True:
            changed = self._changed
            yield pb.FollowResponse(epoch=self._answering.epoch).SerializeToString()
            try:
                async with asyncio.timeout(TELL_AGAIN_S):
                    await changed.wait()
            except TimeoutError:
                continue
