"""What a scorer serves, as it is decided while it serves: live, canary, previous, and what it refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.scoring.conftest import (
    AGES,
    CALLER,
    GRANTED,
    JOBS,
    OTHER_CALLER,
    PURPOSE,
    Keys,
    RunningScorer,
    make_agreement,
)
from tests.scoring.served_versions import NAME, Served, ask, swap_under_load, wait_until
from tritonclient.utils import InferenceServerException

from hanse.api.v1 import scoring_pb2 as pb
from hanse.api.v1.scoring_pb2_grpc import ScoringStub
from hanse.audit import EventType
from hanse.audit.completeness import check_member
from hanse.errors import HanseError, ServingError
from hanse.learning.artifact import MANIFEST_FILE, WEIGHTS_FILE

_folders = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"), 3)


@pytest.fixture(scope="module")
def scorer(served: Served) -> Iterator[RunningScorer]:
    with served.running() as running:
        yield running


@pytest.fixture
def client(served: Served, scorer: RunningScorer) -> Iterator[Any]:
    with served.client(scorer) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Served:
    return Served(tmp_path, 2)


def index(client: Any) -> dict[str, tuple[str, str]]:
    told = client.get_model_repository_index()
    return {one.version: (one.state, one.reason) for one in told.models}


def refused(client: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as raised:
        ask(client, **options)
    return str(raised.value.status()), str(raised.value.message())


def test_swaps_and_roll_backs_under_load_fail_no_call(tmp_path: Path) -> None:
    served = Served(tmp_path, 3)
    answers = swap_under_load(served, swaps=5, callers=3)
    assert set(answers) == {"1", "2", "3"}
    entries = served.site.entries()
    assert not [entry for entry in entries if entry.type is EventType.SCORE_DENIED]
    answered = [entry for entry in entries if entry.type is EventType.SCORE_ANSWERED]
    assert sum(entry.requests or 1 for entry in answered) >= answers.total()
    assert "scorer-unstarted" not in {finding.kind for finding in check_member(entries)}


def test_life_of_a_model_as_tritons_client_sees_it(served: Served, client: Any) -> None:
    assert index(client) == {"1": ("READY", "live")}
    served.says("canary", version=2, share=5)
    wait_until(lambda: "2" in index(client))
    assert index(client)["2"] == ("READY", "canary")
    assert ask(client, model_version="2")[0] == "2"
    again = [ask(client, subject)[0] for subject in range(len(GRANTED)) for _ in range(2)]
    assert again[::2] == again[1::2]  # the same subject, the same version
    served.promote(2)
    wait_until(lambda: index(client).get("2") == ("READY", "live"))
    assert index(client)["1"] == ("READY", "previous")
    assert ask(client, model_version="1")[0] == "1"
    served.retire(1)
    wait_until(lambda: "1" not in index(client))
    status, message = refused(client, model_version="1")
    assert status == "StatusCode.FAILED_PRECONDITION"
    assert message == "The model version is retired. (model.retired)"
    assert served.site.entries()[-1].reasons == ("model.retired",)
    assert refused(client, model_version="3")[0] == "StatusCode.NOT_FOUND"


def test_a_person_gets_the_same_version_by_either_protocol(fresh: Served) -> None:
    fresh.approve(fresh.says("canary", version=2, share=50).number)
    with (
        fresh.running() as scorer,
        fresh.client(scorer) as client,
        grpc.secure_channel(scorer.address, fresh.site.credentials(CALLER)) as channel,
    ):
        stub: Any = ScoringStub(channel)
        digests = [ask(client, subject)[2] for subject in range(len(GRANTED))]
        for subject in GRANTED:
            # There are no data to look people up in; the entry of the refusal names the version.
            with pytest.raises(grpc.RpcError):
                stub.Score(pb.ScoreRequest(model=NAME, purpose=PURPOSE, subject_ids=[subject]))
    refusals = fresh.entries(EventType.SCORE_DENIED)
    assert [entry.model_in for entry in refusals] == digests


def test_configuration_and_statistics(client: Any) -> None:
    config = client.get_model_config(NAME).config
    assert [(one.name, one.data_type) for one in config.input] == [
        ("subject_id", 13),
        ("age", 12),
        ("job", 13),
    ]
    assert ("score", 11) in [(one.name, one.data_type) for one in config.output]
    version = ask(client)[0]

    def of_version() -> Any:
        return client.get_inference_statistics(NAME, version).model_stats[0]

    before = of_version()
    ask(client)
    after = of_version()
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.inference_count == before.inference_count + 1
    assert client.get_inference_statistics("other").model_stats == []


def test_operators_take_a_model_out_of_service_and_nobody_else(
    served: Served, scorer: RunningScorer, client: Any
) -> None:
    with triton.InferenceServerClient(scorer.address, creds=served.site.credentials(OTHER_CALLER)) as other:
        for method in (other.load_model, other.unload_model):
            with pytest.raises(InferenceServerException) as raised:
                method(NAME)
            assert str(raised.value.status()) == "StatusCode.PERMISSION_DENIED"
    client.unload_model(NAME)
    assert refused(client)[0] == "StatusCode.NOT_FOUND"
    assert not client.is_model_ready(NAME)
    client.load_model(NAME)
    assert ask(client)[0]
    (unloaded,) = served.entries(EventType.MODEL_UNLOADED)
    assert unloaded.peer == CALLER
    with pytest.raises(InferenceServerException):
        client.load_model("other")


@pytest.mark.parametrize("damage", ["weights", "unsigned", "another", "unlogged", "cut"])
def test_what_does_not_verify_is_refused_and_what_was_served_goes_on(fresh: Served, damage: str) -> None:
    with fresh.running() as scorer, fresh.client(scorer) as client:
        folder = fresh.folder / f"{NAME}@2"
        if damage == "weights":
            (folder / WEIGHTS_FILE).write_bytes((fresh.folder / f"{NAME}@1" / WEIGHTS_FILE).read_bytes())
        elif damage == "unsigned":
            note = (folder / MANIFEST_FILE).read_text()
            (folder / MANIFEST_FILE).write_text(note[: note.rindex("—")])
        if damage == "another":
            fresh.digests[2] = "0" * 64
        if damage == "unlogged":
            fresh.book.decide(
                NAME, fresh.approver, lambda *_: None, kind="canary", version=2, share=5, by="x", reason="x",
                manifest=fresh.digests[2], at=datetime.now(UTC),
            )  # fmt: skip
        elif damage == "cut":
            path = fresh.book.path(NAME)
            path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
        else:
            fresh.promote(2)
        wait_until(lambda: bool(fresh.entries(EventType.MODEL_REFUSED)))
        assert ask(client)[0] == "1"
        assert ask(client, model_version="1")[0] == "1"
        if damage in {"weights", "unsigned", "another"}:
            assert refused(client, model_version="2") == (
                "StatusCode.FAILED_PRECONDITION",
                "The model version is not valid. (model.invalid)",
            )
            assert index(client)["2"] == ("UNAVAILABLE", "model.invalid")
        refusals = fresh.entries(EventType.MODEL_REFUSED)
        assert len(refusals) == 1
        code = {"unlogged": "policy.denied", "cut": "policy.invalid"}.get(damage, "model.invalid")
        assert refusals[0].reasons[0] == code


def test_a_version_is_refused_from_its_deadline_on(fresh: Served) -> None:
    now = [datetime.now(UTC)]
    with fresh.site.ledger as ledger:
        ledger.withdraw(fresh.site.ref(GRANTED[7]), fresh.site.agreement.purpose, now[0])
    scorer = RunningScorer(fresh.settings, lambda: now[0])
    with scorer, fresh.client(scorer) as client:
        assert ask(client)[0] == "1"
        now[0] += timedelta(days=30, seconds=1)
        wait_until(lambda: bool(fresh.entries(EventType.MODEL_REFUSED)))
        status, message = refused(client)
        assert status == "StatusCode.FAILED_PRECONDITION"
        assert "(model.overdue)" in message
        assert fresh.entries(EventType.MODEL_REFUSED)[0].reasons == ("model.overdue",)
    with pytest.raises(ServingError) as raised, RunningScorer(fresh.settings, lambda: now[0]):
        pass
    assert raised.value.code == "model.overdue"


def test_a_scorer_does_not_start_without_a_live_version(fresh: Served) -> None:
    fresh.retire(1)
    with pytest.raises(HanseError) as raised, fresh.running():
        pass
    assert raised.value.code == "model.not-found"


def test_deciles_that_were_decided_are_served(tmp_path: Path) -> None:
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    made = Served(tmp_path, 2, scoring=terms | {"output": "decile"})
    with pytest.raises(ServingError, match="where they begin"), made.running():
        pass  # the live version does not say it, and nobody has
    middle = float(np.median(made.expected(2)))
    for edges in ([middle] * 9, [0.0] * 5 + [middle] * 4):
        made.approve(made.says("promote", version=2, deciles=edges).number)
        with made.running() as scorer, made.client(scorer) as client:
            told = [ask(client, subject)[1] for subject in range(3)]
        model = made.model(2)
        columns = {"age": np.array(AGES), "job": np.array(JOBS, dtype=object)}
        scores = model.predictor.scores(model.transform.apply(columns))[:3]
        assert told == [1 + sum(score >= edge for edge in edges) for score in scores]


def test_methods_of_the_extension_are_not_for_strangers(served: Served, scorer: RunningScorer) -> None:
    with grpc.secure_channel(scorer.address, served.site.credentials(None)) as channel:
        index_of: Any = channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")
        with pytest.raises(grpc.RpcError):
            index_of(b"", timeout=5)
