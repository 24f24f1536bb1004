"""Runs that another process of the coordinator goes on with: what is asked again, and what it costs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import PLAIN, utc_now

from hanse.aggregation import Aggregate
from hanse.api.v1 import round_pb2 as pb
from hanse.audit import verify_log
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.crypto import SigningKey
from hanse.errors import TrainingError
from hanse.privacy import LedgerKey, PrivacyLedger, SampledGaussian
from hanse.server.checkpoints import Checkpoint, OpenedSums, read_sums
from hanse.server.party import RunContext
from hanse.server.resuming import RunStory
from hanse.server.rounds import Means, Outcome, Resumed, Rounds
from hanse.server.runs import RunBook, RunRecord
from hanse.server.statements import Statements

Federation = Callable[..., Any]
TRAINING = LedgerKey("customers:training", "joint_modelling.propensity")


class KilledError(Exception):
    """Where the coordinator's process ends."""


def entries(local: Any) -> list[Any]:
    return list(verify_log(local.home.log, local.key.verifier).entries)


def own(site: Any) -> list[Any]:
    return list(verify_log(site.home.log, SigningKey.load(site.home.node_key).verifier).entries)


def root_of(local: Any, site: Any) -> Callable[[int], bytes]:
    leaves = [entry.canonical() for entry in own(site)]
    return roots_at(leaves, stated_sizes(entries(local), site.data.name)).__getitem__


def kill_at(record: RunRecord, monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> None:
    """Lets the process end in the call of a method of a record that comes after so many others."""
    owner = record.opened if name in {"opened", "find"} else record
    method = "keep" if name == "opened" else name
    original, calls = getattr(owner, method), []

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > count:
            raise KilledError(name)
        return original(*arguments)

    monkeypatch.setattr(owner, method, call)


def again(local: Any, run: str) -> tuple[Rounds, RunRecord, Resumed]:
    """The run as the next process finds it."""
    record = RunBook(local.home.runs, local.shared_log, utc_now).get(run)
    story = RunStory.of(local.shared_log, run)
    kept = record.load()
    record.repair(story.events(kept[0] if kept else None, local.nodes))
    resumed = story.resumed(local.signed, kept)
    record.opened.load()
    local.statements = Statements(local.shared_log)
    for node in local.nodes.values():
        node._statements._shared.statements = local.statements
    means = Means(local.transport(), local.hub, local.statements)
    context = RunContext(run, local.signed, local.signed.note)
    return Rounds(context, means, local.key, record, record), record, resumed


def survive(local: Any, monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> tuple[Outcome, RunRecord]:
    """A run whose coordinator ends somewhere, and is started again."""
    rounds, first = local.rounds(local.transport())
    kill_at(first, monkeypatch, name, count)
    with pytest.raises(KilledError):
        rounds.conduct()
    rounds, record, resumed = again(local, first.run)
    outcome = rounds.conduct(resumed)
    rounds.finish("propensity@1", "0" * 64, "")
    return outcome, record


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("opened", 0),
        ("find", 2),
        pytest.param("save", 1, marks=pytest.mark.slow),
        pytest.param("record", 3, marks=pytest.mark.slow),
    ],
)
def test_a_run_in_sums_goes_on(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    local = federation(4, None, rounds=2, columns=PLAIN)
    if (name, count) == ("opened", 0):  # a sum was opened, and nobody has it: it cannot be made again
        rounds, first = local.rounds(local.transport())
        kill_at(first, monkeypatch, name, count)
        with pytest.raises(KilledError):
            rounds.conduct()
        rounds, _, resumed = again(local, first.run)
        with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
            rounds.conduct(resumed)
        return
    outcome, record = survive(local, monkeypatch, name, count)
    assert outcome.members == tuple(sorted(local.nodes))
    types = [event.type for event in record._events]
    steps = ["run.started", "run.prepared", "round.aggregated", "round.aggregated", "run.evaluated"]
    assert [kind for kind in types if kind != "run.resumed"] == steps
    assert types.count("run.resumed") == 1
    found = {f.kind for f in check_shared(entries(local)) if not f.is_note}
    assert found <= {"agreement-unaccepted"}, found
    for site in local.federation.sites:  # what was stated, each log has
        name = site.data.name
        found = {f.kind for f in check_against(entries(local), name, own(site), root_of(local, site))}
        assert not found & {"step-unlogged", "rows-differ", "subjects-differ", "round-unshared"}, found
        kinds = {f.kind for f in check_member(own(site), site.data.name) if not f.is_note}
        assert not kinds & {"round-repeated", "round-skipped", "step-unused", "step-unadmitted"}, kinds


def test_what_was_sent_with_a_budget_is_sent_again_as_it_was_and_costs_nothing(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(2, 3.0, rounds=2)
    sent: list[bytes] = []

    def listen(_: str, body: bytes) -> bytes:
        reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
        if reply.trained.round == 2:
            sent.append(reply.trained.delta)
        return body

    original = local.transport

    def transport() -> Any:
        made = original()
        made.tamper = listen
        return made

    local.transport = transport
    outcome, _ = survive(local, monkeypatch, "save", 2)
    assert len(sent) == 4
    assert len(set(sent)) == 2
    for site in local.federation.sites:
        ledger = PrivacyLedger(site.home.privacy)
        steps = [event for event in ledger.spent_events(TRAINING) if isinstance(event, SampledGaussian)]
        assert [event.steps for event in steps] == [2 * local.agreement.training.local_steps]
        assert ledger.spent(TRAINING, 1e-5) <= 3.0
    assert all(0 < epsilon <= 3.0 for epsilon in outcome.epsilon.values())


def test_a_checkpoint_that_is_not_of_the_last_step_is_no_state_to_go_on_from(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(2, None, rounds=2, columns=PLAIN)
    rounds, record = local.rounds(local.transport())
    kill_at(record, monkeypatch, "record", 4)
    folder: Path = local.home.runs / record.run
    with pytest.raises(KilledError):
        rounds.conduct()
    kept = record.load()
    assert kept is not None
    assert (kept[0].step, kept[0].round) == ("evaluated", 2)
    story = RunStory.of(local.shared_log, record.run)
    for changed in ({"round": 1}, {"state": "0" * 64}, {"agreement": "0" * 64}, {"step": "prepared"}):
        with pytest.raises(TrainingError, match=r"run\.interrupted"):
            story.resumed(local.signed, (kept[0].model_copy(update=changed), kept[1]))
    assert story.resumed(local.signed, kept).done is not None
    (folder / "round-0002.state").write_bytes(b"other weights")
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        record.load()
    (folder / "checkpoint.json").unlink()
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        story.resumed(local.signed, record.load())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_checkpoint(data: bytes) -> None:
    with pytest.raises(TrainingError):
        Checkpoint.parse(data)
    assert read_sums(data) == {}


def test_sums_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "sums"
    kept = OpenedSums(file)
    for number in range(3):
        kept.keep(bytes([number]) * 32, Aggregate(np.arange(number + 1.0), ("ann", "bob")))
    data = file.read_bytes()
    assert len(read_sums(data)) == 3
    for cut in range(1, 30):
        assert len(read_sums(data[:-cut])) == 2
    kept.load()
    found = kept.find(b"\x02" * 32)
    assert found is not None
    np.testing.assert_array_equal(found.values, [0.0, 1.0, 2.0])
    kept.clear()
    assert (kept.find(b"\x02" * 32), file.exists()) == (None, False)
