"""The coordinator's gRPC service: mutual TLS, enrolled members only, and errors say no more than they may."""

import logging
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import grpc
from typing_extensions import override

from hanse.api.v1 import coordinator_pb2 as pb
from hanse.api.v1 import coordinator_pb2_grpc as pb_grpc
from hanse.crypto import canonical_json, fingerprint
from hanse.errors import ConfigurationError, HanseError, IdentityError
from hanse.server.coordinator import Coordinator
from hanse.server.runs import RunBook, RunEvent, RunRecord

CHUNK_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
WORKERS = 16

log = logging.getLogger("hanse.server")

R = TypeVar("R")


def abort(context: grpc.ServicerContext, error: Exception) -> None:
    """Ends the call with the error's status and public message, and nothing else of it."""
    known = error if isinstance(error, HanseError) else HanseError("internal.error", repr(error))
    log.warning("call refused: %s", known, exc_info=known if known is error else error)
    context.set_trailing_metadata((("hanse-error-code", known.code),))
    context.abort(grpc.StatusCode[known.spec.status.value], known.public_message)


def _unary(method: Callable[..., R]) -> Callable[..., R]:
    """Authenticates the caller and translates errors around a unary method."""

    @wraps(method)
    def call(self: "CoordinatorService", request: Any, context: grpc.ServicerContext) -> R:  # noqa: ANN401
        try:
            return method(self, request, context, self.authenticate(context))
        except Exception as error:
            abort(context, error)
            raise

    return call


def _stream(method: Callable[..., Iterator[R]]) -> Callable[..., Iterator[R]]:
    """As :func:`_unary`, for a method that streams."""

    @wraps(method)
    def call(self: "CoordinatorService", request: Any, context: grpc.ServicerContext) -> Iterator[R]:  # noqa: ANN401
        try:
            yield from method(self, request, context, self.authenticate(context))
        except Exception as error:  # noqa: BLE001 - the border of the process
            abort(context, error)

    return call


class CoordinatorService(pb_grpc.CoordinatorServicer):
    """Three-line methods: the work is the coordinator's."""

    def __init__(self, coordinator: Coordinator, book: RunBook, log_path: Path) -> None:
        self._coordinator = coordinator
        self._book = book
        self._log_path = log_path

    def authenticate(self, context: grpc.ServicerContext) -> str:
        """Name of the enrolled identity whose certificate the caller presented.

        Raises:
            IdentityError: ``identity.unauthenticated``.
        """
        presented = context.auth_context().get("x509_pem_cert")
        if not presented:
            raise IdentityError("identity.unauthenticated", "no client certificate")
        return self._coordinator.authenticate(fingerprint(bytes(presented[0]))).name

    @override
    @_unary
    def SubmitAgreement(
        self, request: pb.SubmitAgreementRequest, context: grpc.ServicerContext, caller: str
    ) -> pb.SubmitAgreementResponse:
        """See the protocol file."""
        del context
        return pb.SubmitAgreementResponse(
            agreement_digest=self._coordinator.accept(request.agreement, caller).digest
        )

    @override
    @_stream
    def StartRun(
        self, request: pb.StartRunRequest, context: grpc.ServicerContext, caller: str
    ) -> Iterator[pb.RunEvent]:
        """See the protocol file."""
        yield from _events(self._coordinator.start(request.agreement_digest, caller), context)

    @override
    @_stream
    def WatchRun(
        self, request: pb.WatchRunRequest, context: grpc.ServicerContext, caller: str
    ) -> Iterator[pb.RunEvent]:
        """See the protocol file."""
        record = self._book.get(request.run)
        record.require_member(caller)
        yield from _events(record, context)

    @override
    @_unary
    def CancelRun(
        self, request: pb.CancelRunRequest, context: grpc.ServicerContext, caller: str
    ) -> pb.CancelRunResponse:
        """See the protocol file."""
        del context
        record = self._book.get(request.run)
        record.require_member(caller)
        record.cancel()
        return pb.CancelRunResponse()

    @override
    @_unary
    def GetModel(
        self, request: pb.GetModelRequest, context: grpc.ServicerContext, caller: str
    ) -> pb.GetModelResponse:
        """See the protocol file."""
        del context
        manifest, weights = self._coordinator.model(request.model, caller)
        return pb.GetModelResponse(manifest=manifest, weights=weights)

    @override
    @_stream
    def GetLog(
        self, request: pb.GetLogRequest, context: grpc.ServicerContext, caller: str
    ) -> Iterator[pb.GetLogResponse]:
        """See the protocol file."""
        del request, context, caller
        with self._log_path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield pb.GetLogResponse(chunk=chunk)


def _events(record: RunRecord, context: grpc.ServicerContext) -> Iterator[pb.RunEvent]:
    return map(_event, record.watch(context.is_active))


def _event(event: RunEvent) -> pb.RunEvent:
    facts = canonical_json(dict(event.facts)).decode()
    return pb.RunEvent(run=event.run, time=event.time, type=event.type, round=event.round, facts=facts)


def serve(
    service: CoordinatorService, address: str, key: Path, certificate: Path, peers: Callable[[], list[str]]
) -> grpc.Server:
    """Starts the service; the caller stops it.

    Args:
        service: The service.
        address: ``host:port``.
        key: PEM file, the server's key.
        certificate: PEM file, the server's certificate.
        peers: Client certificates (PEM) that are accepted now; asked again for every new connection, so
            that a member that is enrolled later needs no restart.

    Raises:
        ConfigurationError: ``config.invalid`` when the address cannot be bound.
    """
    pair = [(key.read_bytes(), certificate.read_bytes())]

    def configuration() -> Any:  # noqa: ANN401 - grpc's type has no public name
        roots = "".join(peers()).encode() or certificate.read_bytes()
        return grpc.ssl_server_certificate_configuration(pair, root_certificates=roots)

    credentials = grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=True
    )
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=options)
    pb_grpc.add_CoordinatorServicer_to_server(service, server)
    try:
        server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigurationError(
            "config.invalid", f"cannot listen on {address}; is the port in use?"
        ) from error
    server.start()
    return server
