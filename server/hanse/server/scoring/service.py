"""The Open Inference Protocol service: its methods, and how gRPC reaches them."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import ServingError
from hanse.server.scoring.borders import parse
from hanse.server.scoring.call import DECISION_OUTPUT, SCORE_OUTPUT, SUBJECT_INPUT
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.scorer import Scorer
from hanse.server.scoring.tensors import BYTES

SERVICE_NAME: Final = "inference.GRPCInferenceService"
SERVER_NAME: Final = "hanse"
PURPOSE_METADATA: Final = "x-hanse-purpose"

_Context = grpc.aio.ServicerContext[Any, Any]
_serialise = methodcaller("SerializeToString")


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
            "ModelInfer": self._infer,
        }
        # Requests arrive as bytes: gRPC would answer those that do not parse with an error of its own,
        # and the log names a scoring request by the digest of exactly what came.
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(method, response_serializer=_serialise)
            for name, method in methods.items()
        }
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
            self._scorer.require_model(request.name, request.version)
        except ServingError:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self.ready)

    def server_metadata(self, _request: oip.ServerMetadataRequest) -> oip.ServerMetadataResponse:
        """Answers name and version of the software; it serves no extension."""
        return oip.ServerMetadataResponse(name=SERVER_NAME, version=self._version)

    def model_metadata(self, request: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        """Answers the inputs and outputs of the model.

        Raises:
            ServingError: ``model.not-found`` for every version but the one served.
        """
        self._scorer.require_model(request.name, request.version)
        manifest = self._scorer.site.model.manifest
        response = oip.ModelMetadataResponse(
            name=manifest.name, versions=[str(manifest.version)], platform=SERVER_NAME
        )
        response.inputs.add(name=SUBJECT_INPUT, datatype=BYTES, shape=[-1])
        for column in self._scorer.site.agreement.agreement.columns:
            datatype = "FP64" if column.kind == "numeric" else BYTES
            response.inputs.add(name=column.name, datatype=datatype, shape=[-1])
        response.outputs.add(name=SCORE_OUTPUT, datatype="FP32", shape=[-1])
        response.outputs.add(name=DECISION_OUTPUT, datatype=BYTES, shape=[-1])
        return response

    async def _infer(self, body: bytes, context: _Context) -> oip.ModelInferResponse:
        metadata = context.invocation_metadata() or ()
        purposes = [str(value) for key, value in metadata if key == PURPOSE_METADATA]
        return await self._scorer.infer(lambda: self._callers.identify(context), body, purposes)

    def _plain(
        self, kind: type[Message], method: Callable[[Any], Message]
    ) -> Callable[[bytes, _Context], Any]:
        async def answer(body: bytes, context: _Context) -> Message:
            self._callers.identify(context)
            return method(parse(kind, body))

        return answer
