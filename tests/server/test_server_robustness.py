"""A poisoned run over real nodes in one process: who is named, who leaves, and what it costs the model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from tests.conftest import PLAIN

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import verify_log
from hanse.client.session import Session
from hanse.crypto import SigningKey
from hanse.demo.data import load
from hanse.learning import Predictor, Transform, Update, aggregate, recommend, roc_auc, weights_from_bytes
from hanse.server.findings import robustness_report, run_contributions

LARGEST_LOSS = 0.01
LABELS, SIGNS, TEN, NAN = "media", "retailer", "telecom", "bank"
FACTORS = {SIGNS: -1.0, TEN: 10.0, NAN: np.nan}


@pytest.fixture
def federation_of_nine(federation: Callable[..., Any]) -> Any:
    """Nine members, each of whose updates is seen."""
    # Whole batches: which records a step draws would decide how much small members agree.
    training = recommend("logistic", 1000, 9, None).model_copy(
        # Ten times an update is within the norm, however its site has divided its records: it is an outlier.
        update={"rounds": 1, "local_steps": 10, "sample_rate": 1.0, "max_update_norm": 1000.0}
    )
    local = federation(9, None, training=training, columns=PLAIN, mode="individual")
    # Nobody's signature is about it in this process; members need not know.
    local.agreement = local.agreement.model_copy(update={"contributions": True})
    local.signed = replace(local.signed, agreement=local.agreement)
    return local


class Poison:
    """Changes what some members send, signed by them, and remembers what the others would have sent."""

    def __init__(self, local: Any) -> None:
        self._keys = {site.data.name: SigningKey.load(site.home.node_key) for site in local.federation.sites}
        self.honest: list[Update] = []

    def __call__(self, member: str, body: bytes) -> bytes:
        reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
        if not reply.HasField("trained"):
            return body
        delta = weights_from_bytes(reply.trained.delta)
        if member != LABELS:  # whose update is of another kind from the start
            self.honest.append(Update(member, delta, reply.trained.training.rows))
        reply.trained.delta = (delta * np.float32(FACTORS.get(member, 1.0))).astype("<f4").tobytes()
        changed = reply.SerializeToString()
        key = self._keys[member]
        signature = key.sign("hanse.round.v1", changed)
        return pb.SignedMessage(body=changed, signer=key.name, signature=signature).SerializeToString()


def turn_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Session.train

    def train(self: Session, number: int, weights: Any, transform: Any, records: Any) -> Any:
        if self.member == LABELS:
            records.labels = 1 - records.labels
        return original(self, number, weights, transform, records)

    monkeypatch.setattr(Session, "train", train)


def area(local: Any, transform: Transform, weights: NDArray[np.float32]) -> float:
    """Area under the ROC curve on the rows that nobody trains on."""
    data = load()
    rows = data.rows.take(data.test)
    predictor = Predictor(local.agreement.training, transform.n_features, weights)
    return roc_auc(predictor.scores(transform.apply(rows.columns)), rows.labels.astype(np.float32)) or 0.0


@pytest.mark.slow
def test_four_attackers_of_nine_are_named_and_cost_the_model_little(
    federation_of_nine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation_of_nine
    transport = local.transport()
    transport.tamper = poison = Poison(local)
    turn_labels(monkeypatch)
    rounds, record = local.rounds(transport)

    outcome = rounds.conduct()

    expected = {LABELS: "direction", SIGNS: "direction", TEN: "outlier", NAN: "not-finite"}
    log = [entry for entry in verify_log(local.home.log, local.key.verifier).entries if entry.round == 1]
    assert {e.peer: e.detail for e in log if e.type.value == "update.screened"} == expected
    report = robustness_report(record, local.agreement)
    assert report is not None
    assert {finding.members[0]: finding.kind for finding in report.findings} == expected
    # What is too long may be a mistake: that member has its part in the next round.
    assert set(report.excluded) == {LABELS, SIGNS, NAN}
    assert set(outcome.members) == set(local.nodes) - {LABELS, SIGNS, NAN}
    added = run_contributions(record, local.agreement)
    assert added is not None
    nothing = {one.member for one in added.each if one.contribution == 0}
    assert nothing == set(expected)  # what was not taken has added nothing
    assert sum(one.contribution for one in added.each) == pytest.approx(added.first_loss - added.last_loss)

    weights = load_tensors(outcome.model_file)["weights"]
    others = [update for update in poison.honest if update.member not in expected]
    honest = area(local, outcome.transform, aggregate(np.zeros_like(weights), others, 2))
    assert area(local, outcome.transform, weights) > honest - LARGEST_LOSS
