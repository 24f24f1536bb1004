"""Members that leave a run for good, and members that come late: who is named, who goes on, what is free."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import PLAIN
from tests.server.test_server_phases import left
from tests.server.test_server_resuming import TRAINING, KilledError, again, entries, kill_at, own

from hanse.audit import EventType
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.client.kept import RunFile
from hanse.client.leaving import LeftRuns
from hanse.errors import TrainingError
from hanse.privacy import PrivacyLedger, make_plan
from hanse.server.party import LeftOff
from hanse.server.resuming import RunStory

Federation = Callable[..., Any]
TERMS = {"rounds": 2, "local_steps": 2}
UNRELATED = {"agreement-unaccepted", "model-unregistered"}
"""What these runs are not about: no model is registered."""


def planned(federation: Federation) -> Any:
    """Three members with a budget; the plan is made once here, so that not all of them make its figures."""
    local = federation(3, 3.0, **TERMS)
    make_plan(local.agreement.training, local.agreement.privacy, len(local.agreement.columns))
    return local


def site_of(local: Any, name: str) -> Any:
    return next(site for site in local.federation.sites if site.data.name == name)


def findings(local: Any) -> set[str]:
    """What the logs contradict, each alone and one against the other."""
    shared = entries(local)
    kinds = {found.kind for found in check_shared(shared) if not found.is_note}
    for site in local.federation.sites:
        name, log = site.data.name, own(site)
        roots = roots_at([entry.canonical() for entry in log], stated_sizes(shared, name))
        kinds |= {found.kind for found in check_member(log, name) if not found.is_note}
        kinds |= {found.kind for found in check_against(shared, name, log, roots.__getitem__)}
    return kinds - UNRELATED


@pytest.mark.parametrize("mode", ["individual", pytest.param("secure", marks=pytest.mark.slow)])
def test_a_member_leaves_for_good_and_the_others_go_on(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    budget = 3.0 if mode == "individual" else None
    local = planned(federation) if budget else federation(4, None, rounds=1, columns=PLAIN)
    transport = local.transport()
    rounds, record = local.rounds(transport)
    name = min(local.nodes)
    home = site_of(local, name).home
    node = local.nodes[name]

    def leave() -> None:
        LeftRuns(home.left).leave(record.run, RunFile(home.run))

    if mode == "individual":  # while it computes the first round
        compute = node._compute

        def computing(session: Any, command: Any, step: str) -> Any:
            done = compute(session, command, step)
            if step == "train":
                leave()
            return done

        monkeypatch.setattr(node, "_compute", computing)
    else:  # while others wait for its share of a sum
        take = node._part

        def taking(session: Any, phase: Any) -> Any:
            part = take(session, phase)
            if phase.HasField("train"):
                leave()
            return part

        monkeypatch.setattr(node, "_part", taking)
    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")
    assert left(record) == {name: "run.left"}
    assert name not in outcome.members
    assert len(outcome.members) == len(local.nodes) - 1
    log = own(site_of(local, name))
    (end,) = [entry for entry in log if entry.type == "run.failed"]
    assert end.reasons == ("run.left",)
    assert not findings(local)
    if budget:  # nothing is reserved any more, and what was charged stays charged
        ledger = PrivacyLedger(home.privacy)
        assert 0 < ledger.spent(TRAINING, 1e-5) < 3.0
        assert ledger.close_abandoned() == ()
    with pytest.raises(TrainingError, match=r"run\.unknown"):
        LeftRuns(home.left).leave("run-20260101-000000-abcdef", RunFile(home.run))


def test_who_comes_late_joins_at_the_next_round_where_figures_are_each_members_own(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = planned(federation)
    late = "media"
    transport = local.transport()
    transport.silent.add(late)
    rounds, record = local.rounds(transport)
    kill_at(record, monkeypatch, "save", 1)
    with pytest.raises(KilledError):
        rounds.conduct()
    assert left(record) == {late: "run.absent"}
    # Who may join is in the log, so another process of the coordinator knows it as well.
    rounds, record, resumed = again(local, record.run)
    assert resumed.left_off.late == {late}
    outcome = rounds.conduct(resumed)
    rounds.finish("propensity@1", "0" * 64, "")
    assert outcome.members == tuple(sorted(local.nodes))
    joined = [event.facts for event in record._events if event.type == "member.joined"]
    assert joined == [{"member": late}]
    assert 0 < outcome.epsilon[late] <= 3.0
    assert not findings(local)


def test_who_comes_late_to_sums_is_refused_by_name(federation: Federation) -> None:
    local = federation(4, None, rounds=1, columns=PLAIN)
    late = "media"
    transport = local.transport()
    transport.silent.add(late)
    rounds, record = local.rounds(transport)

    def come(_: Any) -> None:
        transport.silent.clear()

    transport.before = come
    outcome = rounds.conduct()
    assert late not in outcome.members
    told = [e.facts["code"] for e in record._events if e.type == "member.left"]
    assert told == ["run.absent", "run.late"]
    assert not findings(local)


def test_runs_that_were_left_are_known_after_a_restart(tmp_path: Path) -> None:
    runs = LeftRuns(tmp_path / "left")
    assert "run-1" not in runs
    (tmp_path / "left").write_text("run-1\n")
    assert "run-1" in LeftRuns(tmp_path / "left")
    assert "run-" not in runs
    with pytest.raises(TrainingError, match=r"run\.left"):
        runs.require_in("run-1")


def test_members_that_were_found_out_are_counted_after_a_restart() -> None:
    def entry(kind: str, peer: str, *reasons: str) -> Any:
        return SimpleNamespace(type=EventType(kind), peer=peer, reasons=reasons)

    told = [
        entry("member.left", "late", "run.absent"),
        entry("update.screened", "ann"),  # shortened, and still there
        entry("update.screened", "bob"),
        entry("member.left", "bob", "run.update-rejected"),
        entry("member.left", "eve", "run.update-rejected"),  # says so itself, and nothing was found
    ]
    agreement = SimpleNamespace(members=[SimpleNamespace(name=n) for n in ("ann", "bob", "eve", "late")])
    left_off = RunStory(tuple(enumerate(told)))._left_off(agreement)  # type: ignore[arg-type]
    assert left_off == LeftOff(frozenset({"ann"}), frozenset({"late"}), 1)
