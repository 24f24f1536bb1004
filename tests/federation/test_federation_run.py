"""From a signed agreement to a score, with the real processes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from hanse.client.models import fetch_model
from hanse.client.remote import RunEvent

pytestmark = [pytest.mark.federation, pytest.mark.timeout(240)]


def counts(entries: Any, round_number: int) -> tuple[int, int, str]:
    """(considered, admitted, subject-set root) of a member's admission for a round, from its own log."""
    entry = next(e for e in entries if e.type.value == "round.admitted" and e.round == round_number)
    return entry.counts.rows_in, entry.counts.rows_out, entry.subject_set_root


def test_train_withdraw_score_and_verify(start: Callable[..., Any]) -> None:
    running = start(members=2, rounds=3)
    site = running.federation.sites[1]
    withdrawn = str(site.written.subject_ids[site.written.consenting][0])

    def withdraw_after_the_first_round(event: RunEvent) -> None:
        if event.type == "round.aggregated" and event.round == 1:
            running.federation.withdraw(site, withdrawn, "joint_modelling", datetime.now(UTC))

    events = running.run(withdraw_after_the_first_round)

    assert events[-1].type == "run.finished"
    assert max(events[-1].facts["epsilon"].values()) <= 3.0
    entries = running.log(site.data.name)
    (considered, before, root_before), (_, after, root_after) = (counts(entries, number) for number in (1, 3))
    assert considered == len(site.data.rows)
    assert before - after == 1
    assert root_before != root_after
    running.logs_verify()
    with running.client() as client:
        folder, model = fetch_model(
            client, running.federation.sites[0].home, events[-1].facts["model"], running.signed
        )
    _score(running, folder.name, model.manifest.name)
    running.logs_verify()


def _score(running: Any, reference: str, name: str) -> None:
    """tritonclient, written by others, against `hanse serve`: one call allowed, one denied."""
    site = running.federation.sites[0]
    caller = running.federation.make_callers(["crm"])["crm"]
    running.processes.start("scorer", ["serve", reference, "--home", str(site.home.root)], {})
    address = running.processes.wait_until_ready("scorer").split()[-1]
    client = triton.InferenceServerClient(
        address,
        ssl=True,
        root_certificates=str(site.home.serving_authority),
        private_key=str(caller / "tls.key"),
        certificate_chain=str(caller / "tls.crt"),
    )
    inputs = _inputs(running, site)
    answer = client.infer(name, inputs, parameters={"purpose": "scoring.marketing"})
    assert answer is not None
    scores, decisions = answer.as_numpy("score"), answer.as_numpy("decision")
    assert scores is not None
    assert decisions is not None
    assert decisions.tolist() == [b"permit"] * 4 + [b"deny:P26"]
    assert ((scores[:4] >= 0) & (scores[:4] <= 1)).all()
    assert np.isnan(scores[4])
    with pytest.raises(InferenceServerException) as refusal:
        client.infer(name, inputs, parameters={"purpose": "scoring.pricing"})
    assert refusal.value.status() == "StatusCode.PERMISSION_DENIED"
    assert "P23" in str(refusal.value)
    types = [entry.type.value for entry in running.log(site.data.name)]
    assert types[-2:] == ["score.answered", "score.denied"]


def _inputs(running: Any, site: Any) -> list[triton.InferInput]:
    """Four subjects that consented to scoring and one that consented to training only."""
    granted = np.flatnonzero(site.written.profiles == "granted")[:4]
    refused = np.flatnonzero(site.written.profiles == "training-only")[:1]
    rows = np.concatenate([granted, refused])
    inputs = [_bytes("subject_id", site.written.subject_ids[rows])]
    for column in running.agreement.columns:
        values = site.data.rows.columns[column.name][rows]
        if column.kind == "categorical":
            inputs.append(_bytes(column.name, values))
        else:
            tensor = triton.InferInput(column.name, [len(rows)], "FP64")
            tensor.set_data_from_numpy(values.astype(np.float64))
            inputs.append(tensor)
    return inputs


def _bytes(name: str, values: Any) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([str(value or "").encode() for value in values], dtype=object))
    return tensor
