"""The real server over mutual TLS, called by clients that nobody here wrote."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    OTHER_CALLER,
    PURPOSE,
    UNKNOWN,
    MemberSite,
    RunningScorer,
    make_grant,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import EventType, verify_log

NOT_COVERED = "The purpose is not covered by the agreement."
Stub = GRPCInferenceServiceStub
# tritonclient and grpcio's own services publish no types.
Client: TypeAlias = Any
Result: TypeAlias = Any
Untyped: TypeAlias = Any
Inputs = list[triton.InferInput]


def make_inputs(
    subjects: Sequence[str] = GRANTED[:3], ages: Sequence[float] | None = None, dtype: str = "float64"
) -> Inputs:
    """Raw inputs of one call, as tritonclient writes them."""
    rows = len(subjects)
    values = {
        "subject_id": np.array([subject.encode() for subject in subjects], dtype=np.object_),
        "age": np.array(AGES[:rows] if ages is None else ages, dtype=dtype),
        "job": np.array([job.encode() for job in JOBS[:rows]], dtype=np.object_),
    }
    return [make_input(name, value) for name, value in values.items()]


def make_input(name: str, values: npt.NDArray[Any]) -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values)
    return made


def make_typed(subjects: Sequence[str] = GRANTED[:3], **parameters: str) -> oip.ModelInferRequest:
    """The same call with typed contents, through our own stub."""
    rows = len(subjects)
    request = oip.ModelInferRequest(model_name="propensity", id="typed-1")
    for name, value in ({"purpose": PURPOSE} | parameters).items():
        request.parameters[name].string_param = value
    ids = request.inputs.add(name="subject_id", datatype="BYTES", shape=[rows])
    ids.contents.bytes_contents.extend(subject.encode() for subject in subjects)
    age = request.inputs.add(name="age", datatype="FP64", shape=[rows, 1])
    age.contents.fp64_contents.extend(AGES[:rows])
    job = request.inputs.add(name="job", datatype="BYTES", shape=[rows])
    job.contents.bytes_contents.extend(value.encode() for value in JOBS[:rows])
    return request


def infer(client: Client, inputs: Inputs, **options: object) -> Result:
    return client.infer("propensity", inputs, **{"parameters": {"purpose": PURPOSE}} | options)


def decisions(result: Result) -> list[bytes]:
    return list(result.as_numpy("decision"))


@pytest.fixture(scope="module")
def client(site: MemberSite, scorer: RunningScorer) -> Iterator[Client]:
    with triton.InferenceServerClient(scorer.address, creds=site.credentials(CALLER)) as made:
        yield made


@pytest.fixture(scope="module")
def channel(site: MemberSite, scorer: RunningScorer) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(scorer.address, site.credentials(CALLER)) as made:
        yield made


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


def test_scores_and_decisions_for_a_raw_call(client: Client, site: MemberSite) -> None:
    result = infer(client, make_inputs(), request_id="raw-1")
    scores = result.as_numpy("score")
    assert scores.dtype == np.float32
    assert scores.shape == (3,)
    assert decisions(result) == [b"permit"] * 3
    assert ((scores > 0) & (scores < 1)).all()
    np.testing.assert_array_equal(scores, np.round(scores.astype(np.float64), 2).astype(np.float32))
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("raw-1", "propensity", "3")
    entry = site.entries()[response.parameters["log_index"].int64_param]
    assert entry.type is EventType.SCORE_ANSWERED
    assert response.parameters["agreement"].string_param == entry.agreement == site.agreement.digest
    assert response.parameters["model_digest"].string_param == entry.model_in


def test_every_numeric_type_and_both_forms_give_the_same_scores(
    client: Client, stub: GRPCInferenceServiceStub
) -> None:
    ages = AGES[:3]
    expected = infer(client, make_inputs(ages=ages)).as_numpy("score")
    for dtype in ("float32", "int64"):
        result = infer(client, make_inputs(ages=ages, dtype=dtype))
        np.testing.assert_array_equal(result.as_numpy("score"), expected)
    typed = stub.ModelInfer(make_typed())
    assert not typed.raw_output_contents
    by_name = {output.name: output for output in typed.outputs}
    np.testing.assert_array_equal(
        np.array(by_name["score"].contents.fp32_contents, dtype=np.float32), expected
    )
    assert list(by_name["decision"].contents.bytes_contents) == [b"permit"] * 3
    assert typed.id == "typed-1"


def test_the_asynchronous_client(site: MemberSite, scorer: RunningScorer) -> None:
    async def call() -> list[list[bytes]]:
        async with triton_aio.InferenceServerClient(scorer.address, creds=site.credentials(CALLER)) as made:
            assert await made.is_server_ready()
            headers = {"x-hanse-purpose": PURPOSE}
            calls = (made.infer("propensity", make_inputs(), headers=headers) for _ in range(20))
            results: list[Result] = await asyncio.gather(*calls)
            return list(map(decisions, results))

    assert asyncio.run(call()) == [[b"permit"] * 3] * 20


def test_one_output_may_be_asked_for(client: Client) -> None:
    result = infer(client, make_inputs(), outputs=[triton.InferRequestedOutput("decision")])
    assert result.as_numpy("score") is None
    assert decisions(result) == [b"permit"] * 3


def test_a_subject_without_a_grant_is_marked_not_dropped(client: Client, site: MemberSite) -> None:
    alone = infer(client, make_inputs(GRANTED[:1])).as_numpy("score")
    result = infer(client, make_inputs((GRANTED[0], UNKNOWN)))
    assert decisions(result) == [b"permit", b"deny:P26"]
    np.testing.assert_array_equal(result.as_numpy("score"), [alone[0], np.nan])
    entry = site.entries()[-1]
    assert entry.counts is not None
    assert (entry.counts.rows_in, entry.counts.rows_out, entry.counts.by_rule) == (2, 1, {"P26": 1})
    assert (entry.purpose, entry.peer, entry.decision) == (PURPOSE, CALLER, "permit")


def test_a_withdrawn_subject_is_denied_at_the_next_call(client: Client, site: MemberSite) -> None:
    subject = "customer-who-withdraws"
    ref = site.ref(subject)
    with site.ledger as ledger:
        ledger.record([make_grant(ref)])
        assert decisions(infer(client, make_inputs((GRANTED[0], subject)))) == [b"permit", b"permit"]
        ledger.withdraw(ref, "scoring", datetime.now(UTC))
        assert decisions(infer(client, make_inputs((GRANTED[0], subject)))) == [b"permit", b"deny:P26"]
        with pytest.raises(InferenceServerException) as caught:
            infer(client, make_inputs((subject,)))
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    assert caught.value.message() == "The policy denies this. (policy.denied, rule P26)"
    entry = site.entries()[-1]
    assert entry.type is EventType.SCORE_DENIED
    assert entry.reasons == ("policy.denied", "P26")


@pytest.mark.parametrize(
    ("parameters", "headers", "message", "logged"),
    [
        ({"purpose": "basic_service"}, {}, NOT_COVERED, "basic_service"),
        ({"purpose": "scoring.pricing"}, {}, "The policy denies this.", None),
        ({"purpose": "scoring.tracing"}, {}, "The policy denies this.", None),
        ({"purpose": "Erika Mustermann"}, {}, NOT_COVERED, None),
        ({"purpose": 7}, {}, NOT_COVERED, None),
        (None, {}, NOT_COVERED, None),
        (
            {"purpose": PURPOSE},
            {"x-hanse-purpose": "scoring"},
            NOT_COVERED,
            None,
        ),
    ],
)
def test_a_purpose_outside_the_agreement_is_denied(
    *,
    client: Client,
    site: MemberSite,
    parameters: dict[str, Any] | None,
    headers: dict[str, str],
    message: str,
    logged: str | None,
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(client, make_inputs(), parameters=parameters, headers=headers)
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    assert caught.value.message().startswith(message)
    assert caught.value.message().endswith("rule P23)")
    entry = site.entries()[-1]
    assert (entry.type, entry.decision, entry.peer) == (EventType.SCORE_DENIED, "deny", CALLER)
    assert "P23" in entry.reasons
    assert entry.purpose == logged
    assert b"Mustermann" not in b"".join(verify_log(site.settings.log, site.keys.node.verifier).leaves)


def test_a_known_caller_that_the_agreement_does_not_name_is_denied(
    site: MemberSite, scorer: RunningScorer
) -> None:
    with (
        triton.InferenceServerClient(scorer.address, creds=site.credentials(OTHER_CALLER)) as other,
        pytest.raises(InferenceServerException) as caught,
    ):
        infer(other, make_inputs())
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    assert site.entries()[-1].peer == OTHER_CALLER


@pytest.mark.parametrize("caller", ["stranger", None])
def test_an_unknown_certificate_or_none_gets_no_connection(
    site: MemberSite, scorer: RunningScorer, caller: str | None
) -> None:
    before = len(site.entries())
    with grpc.secure_channel(scorer.address, site.credentials(caller)) as refused:
        stub: GRPCInferenceServiceStub = GRPCInferenceServiceStub(refused)
        health: Untyped = health_pb2_grpc.HealthStub(refused)
        with pytest.raises(grpc.RpcError) as scored:
            stub.ModelInfer(make_typed(), timeout=10)
        with pytest.raises(grpc.RpcError) as checked:
            health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert scored.value.code() is checked.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(scorer.address) as plain, pytest.raises(grpc.RpcError):
        GRPCInferenceServiceStub(plain).ServerLive(oip.ServerLiveRequest(), timeout=5)
    assert len(site.entries()) == before


def bad_calls() -> dict[str, Inputs]:
    texts = np.array([subject.encode() for subject in GRANTED[:3]], dtype=np.object_)
    good = make_inputs()
    many = ["customer-0"] * 65
    return {
        "infinite": make_inputs(ages=[1.0, np.inf, 3.0]),
        "too many rows": [
            make_input("subject_id", np.array([s.encode() for s in many], dtype=np.object_)),
            make_input("age", np.ones(65)),
            make_input("job", np.array([b"admin"] * 65, dtype=np.object_)),
        ],
        "rows that differ": [good[0], make_input("age", np.ones(2)), good[2]],
        "type that is not served": [good[0], make_input("age", np.ones(3, dtype=np.float16)), good[2]],
        "text where a number is due": [good[0], make_input("age", texts), good[2]],
        "number where a text is due": [good[0], good[1], make_input("job", np.ones(3))],
        "column left out": [good[0], good[1]],
        "subjects left out": [good[1], good[2]],
        "column given twice": [*good, good[1]],
        "the label": [*good, make_input("bought", np.ones(3))],
        "blank subject": make_inputs((GRANTED[0], " ")),
        "text that is not UTF-8": [
            good[0],
            good[1],
            make_input("job", np.array([b"\xff"] * 3, dtype=np.object_)),
        ],
    }


@pytest.mark.parametrize("case", list(bad_calls()))
def test_inputs_that_do_not_fit_are_refused(client: Client, site: MemberSite, case: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(client, bad_calls()[case])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert caught.value.message() == "The inputs do not fit the model. (scoring.bad-input)"
    entry = site.entries()[-1]
    assert (entry.type, entry.reasons) == (EventType.SCORE_DENIED, ("scoring.bad-input",))


def test_a_column_that_the_agreement_does_not_list_is_denied(client: Client) -> None:
    with pytest.raises(InferenceServerException, match="rule P13") as caught:
        infer(client, [*make_inputs(), make_input("income", np.ones(3))])
    assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


@pytest.mark.parametrize("outputs", [["score", "score"], ["weights"]])
def test_outputs_that_are_not_served_are_refused(client: Client, outputs: list[str]) -> None:
    with pytest.raises(InferenceServerException, match=r"scoring\.bad-input"):
        infer(client, make_inputs(), outputs=[triton.InferRequestedOutput(name) for name in outputs])


def test_raw_and_typed_contents_are_not_mixed(stub: GRPCInferenceServiceStub) -> None:
    mixed = make_typed()
    mixed.raw_input_contents.extend([b""] * 3)
    missing = make_typed()
    missing.raw_input_contents.extend([b""] * 2)
    for request in (mixed, missing):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_parameters_of_a_tensor_are_refused(stub: Stub) -> None:
    of_input, of_output = make_typed(), make_typed()
    of_input.inputs[1].parameters["shared_memory_region"].string_param = "region"
    of_output.outputs.add(name="score").parameters["classification"].int64_param = 3
    for request in (of_input, of_output):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_shared_memory_is_refused(client: Client) -> None:
    inputs = make_inputs()
    inputs[1].set_shared_memory("region", 24)
    with pytest.raises(InferenceServerException) as caught:
        infer(client, inputs)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException) as caught:
        client.register_system_shared_memory("region", "/hanse", 24)
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_bytes_that_are_no_request_are_refused_and_logged(channel: grpc.Channel, site: MemberSite) -> None:
    for method in ("ModelInfer", "ServerLive"):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff customer-7")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "The message could not be read. (protocol.malformed)"
    assert site.entries()[-1].reasons == ("protocol.malformed",)


def test_another_model_or_version_is_not_found(client: Client, stub: GRPCInferenceServiceStub) -> None:
    for name, version in (("other", ""), ("propensity", "2"), ("", "")):
        request = make_typed()
        request.model_name, request.model_version = name, version
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        trailer = {item.key: item.value for item in caught.value.trailing_metadata()}
        assert str(trailer["hanse-error-code"]) == "model.not-found"
    assert not client.is_model_ready("propensity", "2")
    with pytest.raises(InferenceServerException):
        client.get_model_metadata("propensity", "2")


def test_metadata_says_what_is_served(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("propensity")
    assert client.is_model_ready("propensity", "3")
    server = client.get_server_metadata()
    assert (server.name, "model_repository" in server.extensions) == ("hanse", True)
    model = client.get_model_metadata("propensity")
    assert (model.name, list(model.versions), model.platform) == ("propensity", ["3"], "hanse")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [
        ("subject_id", "BYTES", [-1]),
        ("age", "FP64", [-1]),
        ("job", "BYTES", [-1]),
    ]
    outputs = {tensor.name: tensor.datatype for tensor in model.outputs}
    assert outputs == {"score": "FP32", "decision": "BYTES"}
    # Field 6 is a map of another type in other stubs of the protocol, which could not read the message.
    assert len(UnknownFieldSet(model)) == 0


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_health(channel: grpc.Channel, service: str) -> None:
    health: Untyped = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_a_service_that_is_not_there(channel: grpc.Channel) -> None:
    health: Untyped = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_describes_every_service(channel: grpc.Channel) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
    ]
    reflection: Untyped = reflection_pb2_grpc.ServerReflectionStub(channel)
    listed, inference, health = list(reflection.ServerReflectionInfo(iter(requests)))
    assert {service.name for service in listed.list_services_response.service} == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "hanse.api.v1.Scoring",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for answer, name in ((inference, "GRPCInferenceService"), (health, "Health")):
        file = FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
        assert file.service[0].name == name


def test_a_request_over_the_size_limit_is_refused(client: Client) -> None:
    huge = np.array([b"x" * (17 * 2**20)], dtype=np.object_)
    with pytest.raises(InferenceServerException) as caught:
        infer(client, [make_input("subject_id", huge)])
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_the_log_holds_no_identifier_value_or_pseudonym(client: Client, site: MemberSite) -> None:
    infer(client, make_inputs(GRANTED, ages=[123.4375] * 8))
    entry = site.entries()[-1]
    assert entry.request is not None
    log = b"".join(verify_log(site.settings.log, site.keys.node.verifier).leaves)
    for secret in ("customer", "123.4375", "student", site.ref(GRANTED[0])):
        assert secret.encode() not in log


def test_the_digest_of_a_request_needs_the_sites_key(
    stub: GRPCInferenceServiceStub, site: MemberSite
) -> None:
    request = make_typed()
    stub.ModelInfer(request)
    first = site.entries()[-1].request
    stub.ModelInfer(request)
    assert site.entries()[-1].request == first
    assert first != hashlib.sha256(request.SerializeToString()).hexdigest()
    stub.ModelInfer(make_typed(GRANTED[3:6]))
    assert site.entries()[-1].request != first
