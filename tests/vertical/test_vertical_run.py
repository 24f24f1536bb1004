"""A whole vertical run in one process: real homes, logs, nodes, exchange and sealed channels."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import LocalFederation, LocalTransport, open_federation, utc_now
from typing_extensions import override

from hanse.aggregation import encode_body
from hanse.audit import Entry, EventType, VerifiedLog, verify_log
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.client.progress import failure
from hanse.client.remote import RunEvent
from hanse.client.vertical.kinds import trees
from hanse.crypto import VerifierKey, sha256_hex
from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.rivals import plain_join
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import Story, car_story
from hanse.errors import PolicyError, TrainingError
from hanse.exchange import memory_pair
from hanse.learning.artifact import MANIFEST_FILE
from hanse.learning.vertical.leakage import LeakageReport, Recorder, WatchedTrees
from hanse.learning.vertical.runs.leakage import LEAKAGE_FILE, encode_reports
from hanse.learning.vertical.runs.manifest import PART_FILE, open_part, open_vertical
from hanse.policies import Identity
from hanse.server.party import RunContext
from hanse.server.rounds import Means
from hanse.server.runs import RunRecord
from hanse.server.vertical import run as coordinators_run
from hanse.server.vertical.registering import vertical_manifest, write_vertical
from hanse.server.vertical.run import VerticalRun

PURPOSES = ("joint_modelling.propensity", "scoring.marketing")


@pytest.fixture(scope="module")
def story() -> Story:
    return car_story(4800, 2, np.random.default_rng(5))


@pytest.fixture
def two(tmp_path: Path, story: Story) -> Iterator[LocalFederation]:
    """Brand and insurer."""
    federation = Federation(tmp_path, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    note = federation.agree(vertical_draft(story, 5, CALLER))[1]
    built = open_federation(federation, note)
    with ExitStack() as stack:
        stack.enter_context(built.hub)
        yield built


def begun(built: LocalFederation, transport: LocalTransport) -> tuple[VerticalRun, RunRecord, RunContext]:
    record = built.book.new("abcdef", frozenset(built.nodes))
    context = RunContext(record.run, built.signed, built.signed.note)
    means = Means(transport, built.hub, built.statements)
    return VerticalRun(context, means, built.key, record), record, context


def log_of(home: Path) -> VerifiedLog:
    verifier = VerifierKey.decode(Identity.load(home / "identity.json").node_key)
    return verify_log(home / "state" / "audit.db", verifier, origin=verifier.name)


def of_type(log: VerifiedLog, kind: EventType) -> list[Entry]:
    return [entry for entry in log.entries if entry.type is kind]


def test_members_align_train_and_evaluate(two: LocalFederation, story: Story) -> None:
    run, _, context = begun(two, two.transport())
    outcome = run.conduct()
    manifest = vertical_manifest(context, outcome, utc_now())
    name = manifest.reference
    two.home.models.mkdir(exist_ok=True)
    digest = write_vertical(two.home.models / name, manifest, two.key)
    run.finish(name, digest, "")
    brand, insurer = two.federation.sites

    # Exactly those are in common whom a join in the clear finds under the agreement's rules.
    vertical = two.agreement.vertical
    assert vertical is not None
    usable = [brand.written.consenting, insurer.written.consenting]
    assert outcome.aligned == len(plain_join(story.holders, usable, vertical.alignment))
    assert 0.55 < outcome.figures["auc"] <= 1
    assert {"auc_alone", "log_loss", "auc_standard_error"} <= set(outcome.figures)

    # What was sent is attacked before the model is released, and the manifest says how that went.
    (report,) = outcome.leakage
    assert (report.party, report.rows) == ("insurer", outcome.aligned)
    assert {finding.seen.split(",")[0] for finding in report.findings} == {"sums", "proof"}
    assert report.leaked <= max(vertical.maximum_leakage, report.chance)
    assert [one.seen for one in report.disclosed] == ["the cuts it was asked for"]
    registered = open_vertical((two.home.models / name / MANIFEST_FILE).read_bytes(), two.key.verifier)
    assert registered.leakage == (report,)
    assert (brand.home.parts / name / LEAKAGE_FILE).read_bytes() == encode_reports((report,))

    # Each member keeps its part, under the name of the model; the coordinator knows digests.
    for site in (brand, insurer):
        note = (site.home.parts / name / PART_FILE).read_bytes()
        part = open_part(note, VerifierKey.decode(Identity.load(site.home.identity).node_key))
        assert outcome.parts[site.data.name] == sha256_hex(note)
        assert part.files == {
            file: sha256_hex((site.home.parts / name / file).read_bytes()) for file in part.files
        }
    assert (brand.home.parts / name / "alone" / "part.json").is_file()
    assert not (insurer.home.parts / name / "alone").exists()

    # All logs tell the same story, and nothing is missing in any.
    logs = {site.data.name: log_of(site.home.root) for site in (brand, insurer)}
    shared = log_of(two.federation.hub)
    assert [one for one in check_shared(shared.entries) if one.kind not in _UNFINISHED] == []
    for member, log in logs.items():
        roots = roots_at(log.leaves, stated_sizes(shared.entries, member))
        assert check_member(log.entries, member) == []
        found = check_against(shared.entries, member, log.entries, roots.__getitem__, log.keys)
        assert [one for one in found if one.kind not in _UNFINISHED] == []
    assert len({of_type(log, EventType.PEER_HEARD)[1].conversation for log in logs.values()}) == 1
    assert len({of_type(log, EventType.ALIGNMENT_FINISHED)[0].aligned_set_root for log in logs.values()}) == 1

    # The consents that counted are in the log before identifiers are entered.
    for log in logs.values():
        order = [entry.type for entry in log.entries]
        admitted = order.index(EventType.ROUND_ADMITTED)
        assert log.entries[admitted].consent is not None
        assert admitted < order.index(EventType.ALIGNMENT_ENTERED) < order.index(EventType.ALIGNMENT_FINISHED)


_UNFINISHED = {"agreement-unaccepted", "run-open"}
"""The coordinator around the run is not part of this: it accepts agreements and writes the last entry."""


class Careless(WatchedTrees):
    """Sends labels as they are."""

    @override
    def report(self, labels: NDArray[np.bool_], rng: np.random.Generator) -> LeakageReport:
        here, _ = memory_pair("brand", self.channel.peer)
        self.channel = Recorder(here, len(labels))
        self.channel.send(encode_body({"step": "sums"}, labels.astype(np.float64)))
        return super().report(labels, rng)


def test_a_model_whose_training_leaks_is_not_released(
    two: LocalFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "WatchedTrees", Careless)
    run, record, context = begun(two, two.transport())
    with pytest.raises(PolicyError, match=r"policy\.leakage.*on sums.* at insurer") as refused:
        run.conduct()
    run.finish("", "", refused.value.code)
    brand, insurer = two.federation.sites
    assert (brand.home.parts / context.run / "alone" / "part.json").is_file()
    assert not (brand.home.parts / context.run / PART_FILE).exists()
    assert not (insurer.home.parts / context.run).exists()
    (told,) = record.told(EventType.ROUND_AGGREGATED)
    seen = [RunEvent(record.run, "", "round.aggregated", 1, dict(told))]
    seen.append(RunEvent(record.run, "", "run.failed", 0, {"code": "policy.leakage"}))
    assert "an attack on what insurer was sent reaches 1.000" in str(failure(seen))
    for site in (brand, insurer):
        log = log_of(site.home.root)
        assert of_type(log, EventType.RUN_FAILED)[-1].reasons == ("policy.leakage",)
        assert check_member(log.entries, site.data.name) == []


@pytest.mark.slow
def test_the_label_holder_scores_no_such_model_for_a_coordinator_that_looks_away(
    two: LocalFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "WatchedTrees", Careless)
    monkeypatch.setattr(coordinators_run, "check_reports", lambda *_: None)
    run, record, _ = begun(two, two.transport())
    with pytest.raises(TrainingError):
        run.conduct()
    left = [(one["member"], one["code"]) for one in record.told(EventType.MEMBER_LEFT)]
    assert left == [("brand", "policy.leakage")]
    run.finish("", "", "run.insufficient-members")


@pytest.mark.slow
def test_a_withdrawal_after_the_alignment_ends_the_run(two: LocalFederation, story: Story) -> None:
    transport, vertical = two.transport(), two.agreement.vertical
    brand, insurer = two.federation.sites
    assert vertical is not None
    usable = [brand.written.consenting, insurer.written.consenting]
    common = plain_join(story.holders, usable, vertical.alignment)

    def withdraw(_: object) -> None:
        if len(transport.sent) == 1:  # the next command begins the training
            subject = str(insurer.written.subject_ids[common[0, 1]])
            two.federation.withdraw(insurer, subject, PURPOSES[0], utc_now())

    transport.before = withdraw
    run, record, _ = begun(two, transport)
    with pytest.raises(TrainingError) as refused:
        run.conduct()
    assert refused.value.code == "run.insufficient-members"
    left = [(one["member"], one["code"]) for one in record.told(EventType.MEMBER_LEFT)]
    assert left == [("insurer", "run.alignment-stale")]
    run.finish("", "", refused.value.code)
    assert not (insurer.home.parts / record.run).exists()
    assert check_member(log_of(brand.home.root).entries, "brand") == []
