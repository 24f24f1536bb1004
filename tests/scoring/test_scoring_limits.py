"""What callers can make a scorer hold: slow ones, many of them, and connections that say nothing."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    PURPOSE,
    UNKNOWN,
    MemberSite,
    RunningScorer,
    make_site,
)

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import EventType
from hanse.errors import CATALOGUE
from hanse.server.ports import free_port
from hanse.server.scoring import Operation
from hanse.server.scoring.leased import LeasedQuota

INFER = "/inference.GRPCInferenceService/ModelInfer"
RECEIVE_S = 0.4
Untyped = Any


def make_request(*subjects: str, purpose: str = PURPOSE) -> oip.ModelInferRequest:
    rows = len(subjects)
    request = oip.ModelInferRequest(model_name="propensity")
    request.parameters["purpose"].string_param = purpose
    for name, datatype in (("subject_id", "BYTES"), ("age", "FP64"), ("job", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[rows])
    request.inputs[0].contents.bytes_contents.extend(subject.encode() for subject in subjects)
    request.inputs[1].contents.fp64_contents.extend(AGES[:rows])
    request.inputs[2].contents.bytes_contents.extend(job.encode() for job in JOBS[:rows])
    return request


def key(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return name, frozenset(labels)


def refused_as(error: grpc.RpcError, code: str) -> None:
    """Status, message and trailer are the catalogue's."""
    call: Untyped = error
    trailer = {item.key: item.value for item in call.trailing_metadata()}
    spec = CATALOGUE[code]
    assert (call.code().name, trailer["hanse-error-code"]) == (spec.status.value, code)
    assert call.details() == f"{spec.public_message} ({code})"


def silent(channel: grpc.Channel) -> Any:
    """A call that is begun, and whose request never comes."""
    begun: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(INFER)
    over = threading.Event()

    def request() -> Iterator[bytes]:
        over.wait(20)
        yield from ()

    call = begun.future(request())
    call.add_done_callback(lambda _: over.set())
    return call


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> MemberSite:
    site = make_site(tmp_path_factory.mktemp("bounded"))
    operation = Operation(
        maximum_calls=3,
        maximum_connections=24,
        receive_s=RECEIVE_S,
        call_s=2,
        metrics_address=f"127.0.0.1:{free_port()}",
    )
    site.settings = site.settings.model_copy(update={"operation": operation})
    return site


@pytest.fixture(scope="module")
def running(bounded: MemberSite) -> Iterator[RunningScorer]:
    with RunningScorer(bounded.settings) as scorer:
        yield scorer


@pytest.fixture
def channel(bounded: MemberSite, running: RunningScorer) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(running.address, bounded.credentials(CALLER)) as made:
        yield made


