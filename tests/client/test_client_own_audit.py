"""What a site learns of how well its rows can be recognised, and the command that audits a model."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.own_audit import read_own_audit
from hanse.crypto import write_atomic
from hanse.learning import ModelManifest, write_model
from hanse.learning.auditing import recognise_own
from hanse.learning.auditing.membership import MINIMUM_OWN
from hanse.learning.update_shares import divide_run


def attacked(inside: float, rows: int = 400) -> Any:
    rng = np.random.default_rng(3)
    labels = (rng.random(2 * rows) < 0.4).astype(np.float32)
    odds = rng.normal(size=2 * rows) + np.where(labels == 1, 1, -1) * np.repeat([inside, 0.0], rows)
    scores = 1 / (1 + np.exp(-odds))
    return recognise_own("run-1", (scores[:rows], scores[rows:]), (labels[:rows], labels[rows:]))


def test_who_was_in_the_training_is_recognised_by_the_loss_and_only_then() -> None:
    blind, telling = attacked(0.0), attacked(2.0)
    assert blind.low < 0.5 < blind.high
    assert telling.low > 0.85
    assert telling.true_positive_rate > 0.1 > blind.true_positive_rate
    assert (telling.training_rows, telling.held_out_rows) == (400, 400)
    assert attacked(2.0, MINIMUM_OWN - 1) is None
    assert attacked(2.0, MINIMUM_OWN).true_positive_rate is None


def register(local: Any, run: str, outcome: Any, home: Any) -> None:
    """Puts the model of a run where the member fetches it."""
    agreement = local.agreement
    manifest = ModelManifest(
        name=agreement.id,
        version=1,
        agreement_digest=local.signed.digest,
        run=run,
        purpose=agreement.purpose,
        label=agreement.label,
        training=agreement.training,
        transform=outcome.transform,
        metrics=outcome.metrics.as_facts(),
        privacy=agreement.privacy,
        epsilon=dict(outcome.epsilon),
        members=outcome.members,
        cell_counts=outcome.cell_counts,
        created_at=datetime(2026, 5, 1, tzinfo=UTC),
        contributions=divide_run(outcome.members, [0.7, 0.5], [{"brand": 0.75, "insurer": 0.25}]),
    )
    home.models.mkdir(exist_ok=True)
    write_model(home.models / manifest.reference, manifest, outcome.model_file, local.key)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{local.signed.digest}.agreement", local.signed.note)


def settles(home: Any) -> None:
    """Two members divide the same amount by the same manifest; who changes a cent is found."""
    paid = home / "paid.json"
    line = ["settle", "propensity@1", "--home", str(home)]
    made = CliRunner().invoke(app, [*line, "--amount", "100.01", "--out", str(paid), "--json"])
    assert made.exit_code == 0, made.output
    assert [entry["cents"] for entry in json.loads(made.output)["entries"]] == [7501, 2500]
    assert CliRunner().invoke(app, [*line, "--verify", str(paid)]).exit_code == 0
    paid.write_bytes(paid.read_bytes().replace(b"propensity@1", b"propensity@2"))
    assert CliRunner().invoke(app, [*line, "--verify", str(paid)]).exit_code == 9
    wrong = CliRunner().invoke(app, [*line, "--amount", "1.001"])
    assert getattr(wrong.exception, "code", "") == "config.invalid"


@pytest.mark.slow
def test_a_model_is_audited_with_planted_faults_by_one_command(federation: Callable[..., Any]) -> None:
    local = federation(2, 3.0, rounds=2)
    rounds, record = local.rounds(local.transport())
    outcome = rounds.conduct()
    home = local.federation.sites[0].home
    register(local, record.run, outcome, home)

    result = CliRunner().invoke(
        app, ["audit", "privacy", "propensity@1", "--home", str(home.root), "--drill", "--json"]
    )

    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    verdicts = {name: audit["verdict"] for name, audit in facts["canaries"].items()}
    assert verdicts.pop("as agreed") == "consistent"
    assert set(verdicts.values()) == {"refuted"}
    assert len(verdicts) == 3  # of two rounds, the noise for one is not far from enough
    kept = read_own_audit(home.audits, record.run)
    assert kept is not None
    assert facts["membership"] == kept.model_dump(mode="json")
    assert kept.low < 0.6
    assert json.loads((home.models / "propensity@1" / "privacy-audit.json").read_bytes()) == facts
    settles(home.root)
    table = CliRunner().invoke(app, ["audit", "privacy", "other@1", "--home", str(home.root)])
    assert getattr(table.exception, "code", "") == "model.not-found"
