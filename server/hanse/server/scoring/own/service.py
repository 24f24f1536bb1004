"""``hanse.api.v1.Scoring``: its methods, and how gRPC reaches them."""

from collections.abc import AsyncIterator, Sequence
from operator import methodcaller
from typing import Any, Final

import grpc

from hanse.api.v1 import scoring_pb2 as pb
from hanse.errors import ServingError
from hanse.server.completions import IncomingCall
from hanse.server.scoring.asked import Answer, Asked, Facts
from hanse.server.scoring.borders import parse, until
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.own.cards import card_of
from hanse.server.scoring.own.explaining import explanations
from hanse.server.scoring.own.messages import REASONS, read_subjects, wanted, write_answer, write_results
from hanse.server.scoring.own.streaming import Stream
from hanse.server.scoring.scorer import Scorer
from hanse.server.scoring.tensors import pack_texts

OWN_SERVICE_NAME: Final = "hanse.api.v1.Scoring"
MOST_EXPLAINED: Final = 64
"""Most subjects whose scores are explained in one call; an explanation costs far more than a score."""

_serialise = methodcaller("SerializeToString")


class ScoringService:
    """The four methods.

    Args:
        scorer: Answers the calls.
        callers: Who may call.
    """

    def __init__(self, scorer: Scorer, callers: Callers) -> None:
        self._scorer = scorer
        self._callers = callers

    def handler(self) -> grpc.GenericRpcHandler:
        """What to register with a server. Requests arrive as bytes, as those of Open Inference do."""
        once = {"Score": self.score, "GetModelCard": self.model_card, "Explain": self.explain}
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(method, response_serializer=_serialise)
            for name, method in once.items()
        }
        handlers["ScoreStream"] = grpc.stream_stream_rpc_method_handler(
            self.score_stream,
            response_serializer=_serialise,
        )
        return grpc.method_handlers_generic_handler(OWN_SERVICE_NAME, handlers)

    async def score(self, body: bytes, context: IncomingCall) -> pb.ScoreResponse:
        """Scores subjects by their identifiers."""
        answer, caller = await self._answer(pb.ScoreRequest, body, context)
        return pb.ScoreResponse(answer=_said(answer, caller), results=write_results(answer))

    async def explain(self, body: bytes, context: IncomingCall) -> pb.ExplainResponse:
        """Scores subjects, and says why each score is as it is."""
        answer, caller = await self._answer(pb.ExplainRequest, body, context)
        return pb.ExplainResponse(
            answer=_said(answer, caller),
            results=write_results(answer),
            explanations=explanations(answer.outputs[REASONS]),
        )

    async def score_stream(self, messages: AsyncIterator[bytes], context: IncomingCall) -> None:
        """Scores many subjects."""
        stream = Stream(self._scorer, lambda: self._callers.identify(context), until(context))
        await stream.serve(messages, context.write)

    async def model_card(self, body: bytes, context: IncomingCall) -> pb.GetModelCardResponse:
        """Says what a model version is.

        Raises:
            ServingError: ``model.not-found``.
        """
        caller = self._callers.identify(context)
        request = parse(pb.GetModelCardRequest, body)
        served = self._scorer.site.table.route(request.model, request.version, b"")
        return card_of(served, caller)

    async def _answer(
        self, kind: type[pb.ScoreRequest] | type[pb.ExplainRequest], body: bytes, context: IncomingCall
    ) -> tuple[Answer, str]:
        seen: list[str] = []

        def read(facts: Facts) -> Asked:
            caller = facts.caller = self._callers.identify(context)
            seen.append(caller)
            request = parse(kind, body)
            facts.purpose = request.purpose
            # As Open Inference sends subjects, so that a person gets the same version by either protocol.
            key = pack_texts([subject.encode() for subject in request.subject_ids])
            served = self._scorer.admit(facts, request.model, request.version, key)
            extras = self._scorer.extra_outputs(served)
            if kind is pb.ExplainRequest:
                if REASONS not in extras:
                    lacks = (
                        "kind of model" if served.agreement.agreement.scoring.reason_codes else "agreement"
                    )
                    raise ServingError("model.no-reasons", f"this {lacks} gives no reasons of scores")
                subjects = self._subjects(request.subject_ids, MOST_EXPLAINED)
                outputs: tuple[str, ...] = tuple({REASONS: "", **served.outputs})
            else:
                subjects = self._subjects(request.subject_ids)
                outputs = wanted(extras)
            return Asked(
                caller,
                request.purpose,
                served,
                subjects,
                None,
                outputs,
                reasons=kind is pb.ExplainRequest,
                until=until(context),
            )

        answer = await self._scorer.answer(body, read)
        return answer, seen[0]

    def _subjects(self, subject_ids: Sequence[str], most: int | None = None) -> tuple[str, ...]:
        maximum = self._scorer.site.maximum_rows
        return read_subjects(subject_ids, maximum if most is None else min(most, maximum))


def _said(answer: Answer, caller: str) -> pb.Answer:
    return write_answer(answer.served, answer.log_index, answer.consent, caller)
