"""The shared log over gRPC: what its witnesses and the members' nodes ask of it.

The log itself is no secret among those who take part: it carries counts, digests and codes. Who is neither an
enrolled member nor an enrolled auditor reads nothing; an auditor reads and co-signs, and does nothing else.
"""

from collections.abc import Iterator
from typing import Final

import grpc
from typing_extensions import override

from hanse.api.v1 import audit_pb2 as pb
from hanse.api.v1 import audit_pb2_grpc as pb_grpc
from hanse.audit import consistency_proof, inclusion_proof
from hanse.crypto import CosignerVerifier
from hanse.errors import AuditError, IdentityError
from hanse.policies import Identity
from hanse.server.calls import caller_of, stream, unary
from hanse.server.coordinator import Coordinator
from hanse.server.statements import Statements
from hanse.server.witnesses import Witnesses

ROLES: Final = frozenset({"member", "auditor"})
CHUNK_ENTRIES: Final = 256


class AuditService(pb_grpc.AuditServicer):
    """See the protocol file."""

    def __init__(self, coordinator: Coordinator, statements: Statements, witnesses: Witnesses) -> None:
        self._coordinator = coordinator
        self._statements = statements
        self._witnesses = witnesses

    def authenticate(self, context: grpc.ServicerContext) -> Identity:
        """The enrolled member or auditor that calls.

        Raises:
            IdentityError: ``identity.unauthenticated``.
        """
        caller = caller_of(context, self._coordinator)
        if caller.role not in ROLES:
            raise IdentityError("identity.unauthenticated", f"{caller.name} is neither member nor auditor")
        return caller

    @override
    @unary
    def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetCheckpointResponse:
        """See the protocol file."""
        del request, context, caller
        with self._witnesses.reader() as reader:
            return pb.GetCheckpointResponse(note=reader.note)

    @override
    @stream
    def WatchCheckpoints(
        self, request: pb.WatchCheckpointsRequest, context: grpc.ServicerContext, caller: Identity
    ) -> Iterator[pb.WatchCheckpointsResponse]:
        """See the protocol file."""
        del caller
        size = request.size if request.HasField("size") else None
        for note in self._witnesses.watch(size, context.is_active):
            yield pb.WatchCheckpointsResponse(note=note)

    @override
    @stream
    def GetEntries(
        self, request: pb.GetEntriesRequest, context: grpc.ServicerContext, caller: Identity
    ) -> Iterator[pb.GetEntriesResponse]:
        """See the protocol file."""
        del context, caller
        with self._witnesses.reader() as reader:
            end = request.end or reader.size
            _check_range(request.first, end, reader.size)
        # A view of its own for each piece: whoever reads slowly holds up nobody who writes.
        for first in range(request.first, end, CHUNK_ENTRIES):
            with self._witnesses.reader() as reader:
                entries = list(reader.leaves(first, min(first + CHUNK_ENTRIES, end)))
            yield pb.GetEntriesResponse(entries=entries)

    @override
    @unary
    def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetConsistencyProofResponse:
        """See the protocol file."""
        del context, caller
        with self._witnesses.reader() as reader:
            _check_range(request.old_size, request.size, reader.size)
            hashes = consistency_proof(request.old_size, request.size, reader.hashes)
        return pb.GetConsistencyProofResponse(hashes=hashes)

    @override
    @unary
    def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetInclusionProofResponse:
        """See the protocol file."""
        del context, caller
        with self._witnesses.reader() as reader:
            _check_range(request.index + 1, request.size, reader.size)
            hashes = inclusion_proof(request.index, request.size, reader.hashes)
        return pb.GetInclusionProofResponse(hashes=hashes)

    @override
    @unary
    def GetRotations(
        self, request: pb.GetRotationsRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetRotationsResponse:
        """See the protocol file."""
        del request, context, caller
        with self._witnesses.reader() as reader:
            return pb.GetRotationsResponse(first_key=reader.first_key, notes=reader.rotations())

    @override
    @unary
    def AddCosignature(
        self, request: pb.AddCosignatureRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.AddCosignatureResponse:
        """See the protocol file."""
        del context
        if caller.witness_key is None:
            raise IdentityError("identity.unknown-signer", f"{caller.name} has no key as a witness")
        self._witnesses.add(request.size, request.line, CosignerVerifier.decode(caller.witness_key))
        return pb.AddCosignatureResponse()

    @override
    @unary
    def GetSubmitted(
        self, request: pb.GetSubmittedRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.GetSubmittedResponse:
        """See the protocol file."""
        del request, context
        return pb.GetSubmittedResponse(size=self._statements.submitted(_member(caller)))

    @override
    @unary
    def SubmitRound(
        self, request: pb.SubmitRoundRequest, context: grpc.ServicerContext, caller: Identity
    ) -> pb.SubmitRoundResponse:
        """See the protocol file."""
        del context
        index = self._statements.submit(
            request.statement, request.old_size, list(request.consistency), _member(caller)
        )
        return pb.SubmitRoundResponse(index=index)


def _member(caller: Identity) -> str:
    """Name of a caller that may state what it did in a run."""
    if caller.role != "member":
        raise IdentityError("identity.unauthenticated", f"{caller.name} is no member")
    return caller.name


def _check_range(first: int, end: int, size: int) -> None:
    if not first <= end <= size:
        raise AuditError("audit.integrity", f"the log has no entries {first} to {end}; its size is {size}")
