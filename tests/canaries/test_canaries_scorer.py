"""Whatever a caller sends to the scorer, nothing of it is in the log, in errors or on the console."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.canaries.conftest import Places, mail, person, phone
from tests.scoring.conftest import CALLER, PURPOSE, MemberSite, RunningScorer, make_grant, make_site

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit.canaries import Canary
from hanse.server.scoring.service import PURPOSE_METADATA

SUBJECTS = [mail("brand", 1), phone("brand", 2), person("brand", 3), "KD-7Q4ZX-2041-canary"]
REFUSED = "KD-7Q4ZX-2042-refused"
VALUE = "row-value-8f3b-canary"
TEXT = "free-text-51c9-canary"


@pytest.fixture
def site(tmp_path: Any) -> MemberSite:
    site = make_site(tmp_path)
    with site.ledger as ledger:
        ledger.record(make_grant(site.ref(subject)) for subject in SUBJECTS)
        ledger.record([make_grant(site.ref(REFUSED), purposes=("joint_modelling",))])
    return site


@pytest.fixture
def stub(site: MemberSite) -> Iterator[GRPCInferenceServiceStub]:
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        yield GRPCInferenceServiceStub(channel)


def call(subjects: list[str], job: str = "admin", **changes: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="propensity", id=changes.get("id", ""))
    request.parameters["purpose"].string_param = changes.get("purpose", PURPOSE)
    ids = request.inputs.add(name="subject_id", datatype="BYTES", shape=[len(subjects)])
    ids.contents.bytes_contents.extend(subject.encode() for subject in subjects)
    age = request.inputs.add(name="age", datatype="FP64", shape=[len(subjects)])
    age.contents.fp64_contents.extend([41.0] * len(subjects))
    jobs = request.inputs.add(name=changes.get("column", "job"), datatype="BYTES", shape=[len(subjects)])
    jobs.contents.bytes_contents.extend([job.encode()] * len(subjects))
    return request


def wrong_calls() -> list[tuple[str, oip.ModelInferRequest]]:
    whole = [*SUBJECTS, REFUSED]
    short = call(whole)
    short.inputs[0].contents.bytes_contents.pop()
    named = call(whole)
    named.model_name = TEXT
    other = call(whole)
    other.inputs[0].datatype = "INT32"
    again = call([SUBJECTS[0], SUBJECTS[0]])
    many = call([f"{SUBJECTS[3]}-{number}" for number in range(100)])
    parameter = call(whole)
    parameter.parameters[TEXT].string_param = TEXT
    return [
        ("a use that is none", call(whole, purpose=TEXT)),
        ("a use that is denied", call(whole, purpose="scoring.pricing")),
        ("a column that is none", call(whole, column=TEXT)),
        ("a denied subject only", call([REFUSED])),
        ("unknown subjects only", call([f"{subject}x" for subject in SUBJECTS])),
        ("fewer values than subjects", short),
        ("another model", named),
        ("another type", other),
        ("the same subject twice", again),
        ("too many", many),
        ("a parameter that is none", parameter),
    ]


def test_no_canary_leaves_the_scorer(
    stub: GRPCInferenceServiceStub,
    site: MemberSite,
    places: Places,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = stub.ModelInfer(call([*SUBJECTS, REFUSED], job=VALUE, id=TEXT))
    decisions = next(output for output in answer.outputs if output.name == "decision")
    assert list(decisions.contents.bytes_contents) == [b"permit"] * 4 + [b"deny:P26"]
    refused = 0
    for name, request in wrong_calls():
        try:
            stub.ModelInfer(request)
        except grpc.RpcError as error:
            refused += 1
            places.add(f"error: {name}", f"{error.details()} {error.trailing_metadata()}")
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(call(SUBJECTS), metadata=((PURPOSE_METADATA, SUBJECTS[3]),))
    places.add("error: another use in the metadata", str(caught.value))
    with pytest.raises(grpc.RpcError):
        stub.ModelMetadata(oip.ModelMetadataRequest(name=TEXT))
    assert refused >= 9
    assert len(site.entries()) >= 1 + 1 + len(wrong_calls())
    places.add_log("log", Path(site.settings.log))
    places.add("messages of the program", caplog.text)
    printed = capfd.readouterr()
    places.add("stdout", printed.out)
    places.add("stderr", printed.err)
    values = [*SUBJECTS, REFUSED, VALUE, TEXT, *(site.ref(subject) for subject in (*SUBJECTS, REFUSED))]
    places.canaries = [Canary("planted", number, value) for number, value in enumerate(values, 1)]
    assert places.found() == {}


def test_the_same_search_finds_what_is_there(site: MemberSite, places: Places) -> None:
    """The ledger keeps pseudonyms, by purpose: the search that found none in the log finds them there."""
    places.add("ledger", site.settings.consent_ledger.read_bytes())
    places.canaries = [Canary("pseudonym", 1, site.ref(SUBJECTS[0]))]
    assert {sighting.kind for sighting in places.found()["ledger"]} == {"pseudonym"}
