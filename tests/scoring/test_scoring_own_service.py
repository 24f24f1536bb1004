"""The service for what the Open Inference Protocol lacks, over mutual TLS on loopback."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    NOW,
    OTHER_CALLER,
    PURPOSE,
    UNKNOWN,
    Keys,
    MemberSite,
    RunningScorer,
    make_agreement,
    make_grant,
    make_site,
)

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.audit import EventType
from hanse.client.data import DatasetManifest, DeclaredColumn
from hanse.client.features import make_features
from hanse.crypto import sha256_hex
from hanse.errors import HanseError
from hanse.learning import load_model
from hanse.learning.artifact import read_manifest
from hanse.server.scoring import Local
from hanse.server.scoring.own.messages import read_subjects
from hanse.server.scoring.own.service import OWN_SERVICE_NAME
from hanse.server.scoring.own.streaming import read_opening

IN_DATA = GRANTED[:6]
LEAVING = "customer-leaving"
ABSENT = GRANTED[6]  # has consented, but the member knows nothing of them
DECLARED = (
    DeclaredColumn(name="age", kind="numeric", classification="basic"),
    DeclaredColumn(name="job", kind="categorical", classification="basic"),
)


def local_of(root: Path) -> Local:
    """The member's data: six of its subjects, and somebody who never consented."""
    path = root / "crm.parquet"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, age DOUBLE, job VARCHAR)")
        rows = [
            *zip(IN_DATA, AGES[:6], JOBS[:6], strict=True),
            (UNKNOWN, 30.0, "admin"),
            (LEAVING, 30.0, "admin"),
        ]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    manifest = DatasetManifest(name="crm", path=path, subject_column="id", columns=DECLARED)
    return Local(make_features(manifest), lambda _agreement: None)


