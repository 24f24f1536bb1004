"""Sweeps over real nodes, ledgers and logs: what is tried, what it costs, what is kept."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.conftest import PLAIN, utc_now
from tests.server.test_server_phases import entries, own_entries
from tests.server.test_server_private import spent
from tests.server.test_server_service import Served, serving

from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.cli.sweep import trials_table
from hanse.client.home import MemberHome
from hanse.client.models import fetch_model
from hanse.client.progress import kept_model
from hanse.errors import HanseError
from hanse.policies import Trials
from hanse.privacy import GaussianRelease, SampledGaussian, epsilon
from hanse.server.runs import RunBook
from hanse.server.statements import Statements
from hanse.server.sweeps import SweepBook, SweepRecord

Federation = Callable[..., Any]
RATES = Trials(learning_rate=(0.01, 0.5))
LENGTHS = Trials(rounds=(1, 2))


def code_of(events: Any) -> str:
    with pytest.raises(HanseError) as error:
        kept_model(list(events))
    return error.value.code


def findings(local: Any) -> set[str]:
    """What is wrong with any of the logs, and between them."""
    shared = entries(local)
    found = [*check_shared(shared)]
    for name in local.nodes:
        log = own_entries(local, name)
        leaves = [entry.canonical() for entry in log]
        roots = roots_at(leaves, stated_sizes(shared, name)).__getitem__
        found += [*check_member(log, name), *check_against(shared, name, log, roots)]
    return {finding.kind for finding in found if not finding.is_note}


def fetched(served: Served, reference: str) -> Any:
    home = MemberHome(served.local.federation.folder / "brand")
    with served.client() as client:
        return fetch_model(client, home, reference, served.local.signed)[1]


def test_the_best_trial_is_kept_and_no_other_can_be_fetched(federation: Federation) -> None:
    local = federation(3, None, rounds=1, trials=RATES, columns=PLAIN)
    with serving(local) as served:
        with served.client() as client:
            events = list(client.start(client.submit(local.signed.note), trials=2))
            reference, results = kept_model(events)
            with suppress(HanseError):
                assert client.model("propensity@2") is None
        manifest = fetched(served, reference).manifest
    best = max(results, key=lambda result: result["auc"])
    assert [result["kept"] for result in results] == [result is best for result in results]
    assert {result["settings"]["learning_rate"] for result in results} == {0.01, 0.5}
    assert results[0]["auc"] != results[1]["auc"]
    assert [each.model_dump() for each in manifest.trials] == results
    assert manifest.run == best["run"]
    assert (manifest.training.learning_rate, manifest.training.trials) == (
        best["settings"]["learning_rate"],
        None,
    )
    assert [path.name for path in local.home.models.iterdir()] == [reference]
    # Each trial is a run of its own, in everybody's log, and nothing is amiss.
    ends = [entry for entry in own_entries(local, "media") if entry.type == "run.finished"]
    assert [(entry.run, entry.detail, entry.model_out) for entry in ends] == [
        (result["run"], "trial", None) for result in results
    ]
    assert not findings(local) - {"step-uncovered"}  # of every run in sums
    assert trials_table(results).row_count == 2


@pytest.mark.slow
def test_a_sweep_with_a_budget_pays_for_all_trials_and_goes_on_after_a_restart(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a person pays takes seconds to compute, and is tested where it is.
    monkeypatch.setattr("hanse.privacy.certificate._SHOWN_MEMBERS", ())
    local = federation(2, 3.0, rounds=1, trials=LENGTHS)
    with serving(local) as served:
        first_book = local.book
        served.engine.transport.before = lambda _: (
            first_book.interrupt() if len(first_book.all()) > 1 else None
        )
        with served.client() as client:
            sweep = served.coordinator.start(client.submit(local.signed.note), "brand", 2)
            (thread,) = [each for each in threading.enumerate() if each.name == sweep.run]
            thread.join()
    # The process of the coordinator ends in the second trial; the next one finishes it.
    local.book = RunBook(local.home.runs, local.shared_log, utc_now)
    local.statements = Statements(local.shared_log)
    for node in local.nodes.values():
        node._statements._shared.statements = local.statements
    with serving(local) as served:
        assert served.coordinator.take_up() == []
        (going,) = SweepBook(local.book).active()
        wait(lambda: not SweepBook(RunBook(local.home.runs, local.shared_log, utc_now)).active())
        result = ended(local, going)
        manifest = fetched(served, result["model"]).manifest
        again = list(served.coordinator.start(local.signed.digest, "brand", 2).watch(lambda: True))
    assert going.run == sweep.run
    assert [(each["code"], each["settings"]) for each in result["trials"]] == [
        (None, {"rounds": rounds}) for rounds in trained_rounds(local, result)
    ]
    # All trials have spent what was reserved for all of them before the first, and no more than the grant.
    steps, lengths = local.agreement.training.local_steps, (1, 2)
    for name in local.nodes:
        training, holdout = spent(local, name, "training"), spent(local, name, "holdout")
        gradients = [event for event in training if isinstance(event, SampledGaussian)]
        counts = [event for event in training if isinstance(event, GaussianRelease)]
        assert [event.steps for event in gradients] == [steps * sum(lengths)]
        assert [event.count for event in counts] == [len(lengths)]
        assert sum(event.count for event in holdout) == sum(rounds + 1 for rounds in lengths)
        cost = max(epsilon(training, 1e-5), epsilon(holdout, 1e-5))
        assert 2.9 < cost <= 3
        assert manifest.certificate["epsilon"] == pytest.approx(cost)
        assert manifest.epsilon[name] <= cost
    assert not findings(local) - {"run-open"}
    # Nothing is left: another sweep is refused before anything leaves.
    assert code_of(again) == "run.insufficient-members"
    assert {e.facts["code"] for e in again if e.type == "member.left"} == {"privacy.exhausted"}
    assert not [event for event in again if event.type == "run.prepared"]


def test_what_is_not_agreed_is_not_tried(federation: Federation) -> None:
    local = federation(2, 3.0, rounds=1)
    with serving(local) as served, served.client() as client:
        digest = client.submit(local.signed.note)
        with pytest.raises(HanseError, match=r"policy\.denied"):
            list(client.start(digest, trials=2))
        assert local.book.all() == []


def trained_rounds(local: Any, result: Any) -> list[int]:
    """Rounds of each trial, from what the shared log says was aggregated."""
    return [
        sum(entry.run == each["run"] and entry.type == "round.aggregated" for entry in entries(local))
        for each in result["trials"]
    ]


def ended(local: Any, sweep: SweepRecord) -> Any:
    """The result, as the next process would read it."""
    (found,) = [
        each
        for each in SweepBook(RunBook(local.home.runs, local.shared_log, utc_now))._sweeps
        if each.run == sweep.run
    ]
    return found._file.result


def wait(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
