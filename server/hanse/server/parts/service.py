"""The service that a label holder's scorer asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from hanse.api.v1 import part_answers_pb2 as pb
from hanse.errors import HanseError, ServingError
from hanse.server.parts.answering import Answering
from hanse.server.scoring.borders import CODE_TRAILER, parse
from hanse.server.scoring.callers import Callers

SERVICE: Final = "hanse.api.v1.PartAnswers"
TELL_AGAIN_S: Final = 1.0
"""How often an epoch is told that has not changed, seconds."""

_Context = grpc.aio.ServicerContext[Any, Any]


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

    async def _answer(self, body: bytes, context: _Context) -> bytes:
        try:
            return await self._answering.answer(body, lambda: self._callers.identify(context))
        except HanseError as error:
            return await _refuse(context, error)

    async def _follow(self, body: bytes, context: _Context) -> AsyncIterator[bytes]:
        try:
            self._callers.identify(context)
            if parse(pb.FollowRequest, body).part.hex() != self._answering.site.kept.digest:
                raise ServingError("model.not-found", "a part is followed that is not the one here")
        except HanseError as error:
            await _refuse(context, error)
        while True:
            changed = self._changed
            yield pb.FollowResponse(epoch=self._answering.epoch).SerializeToString()
            try:
                async with asyncio.timeout(TELL_AGAIN_S):
                    await changed.wait()
            except TimeoutError:
                continue


async def _refuse(context: _Context, error: HanseError) -> NoReturn:
    """Ends a call with the code and the public message of an error, and nothing else of it."""
    context.set_trailing_metadata(((CODE_TRAILER, error.code),))
    await context.abort(grpc.StatusCode[error.spec.status.value], error.public_message)
    raise error  # not reached: abort raises
