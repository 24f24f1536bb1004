"""A vertical model served: the label holder's scorer asks a feature holder's service, over mutual TLS."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from tests.vertical.serving_sites import (
    KINDS,
    PURPOSES,
    Answered,
    Caller,
    SilentPort,
    Trained,
    asked,
    eventually,
    free_address,
    hand_link,
    now,
    serving_part,
    serving_scorer,
    train,
    values,
)

from hanse.api.v1 import scoring_pb2 as pb
from hanse.audit import EventType
from hanse.audit.completeness import check_member
from hanse.crypto import sha256_hex
from hanse.errors import PolicyError
from hanse.learning.vertical.runs.manifest import read_vertical
from hanse.policies import open_agreement
from hanse.scoring.reasons import PARTNER_DATA
from hanse.scoring.reasons.halves import attribute_half, explains
from hanse.scoring.saying import minimised
from hanse.server.parts.answering import require_answers
from hanse.server.scoring.borders import CODE_TRAILER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.model)
def trained(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Trained:
    return train(tmp_path_factory.mktemp("served"), kind=request.param)


@pytest.fixture(scope="module")
def address() -> str:
    return free_address()


def test_members_score_together_and_forget_who_withdraws(trained: Trained, address: str) -> None:
    brand, insurer = trained.federation.sites
    with serving_part(trained, insurer, address), serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        # One in nine may not be scored: of 160 people somebody, of those whom no other test asks about.
        places = [*range(60), *range(150, 250)]
        answered = caller.ask(asked(trained, caller, places))
        scored = np.array([decision == "permit" for decision in answered.decisions])
        expected = minimised(trained.joint(places), trained.terms)
        # Exactly what both parts give in one place; some people may not be scored, at one of the two.
        assert 10 < scored.sum() < len(places)
        assert answered.scores[scored].tolist() == expected[scored].tolist()
        assert np.isnan(answered.scores[~scored]).all()
        assert set(answered.decisions) == {"permit", "deny:P26"}
        assert answered.mark == "joint"
        assert [basis == "joint" for basis in answered.basis] == scored.tolist()

        # What was said is the same in both logs, and the second answer comes from memory.
        heard, said = (
            trained.of_type(site, kind)
            for site, kind in ((brand, EventType.PART_HEARD), (insurer, EventType.PART_ANSWERED))
        )
        assert [entry.conversation for entry in heard] == [entry.conversation for entry in said]
        assert said[0].counts is not None
        one = [int(np.flatnonzero(scored)[0])]
        request = asked(trained, caller, one)
        eventually(lambda: _asks_nobody(trained, caller, request))

        # Who withdraws at the feature holder alone is not scored any more, whatever is kept elsewhere.
        subject = trained.people(insurer)[one[0]]
        trained.federation.withdraw(insurer, subject, PURPOSES[1], now())
        eventually(lambda: _is_denied(caller, request))
        other = [int(np.flatnonzero(scored)[1])]
        request = asked(trained, caller, other)
        caller.ask(request)
        trained.federation.withdraw(brand, trained.people(brand)[other[0]], PURPOSES[1], now())
        assert _is_denied(caller, request)
        caller.close()
    for site in (brand, insurer):
        assert check_member(trained.entries(site), site.data.name) == []


def test_requests_about_one_person_that_look_alike_are_read_and_refused_as_the_first(
    trained: Trained, address: str
) -> None:
    brand, insurer = trained.federation.sites
    with serving_part(trained, insurer, address), serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        typed = [asked(trained, caller, [place]) for place in range(90, 110)]
        alike = [caller.raw(request) for request in typed if not _is_denied(caller, request)]
        assert len(alike) > 5
        expected = [caller.ask(request) for request in typed if not _is_denied(caller, request)]
        assert [answered.mark for answered in expected] == ["joint"] * len(alike)
        for request, told in zip(alike, expected, strict=True):
            answered = caller.ask(request)
            assert answered.scores.tolist() == told.scores.tolist()
            assert (answered.decisions, answered.basis, answered.mark) == (["permit"], ["joint"], "joint")
        for code, change in BAD.items():
            bad = type(alike[0]).FromString(alike[0].SerializeToString())
            change(bad)
            assert len(bad.SerializeToString()) == len(alike[0].SerializeToString())  # as alike as can be
            with pytest.raises(grpc.RpcError) as refused:
                caller.ask(bad)
            trailers = {item.key: item.value for item in cast("Any", refused.value).trailing_metadata()}
            assert trailers[CODE_TRAILER] == code.partition(" ")[0]
        caller.close()
    assert check_member(trained.entries(brand), brand.data.name) == []


def _with_nan(request: Any) -> None:
    place = next(place for place, tensor in enumerate(request.inputs) if tensor.datatype == "FP64")
    request.raw_input_contents[place] = np.array([np.nan], "<f8").tobytes()


def _with_subject(request: Any, text: bytes) -> None:
    before = request.raw_input_contents[0]
    request.raw_input_contents[0] = before[:4] + text * (len(before) - 4)


def _with_purpose(request: Any) -> None:
    request.parameters["purpose"].string_param = "x" * len(PURPOSES[1])


BAD: dict[str, Callable[[Any], None]] = {
    "scoring.bad-input nan": _with_nan,
    "scoring.bad-input blank": lambda request: _with_subject(request, b" "),
    "scoring.bad-input no text": lambda request: _with_subject(request, b"\xff"),
    "policy.denied nobody": lambda request: _with_subject(request, b"z"),
    "policy.purpose": _with_purpose,
    "model.not-found": lambda request: setattr(request, "model_version", "9"),
}
"""What is wrong with a request that looks like a good one, by the code of the refusal."""


def test_a_feature_holder_that_is_gone_or_slow_is_answered_for_by_own_columns(
    trained: Trained, address: str
) -> None:
    brand, insurer = trained.federation.sites
    alone = trained.kept(brand).alone
    assert alone is not None
    places = list(range(60, 90))
    own = {name: column[places] for name, column in values(trained, brand).items()}
    expected = minimised(alone.scores(own, {}), trained.terms)

    def fell_back(answered: Answered) -> None:
        scored = np.array([decision == "permit" for decision in answered.decisions])
        assert answered.mark == "own_columns"
        assert answered.scores[scored].tolist() == expected[scored].tolist()
        assert [basis == "own_columns" for basis in answered.basis] == scored.tolist()

    with (
        SilentPort() as silent,
        serving_part(trained, insurer, address, seen_at=silent),
        serving_scorer(trained) as scorer,
    ):
        caller = Caller(trained, scorer.address)
        fell_back(caller.ask(asked(trained, caller, places), timeout_s=0.5))  # within its deadline
        caller.close()
    with serving_part(trained, insurer, address):
        pass  # its link names a port where nobody is now
    with serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        fell_back(caller.ask(asked(trained, caller, places)))
        caller.close()
    reasons = {entry.reasons for entry in trained.of_type(brand, EventType.PART_MISSED)}
    assert ("scoring.partner-unavailable",) in reasons
    assert reasons <= {("scoring.partner-unavailable",), ("scoring.partner-timeout",)}


def test_nobody_but_the_label_holder_is_answered(trained: Trained, address: str) -> None:
    _, insurer = trained.federation.sites
    folder = next(iter(trained.callers.values()))
    with serving_part(trained, insurer, address):
        credentials = grpc.ssl_channel_credentials(
            insurer.home.part_certificate.read_bytes(),
            (folder / "tls.key").read_bytes(),
            (folder / "tls.crt").read_bytes(),
        )
        named = [("grpc.ssl_target_name_override", "part.hanse")]
        with grpc.secure_channel(address, credentials, options=named) as channel:
            ask: Any = channel.unary_unary("/hanse.api.v1.PartAnswers/Answer")
            with pytest.raises(grpc.RpcError):
                ask(b"anything", timeout=3)


def test_a_vertical_model_has_a_card(trained: Trained, address: str) -> None:
    name, _, version = trained.model.partition("@")
    hand_link(trained, trained.federation.sites[1], address)
    with serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        card = caller.own.GetModelCard(pb.GetModelCardRequest(model=name, version=version))
        caller.close()
    manifest = read_vertical(card.signed_manifest)
    assert sha256_hex(card.signed_manifest) == card.summary.model_digest
    assert list(card.summary.members) == sorted(manifest.parts)
    metrics = {one.name: one.value for one in card.summary.metrics if one.HasField("value")}
    assert metrics == {key: value for key, value in manifest.metrics.items() if value is not None}
    assert not card.summary.calibration.calibrated
    assert card.summary.calibration.error == manifest.metrics["calibration_error"]


def test_reasons_name_own_columns_and_the_others_together(trained: Trained, address: str) -> None:
    brand, insurer = trained.federation.sites
    label, feature = trained.kept(brand).label, trained.kept(insurer).feature
    assert label is not None
    assert feature is not None
    if not explains(label):
        pytest.skip("the next test is about these")
    places = list(range(90, 150))
    own, others = (
        {name: column[places] for name, column in values(trained, site).items()} for site in (brand, insurer)
    )
    parts = attribute_half(label, own, {"insurer": feature.answers(others, len(places))})
    with serving_part(trained, insurer, address), serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        told = caller.own.Explain(explain(trained, places))
        assert caller.own.Explain(explain(trained, places)).explanations == told.explanations
        caller.close()
    with serving_scorer(trained) as scorer:
        caller = Caller(trained, scorer.address)
        alone = caller.own.Explain(explain(trained, places))
        caller.close()
    names = {column.name for column in brand.data.dictionary.columns}
    found: set[str] = set()
    for one, row, basis in zip(told.explanations, parts.values, basis_of(told), strict=True):
        assert (basis == "") == (one.method == "")
        by_column = {reason.column: reason for reason in one.reasons}
        found |= set(by_column)
        if PARTNER_DATA in by_column:
            assert by_column[PARTNER_DATA].raises == (row[-1] > 0)
            assert (by_column[PARTNER_DATA].strength == "strongly") == (abs(row[-1]) >= 0.975)
        # How much the others' columns say is chance in a training with noise; the most is always named.
        assert PARTNER_DATA in by_column or not one.method or abs(row[-1]) < np.abs(row).max()
    assert found - {PARTNER_DATA}
    assert found <= names | {PARTNER_DATA}
    # Own columns alone say nothing of the others'.
    assert set(basis_of(alone)) == {"own_columns", ""}
    assert {reason.column for one in alone.explanations for reason in one.reasons} <= names
    assert {one.reference for one in alone.explanations} == {"neutral", ""}


def test_a_kind_that_is_no_sum_says_that_it_gives_no_reasons(trained: Trained, address: str) -> None:
    label = trained.kept(trained.brand).label
    assert label is not None
    if explains(label):
        pytest.skip("it gives them")
    with (
        serving_part(trained, trained.federation.sites[1], address),
        serving_scorer(trained) as scorer,
        pytest.raises(grpc.RpcError) as caught,
    ):
        Caller(trained, scorer.address).own.Explain(explain(trained, [0]))
    error: Any = caught.value
    codes = {item.key: item.value for item in error.trailing_metadata()}
    assert codes["hanse-error-code"] == "model.no-reasons"


def explain(trained: Trained, places: list[int]) -> pb.ExplainRequest:
    name, _, version = trained.model.partition("@")
    people = trained.people(trained.brand)
    subjects = [people[place] for place in places]
    return pb.ExplainRequest(model=name, version=version, purpose=PURPOSES[1], subject_ids=subjects)


def basis_of(told: pb.ExplainResponse) -> list[str]:
    """On which columns each score rests."""
    return list({output.name: output.texts for output in told.results.outputs}["basis"])


def test_a_feature_holder_answers_in_the_agreed_form_or_not_at_all(trained: Trained) -> None:
    insurer = trained.federation.sites[1]
    note = (insurer.home.parts / trained.model / "agreement.note").read_bytes()
    signed, part = open_agreement(note), trained.kept(insurer).feature
    assert part is not None
    assert require_answers(signed, part).form == part.form.name
    other = SimpleNamespace(form=SimpleNamespace(name="another"))
    with pytest.raises(PolicyError, match="P13"):
        require_answers(signed, cast("Any", other))


def test_a_part_that_was_altered_is_not_served(trained: Trained) -> None:
    brand, _ = trained.federation.sites
    folder = brand.home.parts / trained.model
    people = folder / "people.txt"
    before = people.read_bytes()
    people.write_bytes(before[33:] + before[:33])
    try:
        with pytest.raises(Exception, match="signed"), serving_scorer(trained):
            pass
    finally:
        people.write_bytes(before)


def _asks_nobody(trained: Trained, caller: Caller, request: Any) -> bool:
    """Whether a call was answered from what was kept."""
    count = len(trained.of_type(trained.brand, EventType.PART_REUSED))
    assert caller.ask(request).mark == "joint"
    return len(trained.of_type(trained.brand, EventType.PART_REUSED)) > count


def _is_denied(caller: Caller, request: Any) -> bool:
    try:
        caller.ask(request)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.PERMISSION_DENIED
    return False
