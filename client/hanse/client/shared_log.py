"""What a node, a witness or an auditor asks of the coordinator's shared log, over gRPC with mutual TLS."""

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import grpc

from hanse.api.v1 import audit_pb2 as pb
from hanse.api.v1 import audit_pb2_grpc as pb_grpc
from hanse.audit import parse_checkpoint
from hanse.audit.rotation import Handover
from hanse.client.channel import CALL_TIMEOUT_S, open_channel, translated
from hanse.client.home import MemberHome
from hanse.crypto import unverified_text


class SharedLogClient:
    """A connection to the shared log; thread-safe; use it as a context manager, or close it.

    Nothing that it answers is trusted: a witness holds proofs against what it remembers.

    Args:
        home: The site's folder: its TLS key and certificate, and the coordinator's authority.
        address: ``host:port`` of the coordinator's gRPC services.

    Raises:
        ConfigurationError: ``config.missing-file`` if no coordinator is enrolled.
    """

    def __init__(self, home: MemberHome, address: str) -> None:
        self._address = address
        self._channel = open_channel(home, address)
        self._stub = pb_grpc.AuditStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; whoever waits for an answer gets an error."""
        self._channel.close()

    def checkpoint(self) -> bytes:
        """The newest checkpoint, a note with the cosignatures that were collected for it."""
        with translated(self._address):
            return self._stub.GetCheckpoint(pb.GetCheckpointRequest(), timeout=CALL_TIMEOUT_S).note

    def checkpoints(self, size: int | None, stopping: threading.Event) -> Iterator[bytes]:
        """Yields the newest checkpoint unless it has the given size, then others until told to stop."""
        with translated(self._address):
            call = self._stub.WatchCheckpoints(pb.WatchCheckpointsRequest(size=size))
            watcher = threading.Thread(target=_cancel_when, args=(stopping, call), daemon=True)
            watcher.start()
            try:
                for answer in call:
                    yield answer.note
            except grpc.RpcError as error:
                if not stopping.is_set() or error.code() is not grpc.StatusCode.CANCELLED:
                    raise
            finally:
                call.cancel()

    def entries(self, first: int, end: int) -> Iterator[bytes]:
        """Entries ``[first, end)``, exact bytes."""
        with translated(self._address):
            request = pb.GetEntriesRequest(first=first, end=end)
            for answer in self._stub.GetEntries(request, timeout=CALL_TIMEOUT_S):
                yield from answer.entries

    def consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """Proof that the log of one size begins with that of a smaller one."""
        with translated(self._address):
            request = pb.GetConsistencyProofRequest(old_size=old_size, size=size)
            return tuple(self._stub.GetConsistencyProof(request, timeout=CALL_TIMEOUT_S).hashes)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Proof that an entry is in the log of a size."""
        with translated(self._address):
            request = pb.GetInclusionProofRequest(index=index, size=size)
            return tuple(self._stub.GetInclusionProof(request, timeout=CALL_TIMEOUT_S).hashes)

    def rotations(self) -> tuple[str, tuple[bytes, ...]]:
        """The key with which the log says it began, and the checkpoints at which it changed its key."""
        with translated(self._address):
            answer = self._stub.GetRotations(pb.GetRotationsRequest(), timeout=CALL_TIMEOUT_S)
            return answer.first_key, tuple(answer.notes)

    def handovers(self) -> Iterator[Handover]:
        """The changes of the log's key, in order, each with what shows it.

        Raises:
            ProtocolError: ``protocol.malformed`` if the coordinator sends a note that is no checkpoint.
        """
        _, notes = self.rotations()
        for note in notes:
            size = parse_checkpoint(unverified_text(note)).size
            entry = b"".join(self.entries(max(size - 1, 0), size))
            yield Handover(note, entry, self.inclusion(max(size - 1, 0), size))

    def cosign(self, size: int, line: str) -> None:
        """Hands in a cosignature of the checkpoint of a size."""
        with translated(self._address):
            request = pb.AddCosignatureRequest(size=size, line=line)
            self._stub.AddCosignature(request, timeout=CALL_TIMEOUT_S)

    def submitted(self) -> int:
        """Size that this member's own log had when it stated something last."""
        with translated(self._address):
            # Whoever was asked for a step waits for the coordinator to be there again, and does not give up.
            request = pb.GetSubmittedRequest()
            return self._stub.GetSubmitted(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True).size

    def submit(self, statement: bytes, old_size: int, proof: Sequence[bytes]) -> int:
        """Hands in a statement of this member; returns the index of its entry."""
        with translated(self._address):
            request = pb.SubmitRoundRequest(statement=statement, old_size=old_size, consistency=proof)
            return self._stub.SubmitRound(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True).index


def _cancel_when(stopping: threading.Event, call: "grpc.Future[None]") -> None:
    while not stopping.wait(0.2):
        if call.done():
            return
    call.cancel()
