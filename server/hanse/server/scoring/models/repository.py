"""What Triton's clients and load generators ask beyond the protocol itself: its repository extension."""

from collections.abc import Callable, Collection, Iterator
from operator import methodcaller
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.errors import ServingError
from hanse.server.completions import IncomingCall
from hanse.server.scoring.borders import parse
from hanse.server.scoring.callers import Callers
from hanse.server.scoring.models.table import VersionTable
from hanse.server.scoring.scorer import Site
from hanse.server.scoring.service import SERVER_NAME, SERVICE_NAME, InferenceService

READY: Final = "READY"
UNAVAILABLE: Final = "UNAVAILABLE"

_TYPES: Final = {"FP32": oip.TYPE_FP32, "FP64": oip.TYPE_FP64, "BYTES": oip.TYPE_STRING}


class RepositoryService:
    """The methods of the extension; they are methods of the same service.

    Args:
        site: What the scorer works with.
        service: Knows the inputs and outputs of a model.
        callers: Who may call.
        operators: Names of those who may load and unload.
    """

    def __init__(
        self, site: Site, service: InferenceService, callers: Callers, operators: Collection[str]
    ) -> None:
        self._site = site
        self._service = service
        self._callers = callers
        self._operators = frozenset(operators)

    def handler(self) -> grpc.GenericRpcHandler:
        """What to register with a server, beside the handler of the protocol itself."""
        methods: dict[str, Callable[[bytes, IncomingCall], Any]] = {
            "ModelConfig": self._plain(oip.ModelConfigRequest, self.model_config),
            "ModelStatistics": self._plain(oip.ModelStatisticsRequest, self.model_statistics),
            "RepositoryIndex": self._plain(oip.RepositoryIndexRequest, self.repository_index),
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        serialise = methodcaller("SerializeToString")
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(method, response_serializer=serialise)
            for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    def model_config(self, request: oip.ModelConfigRequest) -> oip.ModelConfigResponse:
        """Answers inputs and outputs as Triton's configuration names them.

        Raises:
            ServingError: ``model.not-found`` and the like, as for a call.
        """
        told = self._service.model_metadata(
            oip.ModelMetadataRequest(name=request.name, version=request.version)
        )
        config = oip.ModelConfig(name=told.name, platform=SERVER_NAME, backend=SERVER_NAME)
        for tensor in told.inputs:
            config.input.add(name=tensor.name, data_type=_TYPES[tensor.datatype], dims=tensor.shape)
        for tensor in told.outputs:
            config.output.add(name=tensor.name, data_type=_TYPES[tensor.datatype], dims=tensor.shape)
        return oip.ModelConfigResponse(config=config)

    def model_statistics(self, request: oip.ModelStatisticsRequest) -> oip.ModelStatisticsResponse:
        """Answers how many calls each version has answered and refused, and how long that took."""
        response = oip.ModelStatisticsResponse()
        for one in self._site.statistics.all():
            if request.name in ("", one.name) and request.version in ("", one.version):
                told = response.model_stats.add(
                    name=one.name,
                    version=one.version,
                    last_inference=one.last_ms,
                    inference_count=one.subjects,
                    execution_count=one.answered,
                )
                told.inference_stats.success.count = one.answered
                told.inference_stats.success.ns = one.answered_ns
                told.inference_stats.fail.count = one.refused
                told.inference_stats.fail.ns = one.refused_ns
        return response

    def repository_index(self, request: oip.RepositoryIndexRequest) -> oip.RepositoryIndexResponse:
        """Answers which versions answer, and which would if they could be taken up.

        Raises:
            ServingError: ``model.not-found`` for a repository by name; there is one, without.
        """
        _require_no_name(request.repository_name)
        models = [
            oip.RepositoryIndexResponse.ModelIndex(name=name, version=version, state=state, reason=reason)
            for name, version, state, reason in self._index()
            if state == READY or not request.ready
        ]
        return oip.RepositoryIndexResponse(models=models)

    def _index(self) -> Iterator[tuple[str, str, str, str]]:
        table = self._site.table
        if not isinstance(table, VersionTable):
            yield table.primary.name, table.primary.version, READY, "live"
            return
        now = table.versions
        for number in sorted({*now.served, *now.refused}):
            reason = now.refused.get(number, "unloaded" if now.unloaded else "")
            role = "live" if number == now.live else now.state.role(number) or ""
            yield now.state.model, str(number), UNAVAILABLE if reason else READY, reason or role

    async def _load(self, body: bytes, context: IncomingCall) -> oip.RepositoryModelLoadResponse:
        caller = self._operator(context)
        request = parse(oip.RepositoryModelLoadRequest, body)
        if request.parameters:
            raise ServingError("scoring.bad-input", "what is loaded is decided by signatures alone")
        await self._serve(caller, request.repository_name, request.model_name, loaded=True)
        return oip.RepositoryModelLoadResponse()

    async def _unload(self, body: bytes, context: IncomingCall) -> oip.RepositoryModelUnloadResponse:
        caller = self._operator(context)
        request = parse(oip.RepositoryModelUnloadRequest, body)
        await self._serve(caller, request.repository_name, request.model_name, loaded=False)
        return oip.RepositoryModelUnloadResponse()

    async def _serve(self, caller: str, repository: str, model: str, *, loaded: bool) -> None:
        _require_no_name(repository)
        if self._site.follower is None or model != self._site.table.primary.name:
            raise ServingError("model.not-found", "a model is asked for that is not served")
        await self._site.follower.serve(caller, loaded=loaded)

    def _operator(self, context: IncomingCall) -> str:
        """The caller, if it is an operator.

        Raises:
            ServingError: ``scoring.not-operator``.
        """
        caller = self._callers.identify(context)
        if caller not in self._operators:
            raise ServingError("scoring.not-operator", f"{caller} is not among the operators of the settings")
        return caller

    def _plain(
        self, kind: type[Message], method: Callable[[Any], Message]
    ) -> Callable[[bytes, IncomingCall], Any]:
        async def answer(body: bytes, context: IncomingCall) -> Message:
            self._callers.identify(context)
            return method(parse(kind, body))

        return answer


def _require_no_name(repository: str) -> None:
    if repository:
        raise ServingError("model.not-found", "there is one repository, without a name")
