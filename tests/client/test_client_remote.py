"""What a member asks of the coordinator, over real gRPC with mutual TLS."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from typing_extensions import override

from hanse.api.v1 import coordinator_pb2 as pb
from hanse.api.v1 import coordinator_pb2_grpc as pb_grpc
from hanse.client.remote import CoordinatorClient, FetchedModel, RunEvent
from hanse.errors import ConfigurationError, HanseError, ProtocolError
from hanse.server.home import CoordinatorHome
from hanse.server.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import World


class Scripted(pb_grpc.CoordinatorServicer):
    """Answers from a script; what it was asked is kept."""

    def __init__(self) -> None:
        self.facts = "{}"
        self.asked: list[Any] = []

    @override
    def SubmitAgreement(self, request: Any, context: Any) -> Any:
        del context
        self.asked.append(request.agreement)
        return pb.SubmitAgreementResponse(agreement_digest="ab" * 32)

    def _run(self, request: Any) -> Iterator[Any]:
        self.asked.append(request)
        for kind in ("run.started", "run.finished"):
            yield pb.RunEvent(run="run-1", time="2026-01-01T00:00:00Z", type=kind, round=1, facts=self.facts)

    @override
    def StartRun(self, request: Any, context: Any) -> Iterator[Any]:
        del context
        return self._run(request)

    @override
    def WatchRun(self, request: Any, context: Any) -> Iterator[Any]:
        del context
        return self._run(request)

    @override
    def CancelRun(self, request: Any, context: Any) -> Any:
        del request
        context.set_trailing_metadata((("other", "x"), ("hanse-error-code", "run.unknown")))
        context.abort(grpc.StatusCode.NOT_FOUND, "no such run")

    @override
    def GetModel(self, request: Any, context: Any) -> Any:
        if request.model != "test@1":
            context.set_trailing_metadata((("hanse-error-code", "no.such-code"),))
            context.abort(grpc.StatusCode.INTERNAL, "secret of the coordinator")
        return pb.GetModelResponse(manifest=b"m", weights=b"w", registration=b"e", registration_proof=b"p")


@pytest.fixture(scope="module")
def coordinator(shared: World) -> Iterator[tuple[Scripted, str]]:
    home = CoordinatorHome(shared.folder / "hub")
    shared.home.authority.write_bytes(home.authority.read_bytes())
    credentials = grpc.ssl_server_credentials(
        [(home.server_key.read_bytes(), home.server_certificate.read_bytes())],
        root_certificates=shared.home.tls_certificate.read_bytes(),
        require_client_auth=True,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    scripted = Scripted()
    pb_grpc.add_CoordinatorServicer_to_server(scripted, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield scripted, f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_asking_and_answering(shared: World, coordinator: tuple[Scripted, str]) -> None:
    scripted, address = coordinator
    asked = scripted.asked
    asked.clear()
    scripted.facts = '{"auc": 0.5}'
    with CoordinatorClient(shared.home, address) as client:
        assert client.submit(b"note") == "ab" * 32
        assert asked == [b"note"]
        events = list(client.start("ab" * 32))
        assert events[0] == RunEvent("run-1", "2026-01-01T00:00:00Z", "run.started", 1, {"auc": 0.5})
        assert asked[1].agreement_digest == "ab" * 32
        assert [event.type for event in client.watch("run-1")] == ["run.started", "run.finished"]
        assert asked[2].run == "run-1"
        assert client.model("test@1") == FetchedModel(b"m", b"w", b"e", b"p")


def test_the_coordinators_code_is_kept(shared: World, coordinator: tuple[Scripted, str]) -> None:
    with CoordinatorClient(shared.home, coordinator[1]) as client, pytest.raises(HanseError) as caught:
        client.cancel("run-9")
    assert caught.value.code == "run.unknown"
    assert "no such run" in caught.value.detail


def test_an_unknown_code_is_not_repeated(shared: World, coordinator: tuple[Scripted, str]) -> None:
    with CoordinatorClient(shared.home, coordinator[1]) as client, pytest.raises(HanseError) as caught:
        client.model("test@2")
    assert caught.value.code == "run.engine"
    assert "INTERNAL" in caught.value.detail


@pytest.mark.parametrize(("facts", "expected"), [("[1]", {}), ("{}", {})])
def test_facts_are_an_object(
    shared: World, coordinator: tuple[Scripted, str], facts: str, expected: dict[str, Any]
) -> None:
    coordinator[0].facts = facts
    with CoordinatorClient(shared.home, coordinator[1]) as client:
        assert next(iter(client.watch("run-1"))).facts == expected


def test_facts_that_are_no_json(shared: World, coordinator: tuple[Scripted, str]) -> None:
    coordinator[0].facts = "{"
    with CoordinatorClient(shared.home, coordinator[1]) as client, pytest.raises(ProtocolError):
        list(client.watch("run-1"))


def test_nobody_there(shared: World, coordinator: tuple[Scripted, str]) -> None:
    del coordinator
    address = f"127.0.0.1:{free_port()}"
    with CoordinatorClient(shared.home, address) as client, pytest.raises(HanseError) as caught:
        client.submit(b"note")
    assert caught.value.code == "run.engine"
    assert address in caught.value.detail


def test_an_unknown_coordinator(world: World) -> None:
    with pytest.raises(ConfigurationError, match="hanse enrol") as caught:
        CoordinatorClient(world.home, "127.0.0.1:1")
    assert caught.value.code == "config.missing-file"
