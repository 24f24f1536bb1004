"""What subjects hide is not used in a score, and an agreement that a member has ended is not served."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    NOW,
    PURPOSE,
    Keys,
    MemberSite,
    RunningScorer,
    make_agreement,
    make_site,
)

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import EventType
from hanse.client.ended import Ended
from hanse.client.home import MemberHome
from hanse.client.versions import AgreementBook
from hanse.errors import HanseError
from hanse.learning import load_model
from hanse.policies import Identity
from hanse.policies.agreement.termination import terminate
from hanse.server.scoring import Local

ALL = GRANTED[:3]


@pytest.fixture
def site(tmp_path: Path) -> MemberSite:
    return make_site(tmp_path, columns=columns(required=False))


def columns(*, required: bool) -> list[dict[str, Any]]:
    return [
        {**column, "required": required}
        for column in make_agreement(Keys()).model_dump(mode="json")["columns"]
    ]


@pytest.fixture
def stub(site: MemberSite) -> Iterator[GRPCInferenceServiceStub]:
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        yield GRPCInferenceServiceStub(channel)


def call(stub: GRPCInferenceServiceStub) -> tuple[list[float], list[bytes]]:
    request = oip.ModelInferRequest(model_name="propensity")
    request.parameters["purpose"].string_param = PURPOSE
    for name, datatype in (("subject_id", "BYTES"), ("age", "FP64"), ("job", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[len(ALL)])
    request.inputs[0].contents.bytes_contents.extend(subject.encode() for subject in ALL)
    request.inputs[1].contents.fp64_contents.extend(AGES[: len(ALL)])
    request.inputs[2].contents.bytes_contents.extend(job.encode() for job in JOBS[: len(ALL)])
    answer = stub.ModelInfer(request, timeout=10)
    scores, decisions = (output.contents for output in answer.outputs)
    return list(scores.fp32_contents), list(decisions.bytes_contents)


def expected(site: MemberSite, ages: Sequence[float], jobs: Sequence[str]) -> list[float]:
    model = load_model(site.settings.model, site.keys.coordinator.verifier)
    values = {"age": np.array(ages), "job": np.array(jobs, dtype=object)}
    scores = model.predictor.scores(model.transform.apply(values))
    return [float(score) for score in np.round(scores, 2).astype(np.float32)]


def test_a_hidden_value_is_missing_in_the_score(stub: GRPCInferenceServiceStub, site: MemberSite) -> None:
    ages, jobs = list(AGES[:3]), list(JOBS[:3])
    before, _ = call(stub)
    assert before == expected(site, ages, jobs)
    with site.ledger as ledger:
        ledger.fold(site.ref(ALL[0]), "scoring", ["age"], [], NOW)
        ledger.fold(site.ref(ALL[1]), PURPOSE, [], ["basic"], NOW)
        # For another use: changes nothing here.
        ledger.fold(site.ref(ALL[2]), "joint_modelling", ["age"], [], NOW)
    after, decisions = call(stub)
    assert decisions == [b"permit"] * 3
    assert after == expected(site, [np.nan, np.nan, ages[2]], [jobs[0], "", jobs[2]])
    assert after[:2] != before[:2]
    counts = site.calls()[-1].counts
    assert counts is not None
    assert dict(counts.hidden) == {"0": 2, "1": 1}
    assert dict(counts.hidden_by_rule) == {"P05": 3}


def test_who_hides_a_required_column_is_denied(tmp_path: Path) -> None:
    site = make_site(tmp_path, columns=columns(required=True))
    with site.ledger as ledger:
        ledger.fold(site.ref(ALL[0]), "scoring", ["age"], [], NOW)
    with (
        RunningScorer(site.settings) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        scores, decisions = call(GRPCInferenceServiceStub(channel))
    assert decisions == [b"deny:P26", b"permit", b"permit"]
    assert np.isnan(scores[0])
    counts = site.calls()[-1].counts
    assert counts is not None
    assert (dict(counts.by_rule), dict(counts.hidden)) == ({"P26": 1}, {})


def end(site: MemberSite, folder: Path, agreement: str | None = None) -> None:
    """A note of the partner, as `hanse agreement terminate` keeps it."""
    ended = site.agreement.model_copy(update={"id": agreement}) if agreement else site.agreement
    folder.mkdir(parents=True, exist_ok=True)
    note = terminate(ended, "partner", "The campaign is over", NOW).sign(site.keys.approvers[1])
    (folder / f"{ended.id}.partner.note").write_bytes(note)


def local(site: MemberSite, home: MemberHome) -> Local:
    partner = Identity(
        name="partner", organisation="Partner GmbH", jurisdiction="DE", storage_country="DE", role="member",
        node_key=site.keys.partner.verifier.encode(), approver_key=site.keys.approvers[1].verifier.encode(),
        witness_key=site.keys.witnesses["partner"].verifier.encode(),
    )  # fmt: skip
    return Local(None, Ended(home.terminations, AgreementBook(home, {"partner": partner})).require_running)


def test_an_agreement_that_a_member_ended_is_refused_from_the_next_call(
    site: MemberSite, tmp_path: Path
) -> None:
    home = MemberHome(tmp_path / "home")
    with (
        RunningScorer(site.settings, local=local(site, home)) as scorer,
        grpc.secure_channel(scorer.address, site.credentials(CALLER)) as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        call(stub)
        end(site, home.terminations, "another-one")
        call(stub)
        end(site, home.terminations)
        with pytest.raises(grpc.RpcError) as caught:
            call(stub)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    last = site.calls()[-1]
    assert (last.type, last.reasons) == (EventType.SCORE_DENIED, ("policy.denied", "P20"))
    assert last.agreement == site.agreement.digest


def test_a_note_that_cannot_be_read_ends_everything(site: MemberSite, tmp_path: Path) -> None:
    home = MemberHome(tmp_path / "home")
    home.terminations.mkdir(parents=True)
    require = local(site, home).require_running
    require(site.agreement)
    (home.terminations / "x.partner.note").write_bytes(b"\xff")
    for _ in range(2):
        with pytest.raises(HanseError) as caught:
            require(site.agreement)
        assert caught.value.code == "policy.invalid"
    (home.terminations / "x.partner.note").unlink()
    require(site.agreement)
