"""Runs in secure sums, over real nodes and sessions in one process: what leaves, and who is left out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from tests.conftest import PLAIN

from hanse.aggregation import Query
from hanse.api.v1 import round_pb2 as pb
from hanse.audit import verify_log
from hanse.audit.completeness import check_member, check_shared
from hanse.client.sums import MemberSums
from hanse.crypto import SigningKey
from hanse.errors import AuditError, PolicyError, TrainingError
from hanse.learning.evaluation import FINE
from hanse.learning.evaluation.groups import threshold_of
from hanse.learning.metrics import ScoreHistogram
from hanse.server.wire import open_reply, sign_command

Federation = Callable[..., Any]

"""Sensitive columns need a privacy budget."""


@pytest.fixture
def plain(federation: Federation) -> Federation:
    """Four members under an agreement that has sums."""
    return lambda: federation(4, None, rounds=2, columns=PLAIN)


def entries(local: Any) -> list[Any]:
    return list(verify_log(local.home.log, local.key.verifier).entries)


def own_entries(local: Any, name: str) -> list[Any]:
    site = next(site for site in local.federation.sites if site.data.name == name)
    return list(verify_log(site.home.log, SigningKey.load(site.home.node_key).verifier).entries)


def left(record: Any) -> dict[str, str]:
    return {e.facts["member"]: e.facts["code"] for e in record._events if e.type == "member.left"}


@dataclass
class Answered:
    """What a member was asked and answered, before it was masked."""

    member: str
    query: Query
    values: Any


def listen(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[str, str], None] = lambda _member, _kind: None
) -> list[Answered]:
    """Hears the answers of all members, and lets one do something when it is asked a kind of question."""
    heard: list[Answered] = []
    original = MemberSums.__init__

    def init(self: MemberSums, session: Any, key: Any, contributor: Any) -> None:
        answer = contributor.contribute

        def contribute(query: Query) -> Any:
            act(session.member, query.kind.partition("/")[2])
            values = answer(query)
            heard.append(Answered(session.member, query, values.copy()))
            return values

        contributor.contribute = contribute
        original(self, session, key, contributor)

    monkeypatch.setattr(MemberSums, "__init__", init)
    return heard


def test_a_run_in_sums_from_start_to_finish(plain: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = plain()
    bodies: list[bytes] = []
    transport = local.transport()

    def overhear(_: str, body: bytes) -> bytes:
        bodies.append(body)
        return body

    transport.tamper = overhear
    heard = listen(monkeypatch)
    rounds, record = local.rounds(transport)

    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    members = tuple(sorted(local.nodes))
    assert left(record) == {}
    assert outcome.members == members
    assert outcome.metrics.auc is not None
    assert outcome.metrics.auc > 0.6
    types = [entry.type.value for entry in entries(local)]
    assert types == [
        "run.started",
        *["round.submitted"] * 4,
        "run.prepared",
        *(["round.submitted"] * 4 + ["round.aggregated"]) * 2,
        *["round.submitted"] * 4,
        "run.evaluated",
    ]
    # What a member answers the commands with says nothing of its figures.
    outcomes = {
        pb.Reply.FromString(pb.SignedMessage.FromString(b).body).WhichOneof("outcome") for b in bodies
    }
    assert outcomes == {"phased", "finished"}
    kinds = [one.query.kind.partition("/")[2] for one in heard]
    counted = {"preprocessing.cells": 4, "model.update": 8, "evaluation.scores": 12}
    assert Counter(kinds) == counted
    assert len({one.query.kind for one in heard}) == 6  # each about work of its own
    for name in members:
        steps = [entry.type.value for entry in own_entries(local, name)]
        assert steps[-10:] == [
            *("budget.planned", "round.admitted", "run.prepared"),
            *("round.admitted", "round.trained") * 2,
            *("round.admitted", "run.evaluated", "run.finished"),
        ]
        findings = [f.kind for f in check_member(own_entries(local, name), name)]
        assert not {"step-unadmitted", "step-unused", "run-unevaluated", "rows-differ"} & set(findings)
    found = [f.kind for f in check_shared(entries(local))]
    assert "step-unstated" not in found

    # What it comes to is the mean by rows, in both rounds.
    updates = [one.values for one in heard if one.query.kind.endswith("model.update")]
    first, second = (np.sum(updates[start : start + 4], axis=0) for start in (0, 4))
    weights = load_tensors(outcome.model_file)["weights"]
    size = weights.size
    expected = first[:size] / first[size] + second[:size] / second[size]
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    stated = next(e.facts["rows"] for e in record._events if e.type == "round.aggregated")
    assert sum(rows["training"] for rows in stated.values()) == round(first[size] * 1_000_000)


def test_groups_of_a_protected_column_are_compared_of_the_model_alone(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [c.model_copy(update={"protected": c.name == "marital"}) for c in PLAIN]
    local = federation(4, None, rounds=2, columns=columns, round_timeout_s=300)
    heard = listen(monkeypatch)
    rounds, _ = local.rounds(local.transport())
    outcome = rounds.conduct()
    kinds = Counter(one.query.kind.partition("/")[2] for one in heard)
    assert {kind: count for kind, count in kinds.items() if kind.startswith("evaluation.group")} == {
        "evaluation.group-sizes": 4,
        "evaluation.group-scores": 4,
    }
    metrics = outcome.metrics.as_facts()
    scores = [one for one in heard if one.query.kind.endswith("evaluation.group-scores")]
    parts = np.sum([one.values for one in scores], axis=0).reshape(-1, 2, FINE.bins)
    # The few whose value is missing are with others: what is compared holds ten records of each class.
    assert parts.sum(axis=2).min() >= local.agreement.cohort.suppress_below
    threshold = threshold_of(ScoreHistogram(*parts.sum(axis=0)), FINE, 0.1)
    chosen = FINE.edges[:-1] >= threshold
    rates = parts[:, :, chosen].sum(axis=(1, 2)) / parts.sum(axis=(1, 2))
    assert metrics["selection_ratio"] == metrics["selection_ratio.marital"]
    assert metrics["selection_ratio"] == pytest.approx(rates.min() / rates.max())
    true_rates = parts[:, 0, chosen].sum(axis=1) / parts[:, 0].sum(axis=1)
    assert metrics["opportunity_gap"] == pytest.approx(true_rates.max() - true_rates.min())
    assert 0 < (metrics["calibration_standard_error"] or 0) < (metrics["calibration_error"] or 0) + 0.1
    assert 0 < (metrics["brier"] or 0) < 0.25


def test_who_vanishes_in_a_round_is_lost_and_three_go_on(
    plain: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = plain()

    def vanish(member: str, kind: str) -> None:
        if (member, kind) == ("media", "model.update"):
            raise PolicyError("policy.cohort", "gone", rule="P15")

    listen(monkeypatch, vanish)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    assert left(record) == {"media": "policy.cohort"}
    assert outcome.members == tuple(sorted(set(local.nodes) - {"media"}))
    assert own_entries(local, "media")[-1].type == "run.refused"
    assert own_entries(local, "media")[-1].reasons == ("policy.cohort", "P15")
    aggregated = [e.facts["members"] for e in record._events if e.type == "round.aggregated"]
    assert aggregated == [list(outcome.members)] * 2


def test_nothing_leaves_that_was_not_stated(plain: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = plain()
    asked: list[str] = []

    def fail(*_: Any) -> int:
        raise AuditError("audit.unavailable", "no shared log")

    monkeypatch.setattr(local.nodes["media"]._statements, "state", fail)
    monkeypatch.setattr(local.nodes["media"], "_dial", lambda *_: asked.append("dialled"))
    rounds, record = local.rounds(local.transport())
    rounds.conduct()
    assert left(record) == {"media": "audit.unavailable"}
    assert not asked


def test_who_has_not_stated_what_it_takes_part_with_is_left_out(
    plain: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = plain()
    statements = local.nodes["media"]._statements
    honest = statements.state

    def state(name: str, admitted: Any, below: int) -> int:
        changed = admitted.model_copy(update={"subject_set_size": admitted.subject_set_size - 1})
        return int(honest(name, changed, below))

    monkeypatch.setattr(statements, "state", state)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    assert left(record) == {"media": "run.update-rejected"}
    assert [e.reasons for e in entries(local) if e.type == "member.left"] == [("run.update-rejected", "P32")]
    assert "media" not in outcome.members


def test_cancelling_ends_the_run_and_the_phase(plain: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = plain()
    rounds, record = local.rounds(local.transport())
    listen(monkeypatch, lambda _, kind: record.cancel() if kind == "model.update" else None)
    with pytest.raises(TrainingError) as error:
        rounds.conduct()
    assert error.value.code == "run.cancelled"
    rounds.finish("", "", "run.cancelled")
    assert {own_entries(local, name)[-1].type.value for name in local.nodes} == {"run.failed"}


def test_a_member_sends_no_figures_of_its_own_under_an_agreement_of_sums(plain: Federation) -> None:
    local = plain()
    record = local.book.new("abcdef", frozenset(local.nodes))
    command = pb.Command(
        protocol=1,
        agreement_digest=local.signed.digest,
        run=record.run,
        member="media",
        sequence=1,
        prepare=pb.Prepare(agreement=local.signed.note),
    )
    site = next(site for site in local.federation.sites if site.data.name == "media")
    verifier = SigningKey.load(site.home.node_key).verifier
    reply = open_reply(local.nodes["media"].handle(sign_command(command, local.key)), command, verifier)
    assert (reply.refused.code, reply.refused.rule) == ("policy.denied", "P17")
    assert "round.admitted" not in {entry.type.value for entry in own_entries(local, "media")}


def test_a_run_that_too_few_are_there_for_touches_no_row(plain: Federation) -> None:
    local = plain()
    transport = local.transport()
    transport.silent |= {"media", "brand"}
    rounds, _ = local.rounds(transport)
    with pytest.raises(TrainingError) as error:
        rounds.conduct()
    assert (error.value.code, error.value.rule) == ("run.insufficient-members", "P17")
    assert not transport.sent