def explained_site(root: Path) -> MemberSite:
    scoring = make_agreement(Keys()).model_dump(mode="json")["scoring"]
    review = {"significant_effect": True, "human_review": True, "reason_codes": True}
    return make_site(root, scoring={**scoring, **review})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> MemberSite:
    return explained_site(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def scorer(site: MemberSite) -> Iterator[RunningScorer]:
    with RunningScorer(site.settings, local=local_of(site.root)) as running:
        yield running


@pytest.fixture(scope="module")
def channel(site: MemberSite, scorer: RunningScorer) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(scorer.address, site.credentials(CALLER)) as made:
        yield made


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> ScoringStub:
    return ScoringStub(channel)


def asked(*subjects: str, **changes: str) -> pb.ScoreRequest:
    return pb.ScoreRequest(**{"model": "propensity", "purpose": PURPOSE} | changes, subject_ids=subjects)


def opening(first: int = 0, **changes: str) -> pb.ScoreStreamRequest:
    given = {"model": "propensity", "purpose": PURPOSE} | changes
    return pb.ScoreStreamRequest(opening=pb.StreamOpening(**given, first_sequence=first))


def chunk(sequence: int, *subjects: str) -> pb.ScoreStreamRequest:
    return pb.ScoreStreamRequest(chunk=pb.StreamChunk(sequence=sequence, subject_ids=subjects))


def expected(site: MemberSite, places: Sequence[int]) -> list[float]:
    model = load_model(site.settings.model, site.keys.coordinator.verifier)
    values = {"age": np.array([AGES[p] for p in places]), "job": np.array([JOBS[p] for p in places])}
    scores = model.predictor.scores(model.transform.apply(values))
    return [float(score) for score in np.round(scores, 2).astype(np.float32)]


def code_of(error: grpc.RpcError) -> str:
    return next(str(item.value) for item in error.trailing_metadata() if item.key == "hanse-error-code")


def test_scores_by_subject_are_those_of_the_members_own_values(stub: ScoringStub, site: MemberSite) -> None:
    answer = stub.Score(asked(IN_DATA[2], UNKNOWN, IN_DATA[0], ABSENT, "nobody at all"))
    assert list(answer.results.rules) == ["", "P26", "", "P26", "P26"]
    scores = np.array(answer.results.scores)
    assert scores[[0, 2]].tolist() == expected(site, [2, 0])
    assert np.isnan(scores[[1, 3, 4]]).all()
    said = answer.answer
    assert (said.model, said.version, said.model_digest) == ("propensity", "3", site.entries()[-1].model_in)
    assert said.agreement_digest == site.agreement.digest
    assert (said.opt_out_available, said.human_review_required) == (True, True)
    entry = site.entries()[said.log_index]
    assert entry.type is EventType.SCORE_ANSWERED
    assert entry.consent is not None
    assert (said.consent_head, said.consent_size) == (entry.consent.head, entry.consent.size)
    assert entry.counts is not None
    assert (entry.counts.rows_in, entry.counts.rows_out, dict(entry.counts.by_rule)) == (5, 2, {"P26": 3})


def test_who_is_not_known_is_refused_as_who_has_not_consented(stub: ScoringStub) -> None:
    """The caller is told the same, to the letter, of consent without data and of data without consent."""
    told = []
    for subject in (ABSENT, UNKNOWN, "nobody at all"):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Score(asked(subject))
        error = caught.value
        told.append((error.code(), error.details(), tuple(error.trailing_metadata())))
    assert len(set(told)) == 1
    assert told[0][0] is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (asked(*GRANTED, purpose="scoring.pricing"), "policy.denied"),
        (asked(*GRANTED, purpose=""), "policy.purpose"),
        (asked(*GRANTED, model="other"), "model.not-found"),
        (asked(*GRANTED, version="9"), "model.not-found"),
        (asked(), "scoring.bad-input"),
        (asked(*(f"s{number}" for number in range(65))), "scoring.bad-input"),
        (asked(GRANTED[0], "  "), "scoring.bad-input"),
        (asked("x" * 600), "scoring.bad-input"),
    ],
)
def test_what_may_not_be_asked_is_refused_and_logged(
    stub: ScoringStub, site: MemberSite, request_: pb.ScoreRequest, code: str
) -> None:
    before = len(site.entries())
    with pytest.raises(grpc.RpcError) as caught:
        stub.Score(request_)
    assert code_of(caught.value) == code
    entries = site.entries()
    assert len(entries) == before + 1
    assert (entries[-1].type, entries[-1].reasons[0]) == (EventType.SCORE_DENIED, code)


def test_other_callers_are_refused(site: MemberSite, scorer: RunningScorer) -> None:
    with grpc.secure_channel(scorer.address, site.credentials(OTHER_CALLER)) as made:
        with pytest.raises(grpc.RpcError) as caught:
            ScoringStub(made).Score(asked(GRANTED[0]))
        assert code_of(caught.value) == "policy.denied"