def scrape(site: MemberSite) -> dict[tuple[str, frozenset[str]], float]:
    with urlopen(f"http://{site.settings.operation.metrics_address}/metrics") as answer:
        text = answer.read().decode()
    for canary in (*GRANTED, UNKNOWN, "student", site.ref(GRANTED[0])):
        assert canary not in text
    return {
        (sample.name.removeprefix("hanse_scorer_"), frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_slow_callers_are_given_up_and_those_beyond_the_limit_refused_unread(
    bounded: MemberSite, channel: grpc.Channel
) -> None:
    stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(channel)
    stub.ModelInfer(make_request(*GRANTED[:2]), timeout=10)
    entries = len(bounded.entries())
    slow = [silent(channel) for _ in range(3)]
    deadline = time.monotonic() + 10
    while scrape(bounded)[key("calls_in_flight")] < 3:
        assert time.monotonic() < deadline
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(make_request(*GRANTED[:2]), timeout=10)
    refused_as(caught.value, "scoring.busy")
    for call in slow:
        with pytest.raises(grpc.RpcError) as caught:
            call.result(10)
        refused_as(caught.value, "scoring.slow")
    stub.ModelInfer(make_request(*GRANTED[:2]), timeout=10)
    # What was never read is not in the log, and is counted all the same.
    assert len(bounded.entries()) == entries + 1
    figures = scrape(bounded)
    assert figures[key("calls_total", INFER, "scoring.slow")] == 3
    assert figures[key("calls_total", INFER, "scoring.busy")] == 1
    assert figures[key("calls_in_flight")] == 0


def test_a_caller_that_takes_no_answers_is_given_up(bounded: MemberSite, channel: grpc.Channel) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService")
    reflection: Untyped = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([request] * 20_000))  # nobody reads what comes back
    deadline = time.monotonic() + 15
    while not scrape(bounded).get(key("calls_total", method, "scoring.slow")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    call.cancel()


def test_figures_count_calls_rows_refusals_and_commits(bounded: MemberSite, channel: grpc.Channel) -> None:
    stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(channel)
    stub.ModelInfer(make_request(GRANTED[0]), timeout=10)  # a quota shows once it has been charged
    before = scrape(bounded)
    for _ in range(2):
        stub.ModelInfer(make_request(*GRANTED[:5], UNKNOWN), timeout=10)
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(make_request(*GRANTED, purpose="Erika Mustermann"), timeout=10)
    figures = scrape(bounded)

    def more(*names: str) -> float:
        return figures[key(*names)] - before.get(key(*names), 0)

    assert more("calls_total", INFER, "ok") == 2
    assert more("refused_calls_total", "policy.purpose", "P23") == 1
    assert figures[key("rows_total", CALLER)] >= 12
    assert not any(name == "denied_rows_total" for name, _ in figures)  # fewer than may be counted
    assert more("call_seconds_count", INFER) == 3
    assert more("log_commit_seconds_count") >= 3
    assert more("quota_left_rows", "propensity", CALLER) == -12
    served = bounded.entries()[-1].model_in
    assert figures[key("model_info", "propensity", "3", str(served))] == 1
    assert figures[key("ready")] == 1
    assert 0 <= figures[key("consent_age_seconds")] < bounded.settings.withdrawal_bound_s
    assert "Mustermann" not in str(figures)


def test_connections_that_say_nothing_are_bounded(bounded: MemberSite, running: RunningScorer) -> None:
    host, port = running.address.split(":")
    held = []
    for _ in range(200):
        connection = socket.create_connection((host, int(port)), timeout=5)
        connection.settimeout(5)
        held.append(connection)
    # Those beyond the limit are closed at once; the others wait for a handshake that does not come.
    deadline, closed = time.monotonic() + 10, 0
    while closed < 200 - 24 - 4:
        assert time.monotonic() < deadline, closed
        closed = sum(_is_closed(connection) for connection in held)
        time.sleep(0.05)
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 15
    while True:
        try:
            with grpc.secure_channel(running.address, bounded.credentials(CALLER)) as channel:
                GRPCInferenceServiceStub(channel).ModelInfer(make_request(GRANTED[0]), timeout=5)
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        # The server's side of HTTP/2 is silent until TLS is there: data or nothing means open.
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def stuck_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **bounds: Any
) -> tuple[MemberSite, threading.Event]:
    """A site whose count of rows takes longer than anybody waits, and whether it was asked."""
    asked = threading.Event()

    async def never(*_: object) -> Any:
        asked.set()
        await asyncio.sleep(60)

    site = make_site(tmp_path)
    changes = {"operation": Operation(**bounds), "grace_s": 20.0}
    site.settings = site.settings.model_copy(update=changes)
    monkeypatch.setattr(LeasedQuota, "charge", never)
    return site, asked


def test_a_call_without_a_deadline_gets_one_and_leaves_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = stuck_site(tmp_path, monkeypatch, call_s=0.3)
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(make_request(GRANTED[0]))
        refused_as(caught.value, "scoring.timeout")
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(make_request(GRANTED[0]), timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    given_up = [(entry.type, entry.reasons) for entry in site.calls()]
    assert given_up == [(EventType.SCORE_DENIED, ("scoring.abandoned",))] * 2


def test_watchers_are_told_of_the_stop_and_a_second_word_ends_running_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, asked = stuck_site(tmp_path, monkeypatch)
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        health: Untyped = health_pb2_grpc.HealthStub(channel)
        watch: Callable[[str], Any] = lambda name: health.Watch(health_pb2.HealthCheckRequest(service=name))  # noqa: E731
        watchers = [watch(name) for name in ("", "", "inference.GRPCInferenceService")]
        serving = health_pb2.HealthCheckResponse.SERVING
        assert [next(watcher).status for watcher in watchers] == [serving] * 3
        assert next(watch("other")).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watchers.pop(0).cancel()  # the others are told nevertheless
        call = GRPCInferenceServiceStub(channel).ModelInfer.future(make_request(GRANTED[0]))
        assert asked.wait(10)
        scorer.stop()
        for watcher in watchers:
            assert [answer.status for answer in watcher] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert not call.done()
        scorer.stop()
        with pytest.raises(grpc.RpcError):
            call.result(10)
    last = site.entries()[-1]
    assert (last.type, last.detail) == (EventType.SCORER_STOPPED, "cut-off")
