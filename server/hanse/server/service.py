"""The coordinator's gRPC service: mutual TLS, enrolled members only, and errors say no more than they may."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
from typing_extensions import override

from hanse.api.v1 import audit_pb2_grpc, exchange_pb2_grpc
from hanse.api.v1 import coordinator_pb2 as pb
from hanse.api.v1 import coordinator_pb2_grpc as pb_grpc
from hanse.crypto import canonical_json
from hanse.policies import Identity
from hanse.server.audit_service import AuditService
from hanse.server.calls import member_of, stream, unary
from hanse.server.coordinator import Coordinator
from hanse.server.exchange import ExchangeService
from hanse.server.listener import Listener
from hanse.server.runs import RunBook, RunEvent, RunRecord
from hanse.server.sweeps import SweepRecord


class CoordinatorService(pb_grpc.CoordinatorServicer):
    """Three-line methods: the work is the coordinator's."""

    def __init__(self, coordinator: Coordinator, book: RunBook) -> None:
        self._coordinator = coordinator
        self._book = book

    def authenticate(self, context: grpc.ServicerContext) -> Identity:
        """The enrolled member that calls; raises ``identity.unauthenticated`` for everybody else."""
        return member_of(context, self._coordinator)

    @override
    @unary
    def SubmitAgreement(
        self, request: pb.SubmitAgreementRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.SubmitAgreementResponse:
        """See the protocol file."""
        del context
        return pb.SubmitAgreementResponse(
            agreement_digest=self._coordinator.accept(request.agreement, caller.name).digest
        )

    @override
    @stream
    def StartRun(
        self, request: pb.StartRunRequest, context: grpc.ServicerContext, caller: Identity
    ) -> Iterator[pb.RunEvent]:
        """See the protocol file."""
        started = self._coordinator.start(request.agreement_digest, caller.name, request.trials)
        yield from _events(started, context)

    @override
    @stream
    def WatchRun(
        self, request: pb.WatchRunRequest, context: grpc.ServicerContext, caller: Identity
    ) -> Iterator[pb.RunEvent]:
        """See the protocol file."""
        record = self._book.get(request.run)
        record.require_member(caller.name)
        yield from _events(record, context)

    @override
    @unary
    def CancelRun(
        self, request: pb.CancelRunRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.CancelRunResponse:
        """See the protocol file."""
        del context
        record = self._book.get(request.run)
        record.require_member(caller.name)
        record.cancel()
        return pb.CancelRunResponse()

    @override
    @unary
    def GetModel(
        self, request: pb.GetModelRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetModelResponse:
        """See the protocol file."""
        del context
        model = self._coordinator.model(request.model, caller.name)
        return pb.GetModelResponse(
            manifest=model.manifest,
            weights=model.weights,
            registration=model.registration,
            registration_proof=model.proof,
        )


def _events(record: RunRecord | SweepRecord, context: grpc.ServicerContext) -> Iterator[pb.RunEvent]:
    return map(_event, record.watch(context.is_active))


def _event(event: RunEvent) -> pb.RunEvent:
    facts = canonical_json(dict(event.facts)).decode()
    return pb.RunEvent(run=event.run, time=event.time, type=event.type, round=event.round, facts=facts)


def serve(
    service: CoordinatorService,
    audit: AuditService,
    exchange: ExchangeService,
    address: str,
    key: Path,
    certificate: Path,
    peers: Callable[[], list[str]],
) -> Listener:
    """Starts the services on one port; the caller stops them.

    Args:
        service: What members ask of the coordinator.
        audit: The shared log.
        exchange: The sessions inside a round.
        address: ``host:port``.
        key: PEM file, the server's key.
        certificate: PEM file, the server's certificate.
        peers: Client certificates (PEM) that are accepted now; asked again by :meth:`Listener.renew`, so that
            a member that is enrolled later needs no restart.

    Raises:
        ConfigurationError: ``config.invalid`` when the address cannot be bound.
    """
    services = (
        partial(pb_grpc.add_CoordinatorServicer_to_server, service),
        partial(audit_pb2_grpc.add_AuditServicer_to_server, audit),
        partial(exchange_pb2_grpc.add_ExchangeServicer_to_server, exchange),
    )
    return Listener(services, address, key, certificate, peers)