def test_without_data_of_its_own_a_scorer_says_so(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with (
        RunningScorer(site.settings) as running,
        grpc.secure_channel(running.address, site.credentials(CALLER)) as made,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ScoringStub(made).Score(asked(GRANTED[0]))
    assert code_of(caught.value) == "scoring.bad-input"


def test_a_stream_answers_chunk_by_chunk(stub: ScoringStub, site: MemberSite) -> None:
    chunks = [chunk(7, *IN_DATA[:4]), chunk(8, UNKNOWN, ABSENT), chunk(9, IN_DATA[4], UNKNOWN)]
    before = len(site.entries())
    answers = list(stub.ScoreStream(iter([opening(7), *chunks])))
    assert [answer.sequence for answer in answers] == [7, 8, 9]
    assert list(answers[0].results.scores) == expected(site, range(4))
    # That nobody of a chunk may be scored ends no stream; the log has it as a call that was denied.
    assert list(answers[1].results.rules) == ["P26", "P26"]
    assert np.isnan(answers[1].results.scores).all()
    assert list(answers[2].results.rules) == ["", "P26"]
    entries = site.entries()[before:]
    answered, denied = EventType.SCORE_ANSWERED, EventType.SCORE_DENIED
    assert [entry.type for entry in entries] == [answered, denied, answered]
    assert [answer.answer.log_index for answer in answers] == [before, before + 1, before + 2]
    assert {answer.answer.version for answer in answers} == {"3"}


def test_a_stream_that_was_cut_goes_on_where_it_was(stub: ScoringStub, site: MemberSite) -> None:
    whole = [GRANTED[place : place + 2] for place in (0, 2, 4)]
    got = {}
    release = threading.Event()

    def cut() -> Iterator[pb.ScoreStreamRequest]:
        yield opening()
        yield chunk(0, *whole[0])
        release.wait(10)

    stream = stub.ScoreStream(cut())
    first = next(stream)
    got[first.sequence] = list(first.results.scores)
    stream.cancel()
    release.set()
    rest = (chunk(sequence, *whole[sequence]) for sequence in (1, 2))
    for answer in stub.ScoreStream(iter([opening(1, version=first.answer.version), *rest])):
        got[answer.sequence] = list(answer.results.scores)
    assert [score for sequence in range(3) for score in got[sequence]] == expected(site, range(6))


@pytest.mark.parametrize(
    ("messages", "code", "answers"),
    [
        ([chunk(0, *IN_DATA)], "protocol.unexpected-step", 0),
        ([pb.ScoreStreamRequest()], "protocol.unexpected-step", 0),
        ([opening(), chunk(1, *IN_DATA)], "protocol.unexpected-step", 0),
        ([opening(), chunk(0, *IN_DATA), chunk(0, *IN_DATA)], "protocol.unexpected-step", 1),
        ([opening(), chunk(0, *IN_DATA), opening()], "protocol.unexpected-step", 1),
        ([opening(first=1 << 63)], "protocol.malformed", 0),
        ([opening(purpose="scoring.pricing"), chunk(0, *IN_DATA)], "policy.denied", 0),
        ([opening(version="9"), chunk(0, *IN_DATA)], "model.not-found", 0),
        ([opening(), chunk(0, *(f"s{n}" for n in range(65)))], "scoring.bad-input", 0),
        ([opening(), chunk(0)], "scoring.bad-input", 0),
    ],
)
def test_a_stream_that_goes_wrong_ends_with_a_code_and_an_entry(
    stub: ScoringStub, site: MemberSite, messages: list[pb.ScoreStreamRequest], code: str, answers: int
) -> None:
    before = len(site.entries())
    got: list[pb.ScoreStreamResponse] = []
    with pytest.raises(grpc.RpcError) as caught:
        got.extend(stub.ScoreStream(iter(messages)))
    assert (code_of(caught.value), len(got)) == (code, answers)
    assert "0x" not in (caught.value.details() or "")
    entries = site.entries()[before:]
    assert len(entries) == answers + 1
    assert (entries[-1].type, entries[-1].reasons[0]) == (EventType.SCORE_DENIED, code)
    assert entries[-1].peer == CALLER


def test_bytes_that_are_no_message_end_a_stream(channel: grpc.Channel) -> None:
    raw: Any = channel.stream_stream(f"/{OWN_SERVICE_NAME}/ScoreStream")
    for messages in ([b"\xff\xff"], [opening().SerializeToString(), b"\x00\x01"]):
        with pytest.raises(grpc.RpcError) as caught:
            list(raw(iter(messages)))
        assert code_of(caught.value) == "protocol.malformed"


def test_withdrawal_counts_from_the_next_chunk(stub: ScoringStub, site: MemberSite) -> None:
    with site.ledger as ledger:
        ledger.record([make_grant(site.ref(LEAVING))])
    sent = threading.Event()

    def messages() -> Iterator[pb.ScoreStreamRequest]:
        yield opening()
        yield chunk(0, LEAVING)
        sent.wait(10)
        yield chunk(1, LEAVING, IN_DATA[1])

    stream = stub.ScoreStream(messages())
    assert list(next(stream).results.rules) == [""]
    with site.ledger as ledger:
        ledger.withdraw(site.ref(LEAVING), "scoring", NOW)
    sent.set()
    assert list(next(stream).results.rules) == ["P26", ""]


def test_reasons_name_columns_and_go_with_the_score(stub: ScoringStub) -> None:
    request = pb.ExplainRequest(model="propensity", purpose=PURPOSE, subject_ids=[IN_DATA[1], UNKNOWN])
    answer = stub.Explain(request)
    explained, nothing = answer.explanations
    assert list(answer.results.rules) == ["", "P26"]
    assert answer.answer.human_review_required
    assert not nothing.reasons
    assert explained.method == "linear"
    assert {reason.column for reason in explained.reasons} <= {"age", "job"}
    for reason in explained.reasons:
        assert reason.code == f"{reason.column}.{'raises' if reason.raises else 'lowers'}.{reason.strength}"
    assert stub.Explain(request).explanations == answer.explanations
    with pytest.raises(grpc.RpcError) as caught:
        stub.Explain(pb.ExplainRequest(model="propensity", purpose=PURPOSE, subject_ids=GRANTED[:1] * 65))
    assert code_of(caught.value) == "scoring.bad-input"


def test_where_no_reasons_are_agreed_none_are_given(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with (
        RunningScorer(site.settings, local=local_of(tmp_path)) as running,
        grpc.secure_channel(running.address, site.credentials(CALLER)) as made,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ScoringStub(made).Explain(
            pb.ExplainRequest(model="propensity", purpose=PURPOSE, subject_ids=GRANTED[:1])
        )
    assert code_of(caught.value) == "model.no-reasons"


def test_the_card_is_the_signed_manifest_and_says_the_same(stub: ScoringStub, site: MemberSite) -> None:
    card = stub.GetModelCard(pb.GetModelCardRequest(model="propensity"))
    assert sha256_hex(card.signed_manifest) == card.summary.model_digest
    manifest = read_manifest(card.signed_manifest)
    assert manifest.model_validate_json(card.manifest) == manifest
    summary = card.summary
    assert list(summary.members) == ["brand", "partner"]
    assert [(c.name, c.used, c.form) for c in summary.columns] == [
        ("age", True, "3 bins"),
        ("job", True, "2 categories"),
    ]
    assert (summary.privacy.private, summary.privacy.HasField("epsilon")) == (False, False)
    assert "without differential privacy" in summary.privacy.limit
    assert (summary.calibration.calibrated, summary.calibration.HasField("error")) == (False, False)
    assert "not corrected" in summary.calibration.text
    assert summary.usable_until == site.agreement.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModelCard(pb.GetModelCardRequest(model="other"))
    assert code_of(caught.value) == "model.not-found"


def test_health_and_reflection_know_the_service(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(service=OWN_SERVICE_NAME)).status == 1
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=OWN_SERVICE_NAME),
    ]
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    listed, described = reflection.ServerReflectionInfo(iter(requests))
    assert OWN_SERVICE_NAME in {service.name for service in listed.list_services_response.service}
    assert b"ScoreStream" in described.file_descriptor_response.file_descriptor_proto[0]


@given(st.binary(max_size=200))
def test_an_opening_is_read_or_refused(body: bytes) -> None:
    try:
        read_opening(body)
    except HanseError as error:
        assert error.code in {"protocol.malformed", "protocol.unexpected-step"}  # noqa: PT017


@settings(max_examples=25)
@given(st.lists(st.text(max_size=20), max_size=6))
def test_subjects_are_read_or_refused(subjects: list[str]) -> None:
    try:
        assert list(read_subjects(subjects, 4)) == subjects
    except HanseError as error:
        assert error.code == "scoring.bad-input"  # noqa: PT017
        # A message names positions; no text of a caller is longer than it in what is said.
        assert not any(subject in str(error) for subject in subjects if len(subject) > 8)  # noqa: PT017
