"""The Open Inference Protocol service: its methods, and how gRPC reaches them."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import Message

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import ServingError
from hanse.policies import check_columns
from hanse.server.completions import IncomingCall
from hanse.server.scoring.alike import may_be_alike
from hanse.server.scoring.asked import Asked, Facts
from hanse.server.scoring.borders import parse, until
from hanse.server.scoring.call import (
    DECISION_OUTPUT,
    OUTPUTS,
    SCORE_OUTPUT,
    SUBJECT_INPUT,
    Call,
    read_call,
    read_purpose,
    routing_bytes,
    write_response,
)
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.layouts import Alike, Layouts, call_of
from hanse.server.scoring.limits import Then
from hanse.server.scoring.noted import Noted
from hanse.server.scoring.scorer import AlikeAnswer, Scorer
from hanse.server.scoring.served import Served
from hanse.server.scoring.telling import tell_of
from hanse.server.scoring.tensors import BYTES

SERVICE_NAME: Final = "inference.GRPCInferenceService"
INFER: Final = f"/{SERVICE_NAME}/ModelInfer"
SERVER_NAME: Final = "hanse"
EXTENSIONS: Final = ("model_repository", "model_configuration", "statistics")
PURPOSE_METADATA: Final = "x-hanse-purpose"

_serialise = methodcaller("SerializeToString")


class _Seen(NamedTuple):
    """What requests looked like.

    Attributes:
        together: Those that are decided together, row by row.
        alone: All others.
    """

    together: Layouts
    alone: Layouts


class InferenceService:
    """The six methods of the protocol.

    Args:
        scorer: Answers the scoring calls.
        callers: Who may call; of every method, also those that say nothing about anybody.
        version: Version of the installed software.
    """

    def __init__(self, scorer: Scorer, callers: Callers, version: str) -> None:
        self._scorer = scorer
        self._callers = callers
        self._seen = _Seen(Layouts(), Layouts())
        self._version = version
        self.ready = True

    def handler(self) -> grpc.GenericRpcHandler:
        """What to register with a server."""
        methods = {
            "ServerLive": self._plain(oip.ServerLiveRequest, self.server_live),
            "ServerReady": self._plain(oip.ServerReadyRequest, self.server_ready),
            "ModelReady": self._plain(oip.ModelReadyRequest, self.model_ready),
            "ServerMetadata": self._plain(oip.ServerMetadataRequest, self.server_metadata),
            "ModelMetadata": self._plain(oip.ModelMetadataRequest, self.model_metadata),
        }
        # Requests arrive as bytes: gRPC would answer those that do not parse with an error of its own,
        # and the log names a scoring request by the digest of exactly what came.
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(method, response_serializer=_serialise)
            for name, method in methods.items()
        }
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)  # answers in bytes
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    def server_live(self, _request: oip.ServerLiveRequest) -> oip.ServerLiveResponse:
        """Answers that the process lives."""
        return oip.ServerLiveResponse(live=True)

    def server_ready(self, _request: oip.ServerReadyRequest) -> oip.ServerReadyResponse:
        """Answers whether scoring calls are taken; not while the process stops."""
        return oip.ServerReadyResponse(ready=self.ready)

    def model_ready(self, request: oip.ModelReadyRequest) -> oip.ModelReadyResponse:
        """Answers whether the named model version is served."""
        try:
            self._scorer.site.table.route(request.name, request.version, b"")
        except ServingError:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self.ready)

    def server_metadata(self, _request: oip.ServerMetadataRequest) -> oip.ServerMetadataResponse:
        """Answers name and version of the software, and the extensions that it serves."""
        return oip.ServerMetadataResponse(name=SERVER_NAME, version=self._version, extensions=EXTENSIONS)

    def model_metadata(self, request: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        """Answers the inputs and outputs of the model.

        Raises:
            ServingError: ``model.not-found`` for every version but the one served.
        """
        served = self._scorer.site.table.route(request.name, request.version, b"")
        response = oip.ModelMetadataResponse(
            name=served.name, versions=[served.version], platform=SERVER_NAME
        )
        response.inputs.add(name=SUBJECT_INPUT, datatype=BYTES, shape=[-1])
        for column in served.columns:
            datatype = "FP64" if column.kind == "numeric" else BYTES
            response.inputs.add(name=column.name, datatype=datatype, shape=[-1])
        response.outputs.add(name=SCORE_OUTPUT, datatype="FP32", shape=[-1])
        response.outputs.add(name=DECISION_OUTPUT, datatype=BYTES, shape=[-1])
        for name, datatype in self._scorer.extra_outputs(served).items():
            response.outputs.add(name=name, datatype=datatype, shape=[-1])
        return response

    async def _infer(self, body: bytes, context: IncomingCall) -> bytes:
        reading = _Reading(self._scorer, self._callers, self._seen, body, context)
        answer = await self._scorer.answer(body, reading.read)
        return write_response(reading.request_id, reading.call.outputs, answer, raw=reading.call.raw)

    def infer_alike(self, body: bytes, call: IncomingCall, noted: Noted, then: Then) -> bool:
        """Answers a request that looks like one before: a :data:`hanse.server.scoring.limits.Quick`."""
        request = self._seen.together.read(body)
        if request is None:
            return False
        caller = self._callers.known(call)
        purposes = _declared(call)
        if request.layout.purpose is not None:
            purposes.add(request.layout.purpose)
        if caller is None or len(purposes) != 1:
            return False

        def told(answered: AlikeAnswer) -> None:
            if answered is None or isinstance(answered, BaseException):
                then(answered)
                return
            facts, answer = answered
            tell_of(facts, noted)
            if isinstance(answer, Exception):
                then(answer)
                return
            try:
                body = write_response(request.request_id, request.layout.outputs, answer, raw=True)
            except Exception as error:  # noqa: BLE001 - it refuses this call, and no other of its turn
                then(error)
            else:
                then(body)

        return self._scorer.answer_alike(caller, purposes.pop(), request, body, told)

    def _plain(
        self, kind: type[Message], method: Callable[[Any], Message]
    ) -> Callable[[bytes, IncomingCall], Any]:
        async def answer(body: bytes, context: IncomingCall) -> Message:
            self._callers.identify(context)
            return method(parse(kind, body))

        return answer


def _declared(context: IncomingCall) -> set[str]:
    """Purposes named in the metadata of a call."""
    return {str(value) for key, value in context.invocation_metadata() or () if key == PURPOSE_METADATA}


class _Reading:
    """Reads one call; what the response needs of it stays here."""

    request_id: bytes
    call: Call

    def __init__(
        self, scorer: Scorer, callers: Callers, seen: _Seen, body: bytes, context: IncomingCall
    ) -> None:
        self._scorer = scorer
        self._seen = seen
        self._callers = callers
        self._body = body
        self._context = context

    def read(self, facts: Facts) -> Asked:
        """Every check of the request in its order: caller, purpose, model, columns, shape."""
        facts.caller = self._callers.identify(self._context)
        alike = self._seen.alone.read(self._body)
        return (None if alike is None else self._read_alike(facts, alike)) or self._read_anew(facts)

    def _read_alike(self, facts: Facts, alike: Alike) -> Asked | None:
        """A request that looks like one that was good; None where it is to be read anew."""
        layout = alike.layout
        purposes = _declared(self._context) | ({layout.purpose} if layout.purpose is not None else set())
        if len(purposes) != 1:
            return None
        (facts.purpose,) = purposes
        served = self._scorer.admit(facts, layout.model, layout.version, alike.subjects)
        call = call_of(alike) if layout.bound_to == served.digest else None
        if call is None:
            return None
        self.request_id, self.call = alike.request_id, call
        return self._asked(facts, served, _beside_scores(call.outputs))

    def _read_anew(self, facts: Facts) -> Asked:
        request = parse(oip.ModelInferRequest, self._body)
        self.request_id = request.id.encode()
        facts.purpose = read_purpose(request, _declared(self._context))
        served = self._scorer.admit(facts, request.model_name, request.model_version, routing_bytes(request))
        self.call = call = self._read_all(request, served)
        outputs = _beside_scores(call.outputs)
        if not outputs and may_be_alike(served):
            self._seen.together.learn(self._body, request, served.agreement.digest, call)
        else:
            self._seen.alone.learn(self._body, request, served.digest, call)
        return self._asked(facts, served, outputs)

    def _asked(self, facts: Facts, served: Served, outputs: tuple[str, ...]) -> Asked:
        assert facts.caller is not None and facts.purpose is not None  # noqa: S101, PT018 - admitted
        return Asked(
            facts.caller,
            facts.purpose,
            served,
            self.call.subjects,
            self.call.columns,
            outputs,
            until=until(self._context),
        )

    def _read_all(self, request: oip.ModelInferRequest, served: Served) -> Call:
        names = [tensor.name for tensor in request.inputs if tensor.name != SUBJECT_INPUT]
        check_columns(served.agreement.agreement, names)
        extras = self._scorer.extra_outputs(served)
        return read_call(request, served.columns, self._scorer.site.maximum_rows, extras)


def _beside_scores(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Those that only some models serve."""
    return tuple(name for name in outputs if name not in OUTPUTS)
