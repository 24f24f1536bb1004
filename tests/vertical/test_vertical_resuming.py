"""Vertical runs whose processes end and are started again: the same model, the same story in all logs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import LocalFederation, copy_of, open_federation, utc_now
from tests.vertical.faulty_runs import Ended, build, faulty
from tests.vertical.killed_nodes import KilledError, Transport, killer, restart
from tests.vertical.test_vertical_run import PURPOSES, log_of, of_type

from hanse.audit import Event, EventType
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.client.session import MOST_AGAIN
from hanse.client.vertical.kinds import Trees
from hanse.client.vertical.records import CommonRows
from hanse.client.vertical.state import order_digest
from hanse.client.vertical.unfinished import ALIGNED_FILE, Aligned, Unfinished
from hanse.demo.federation import CALLER, Federation
from hanse.demo.vertical.rivals import plain_join
from hanse.demo.vertical.sites import site_of, vertical_draft
from hanse.demo.vertical.story import Story, car_story
from hanse.errors import TrainingError
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.recipe import VerticalModel
from hanse.learning.vertical.runs import terms
from hanse.learning.vertical.runs.manifest import PART_FILE
from hanse.learning.vertical.serving.kept import KeptPart, open_kept
from hanse.learning.vertical.serving.trees import TreesFeature, TreesLabel
from hanse.learning.vertical.trees import feature_holder
from hanse.server.checkpoints import Checkpoint
from hanse.server.party import LeftOff, RunContext
from hanse.server.resuming import RunStory
from hanse.server.rounds import Done, Means, Resumed
from hanse.server.runs import RunBook, RunRecord
from hanse.server.statements import Statements
from hanse.server.vertical.phase import Conductor
from hanse.server.vertical.progress import Progress
from hanse.server.vertical.registering import vertical_manifest, write_vertical
from hanse.server.vertical.run import VerticalOutcome, VerticalRun, require_resumable

TREES = 6
DRAWN: list[int] = []
"""An entry for each time that columns were put into an order in the run of a test."""
MEMBERS = ("brand", "insurer")


@pytest.fixture(scope="module")
def story() -> Story:
    return car_story(700, 2, np.random.default_rng(5))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, story: Story) -> tuple[Federation, bytes]:
    return made(tmp_path_factory.mktemp("template"), story)


def made(folder: Path, story: Story, model: VerticalModel = "trees") -> tuple[Federation, bytes]:
    federation = Federation(folder, [site_of(story, holder) for holder in story.holders], utc_now())
    federation.make_keys()
    federation.write_data(*PURPOSES, np.random.default_rng(7))
    draft = vertical_draft(story, TREES if model == "trees" else None, CALLER, model)
    training = draft.training.model_copy(update={"round_timeout_s": 30})
    return federation, federation.agree(replace(draft, minimum_rows=100, training=training))[1]


@pytest.fixture
def two(
    tmp_path: Path, template: tuple[Federation, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator["Sites"]:
    """Brand and insurer, which keep a point after every two trees."""
    monkeypatch.setattr(terms, "_POINT_TREES", 2)
    built = open_federation(copy_of(template[0], tmp_path / "sites"), template[1])
    with ExitStack() as stack:
        stack.enter_context(built.hub)
        yield Sites(built)


@dataclass
class Sites:
    """A federation whose processes end in the middle."""

    local: LocalFederation
    run: str = ""
    transport: Transport = field(init=False)

    def __post_init__(self) -> None:
        self.transport = Transport(self.local.nodes)

    def folder(self, member: str) -> Path:
        return self.local.federation.folder / member

    def begin(self) -> tuple[VerticalRun, RunRecord]:
        DRAWN.clear()
        record = self.local.book.new("abcdef", frozenset(self.local.nodes))
        self.run = record.run
        return self._vertical(record), record

    def again(self) -> tuple[VerticalOutcome, RunRecord]:
        """The run as the next process of the coordinator finds it, to its end."""
        local = self.local
        record = RunBook(local.home.runs, local.shared_log, utc_now).get(self.run)
        story = RunStory.of(local.shared_log, self.run)
        kept = record.load()
        record.repair(story.events(kept[0] if kept else None, local.nodes))
        resumed = story.resumed(local.signed, kept)
        local.statements = Statements(local.shared_log)
        for node in local.nodes.values():
            node._statements._shared.statements = local.statements  # type: ignore[attr-defined]
        return self._vertical(record).conduct(resumed), record

    def _vertical(self, record: RunRecord) -> VerticalRun:
        local = self.local
        context = RunContext(record.run, local.signed, local.signed.note)
        return VerticalRun(context, Means(self.transport, local.hub, local.statements), local.key, record)

    def kill_at_write(self, member: str, file: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ends a member's process when it is about to keep a file for so many times, and starts it again."""
        kill, left = killer(self.local, member), [count]
        parts = self.local.nodes[member]._vertical._parts
        original = parts.unfinished

        def unfinished(run: str) -> Unfinished:
            found: Any = original(run)
            keep = type(found).keep

            def watched(files: Mapping[str, bytes]) -> None:
                left[0] -= file in files
                if left[0] < 0:
                    kill()
                keep(found, files)

            found.keep = watched
            return found  # type: ignore[no-any-return]

        monkeypatch.setattr(parts, "unfinished", unfinished)

    def finish(self, outcome: VerticalOutcome, record: RunRecord) -> str:
        """Registers the model, and lets the members keep their parts."""
        local = self.local
        context = RunContext(record.run, local.signed, local.signed.note)
        manifest = vertical_manifest(context, outcome, utc_now())
        local.home.models.mkdir(exist_ok=True)
        digest = write_vertical(local.home.models / manifest.reference, manifest, local.key)
        run = self._vertical(record)
        run._party._sequence = 1 << 24
        run.finish(manifest.reference, digest, "")
        return manifest.reference

    def part(self, member: str, reference: str) -> KeptPart:
        folder = self.folder(member) / "parts" / reference
        return open_kept(
            lambda name: (folder / name).read_bytes(), [self.local.nodes[member]._site.key.verifier]
        )

    def leaves(self, reference: str) -> Any:
        """Leaves of the model, whose two parts belong together."""
        brand, insurer = (self.part(member, reference) for member in MEMBERS)
        assert isinstance(brand.label, TreesLabel)
        assert isinstance(insurer.feature, TreesFeature)
        label, feature = brand.label.part, insurer.feature.part
        assert label.description.holders[0].pair == feature.pair
        # A column may be shown backwards: then left and right are the other way round, and nothing else is.
        return np.sort(label.trees.forest.value)

    def check_logs(self) -> dict[str, list[str | None]]:
        """All logs tell one story; from which points each says that the run went on."""
        shared = log_of(self.local.federation.hub)
        ignored = {"agreement-unaccepted", "run-open"}
        assert [one for one in check_shared(shared.entries) if one.kind not in ignored] == []
        told = {"hub": [entry.model_in for entry in of_type(shared, EventType.ROUND_AGGREGATED)]}
        for member in MEMBERS:
            log = log_of(self.folder(member))
            roots = roots_at(log.leaves, stated_sizes(shared.entries, member))
            assert [one for one in check_member(log.entries, member) if not one.is_note] == []
            found = check_against(shared.entries, member, log.entries, roots.__getitem__, log.keys)
            assert [one for one in found if one.kind not in ignored] == []
            told[member] = [entry.model_in for entry in of_type(log, EventType.RUN_RESUMED) if entry.model_in]
        return told


@pytest.fixture(scope="module", autouse=True)
def _drawn_alike() -> Iterator[None]:
    """Every run shows columns in one order, which says which of two equal cuts is taken; but not twice."""

    def draw() -> SecureRandom:
        DRAWN.append(len(DRAWN))
        return SecureRandom(bytes([len(DRAWN)]) * 32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_holder, "SecureRandom", draw)
        yield


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, template: tuple[Federation, bytes]
) -> tuple[Any, Mapping[str, float], int]:
    """Leaves and figures of a run that nothing interrupted, and how often it sent something to sum up."""
    folder = tmp_path_factory.mktemp("whole") / "sites"
    built = open_federation(copy_of(template[0], folder), template[1])
    with built.hub:
        sites = Sites(built)
        run, record = sites.begin()
        outcome = run.conduct()
        reference = sites.finish(outcome, record)
        told = sites.check_logs()
        assert told == {"hub": [None], "brand": [], "insurer": []}
        (report,) = outcome.leakage
        seen = [one.seen for one in report.findings if one.seen.startswith("sums, averaged over")]
        return sites.leaves(reference), outcome.figures, int(seen[0].rpartition(" ")[2])


def check_whole(two: Sites, uninterrupted: Any, outcome: VerticalOutcome, record: RunRecord) -> Any:
    """The model is that of a run that nothing interrupted; from where each log says that it went on."""
    reference = two.finish(outcome, record)
    assert np.allclose(two.leaves(reference), uninterrupted[0], atol=1e-12)
    assert outcome.figures == pytest.approx(dict(uninterrupted[1]), abs=1e-12)
    for name in MEMBERS:
        assert not list((two.folder(name) / "parts").rglob("unfinished"))
    told = two.check_logs()
    assert told["brand"] == told["insurer"]
    assert told["hub"] == (told["brand"][-1:] or [None])
    return told


@pytest.mark.parametrize(
    ("member", "count", "points"),
    [
        pytest.param("brand", 0, 0, marks=pytest.mark.slow),
        ("brand", 1, 1),
        pytest.param("insurer", 1, 0, marks=pytest.mark.slow),
        pytest.param("insurer", 2, 1, marks=pytest.mark.slow),
    ],
)
def test_a_member_that_is_killed_while_trees_grow(
    two: Sites,
    uninterrupted: Any,
    monkeypatch: pytest.MonkeyPatch,
    member: str,
    count: int,
    points: int,
) -> None:
    two.kill_at_write(member, "point.json", count, monkeypatch)
    modes = set[int]()

    def before(_: object) -> None:
        for name in MEMBERS:
            found = [path for path in (two.folder(name) / "parts").rglob("unfinished/*") if path.is_file()]
            modes.update(path.stat().st_mode & 0o777 for path in found)

    two.transport.before = before
    run, record = two.begin()
    outcome = run.conduct()
    assert modes == {0o600}  # it is for its owner alone
    told = check_whole(two, uninterrupted, outcome, record)
    assert len(told["brand"]) == points
    assert [fact["attempt"] for fact in record.told(EventType.RUN_RESUMED)] == [1]
    # What the feature holder was sent in all attempts is attacked, whoever was killed.
    (report,) = outcome.leakage
    sums = [int(one.seen.rpartition(" ")[2]) for one in report.findings if one.seen.startswith("sums, aver")]
    assert min(sums) >= uninterrupted[2]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["keep", "save", "record"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_coordinator_that_is_killed_between_two_steps(
    two: Sites, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, step: str, count: int
) -> None:
    """Before or after the checkpoint of the training, or of the evaluation."""
    run, record = two.begin()
    original, calls = getattr(record, step), list[Any]()

    def watched(*given: Any) -> Any:
        calls.append(given)
        if len(calls) > count + (step == "record"):  # the first entry is that the run has begun
            raise KilledError("hub")
        return original(*given)

    monkeypatch.setattr(record, step, watched)
    with pytest.raises(KilledError):
        run.conduct()
    outcome, record = two.again()
    told = check_whole(two, uninterrupted, outcome, record)
    # Without the checkpoint of the training, what is behind the last point is done again.
    assert bool(told["brand"]) == (step != "record" and count == 1)


def test_a_coordinator_that_is_killed_while_trees_grow(
    two: Sites, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = Conductor._answered

    def watched(self: Conductor, wait_s: float) -> bool:
        kept = list((two.folder("brand") / "parts").rglob("point.json"))
        if self._stated == "trained" and kept:
            for link in self._exchange.links.values():
                link.fail(TrainingError("run.interrupted", "the coordinator stops"))
            raise KilledError("hub")
        return answered(self, min(wait_s, 0.01))

    monkeypatch.setattr(Conductor, "_answered", watched)
    run, _ = two.begin()
    with pytest.raises(KilledError):
        run.conduct()
    monkeypatch.setattr(Conductor, "_answered", answered)
    for name in MEMBERS:  # they are killed too
        restart(two.local, name)
    outcome, record = two.again()
    told = check_whole(two, uninterrupted, outcome, record)
    assert len(told["brand"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_that_is_killed_in_the_evaluation(
    two: Sites, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    evaluate, killed, kill = Trees.evaluate, list[str](), killer(two.local, member)

    def watched(self: Trees, *given: Any) -> Any:
        if self._site.member == member and not killed:
            killed.append(member)
            kill()
        return evaluate(self, *given)

    monkeypatch.setattr(Trees, "evaluate", watched)
    run, record = two.begin()
    outcome = run.conduct()
    assert killed
    check_whole(two, uninterrupted, outcome, record)


def ends(two: Sites, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> tuple[str, str]:
    """Who leaves a run of which a node was killed and something changed meanwhile, and why."""
    two.kill_at_write("insurer", "point.json", 2, monkeypatch)
    commands = []

    def before(sent: Mapping[str, bytes]) -> None:
        commands.append(sent)
        if len(commands) == 3:  # the alignment, the training, and the training again
            change()

    two.transport.before = before
    run, record = two.begin()
    with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
        run.conduct()
    run.finish("", "", "run.insufficient-members")
    for name in MEMBERS:
        parts = list((two.folder(name) / "parts").rglob("*"))
        assert not [path for path in parts if path.name in {"unfinished", PART_FILE}]
    two.check_logs()
    # What the label holder learned alone stays.
    assert (two.folder("brand") / "parts" / record.run / "alone" / "part.json").is_file()
    [(member, code)] = [(one["member"], one["code"]) for one in record.told(EventType.MEMBER_LEFT)]
    return member, code


def test_who_withdraws_before_a_run_goes_on_ends_it(
    two: Sites, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    vertical = two.local.agreement.vertical
    brand, insurer = two.local.federation.sites
    assert vertical is not None
    usable = [brand.written.consenting, insurer.written.consenting]
    common = plain_join(story.holders, usable, vertical.alignment)
    subject = str(insurer.written.subject_ids[common[0, 1]])

    def withdraw() -> None:
        two.local.federation.withdraw(insurer, subject, PURPOSES[0], utc_now())

    assert ends(two, monkeypatch, withdraw) == ("insurer", "run.alignment-stale")


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_data(two: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    path = two.local.federation.sites[1].written.data

    def change() -> None:
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (SELECT * REPLACE (km_a_year + 1 AS km_a_year) FROM '{path}') TO '{path}.new'"  # noqa: S608
                " (FORMAT parquet)"
            )
        Path(f"{path}.new").replace(path)

    assert ends(two, monkeypatch, change) == ("insurer", "run.data-changed")


def test_an_alignment_is_taken_once_in_a_run(two: Sites) -> None:
    run, record = two.begin()
    run._party.gather()
    run._align()
    with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
        run._align()
    run.finish("", "", "run.insufficient-members")
    left = {str(one["code"]) for one in record.told(EventType.MEMBER_LEFT)}
    assert left == {"run.interrupted"}
    for node, other in zip(two.local.nodes.values(), reversed(MEMBERS), strict=True):
        history = node._tools.alignments
        assert history is not None
        assert history.count(other, PURPOSES[0]) == 1


@pytest.mark.slow
def test_a_member_takes_steps_of_a_run_again_so_often_and_no_oftener(two: Sites) -> None:
    run, record = two.begin()
    run._party.gather()
    done = run._align()
    for node in two.local.nodes.values():
        [session] = node._sessions.values()
        session.kept = session.kept.model_copy(update={"again": MOST_AGAIN})
    run._train(done)
    with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
        run._train(done)
    run.finish("", "", "run.insufficient-members")
    assert {one["code"] for one in record.told(EventType.MEMBER_LEFT)} == {"run.interrupted"}


@pytest.mark.slow
def test_a_coordinator_that_was_killed_in_the_alignment_has_nothing_to_go_on_from(
    two: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, record = two.begin()

    def killed(*_: Any) -> None:
        raise KilledError("hub")

    monkeypatch.setattr(record, "keep", killed)
    with pytest.raises(KilledError):
        run.conduct()
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        two.again()


def test_models_that_keep_nothing_begin_again(two: Sites) -> None:
    agreement = two.local.agreement
    checkpoint = Checkpoint(
        run="run-1",
        agreement="0" * 64,
        step="prepared",
        round=0,
        state="0" * 64,
        transform="",
        epsilon={},
        facts={},
    )
    resumed = Resumed(1, LeftOff(frozenset(MEMBERS)), Done(checkpoint, b"", 1))
    assert require_resumable(agreement, resumed).checkpoint is checkpoint
    for model in ("scorecard", "late_fusion", "split_network"):
        training = agreement.training.model_copy(update={"model": model})
        with pytest.raises(TrainingError, match=r"run\.interrupted"):
            require_resumable(agreement.model_copy(update={"training": training}), resumed)
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        require_resumable(agreement, replace(resumed, done=None))


@pytest.mark.parametrize("how", ["left", "another run"])
def test_what_is_kept_goes_when_the_run_does(two: Sites, how: str) -> None:
    run, record = two.begin()
    run._party.gather()
    run._align()
    kept = [two.folder(name) / "parts" / record.run / "unfinished" / ALIGNED_FILE for name in MEMBERS]
    assert all(file.is_file() for file in kept)
    for node in two.local.nodes.values():
        if how == "left":
            node._leave(record.run)
        else:
            [session] = node._sessions.values()
            node._abandon_others("run-2", session.runs)
    assert not any(file.parent.exists() for file in kept)


@pytest.mark.slow
def test_a_coordinator_that_is_killed_when_members_know_the_model_registers_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_of = RunRecord.record

    def stops(self: RunRecord, event: Event, facts: Mapping[str, Any]) -> int:
        if event.type is EventType.RUN_FINISHED:
            self.interrupt()
        return record_of(self, event, facts)

    with faulty(*build(tmp_path / "sites")) as run:
        monkeypatch.setattr(RunRecord, "record", stops)
        coordinator, local = run.served.coordinator, run.local
        digest = coordinator.accept(local.signed.note, "brand").digest
        first = coordinator.start(digest, "brand")
        wait_for(lambda: first.interrupted)
        monkeypatch.setattr(RunRecord, "record", record_of)
        book = RunBook(local.home.runs, local.shared_log, utc_now)
        monkeypatch.setattr(coordinator, "_book", book)
        assert coordinator.take_up() == []
        again = book.get(first.run)
        wait_for(lambda: again.finished)
        shared = log_of(local.federation.hub)
        [registered] = of_type(shared, EventType.MODEL_REGISTERED)
        [finished] = of_type(shared, EventType.RUN_FINISHED)
        assert finished.model_out == registered.model_out
        [facts] = again.told(EventType.RUN_FINISHED)
        run.check(Ended(first.run, "", {}, "", dict(facts)))


def wait_for(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.1)


@given(st.binary(max_size=100))
def test_bytes_that_are_no_alignment(data: bytes) -> None:
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        Aligned.parse(data)
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        Progress.parse(data)


def aligned_abc() -> Aligned:
    people, root = ("a", "b", "c"), "11" * 32
    order = order_digest(people, bytes.fromhex(root))
    return Aligned(run="run-1", agreement="0" * 64, root=root, subject_ids=people, order=order)


def test_people_that_were_kept_in_another_order() -> None:
    kept = aligned_abc()
    assert Aligned.parse(kept.to_bytes()) == kept
    changed = kept.to_bytes().replace(b'["a","b","c"]', b'["b","a","c"]')
    assert changed != kept.to_bytes()
    with pytest.raises(TrainingError, match=r"run\.interrupted.*was changed"):
        Aligned.parse(changed)


COLUMN = st.one_of(
    st.lists(st.floats(allow_nan=False), min_size=3, max_size=3).map(np.array),
    st.lists(st.text(max_size=3), min_size=3, max_size=3).map(lambda values: np.array(values, dtype=object)),
)


@given(COLUMN, COLUMN)
def test_rows_are_the_same_if_every_value_is(first: Any, second: Any) -> None:
    kept = Unfinished(None)
    aligned = aligned_abc()
    kept.keep({ALIGNED_FILE: aligned.to_bytes()})
    nobody = np.zeros(3, dtype=np.bool_)
    rows = [CommonRows({"a": values}, np.zeros(3, np.float32), nobody) for values in (first, second)]
    kept.require_same_rows("trained", rows[0])
    kept.require_same_rows("trained", rows[0])
    kept.require_same_rows("evaluated", rows[1])  # each step has its own
    if (
        first.dtype == second.dtype
        and first.tobytes() == second.tobytes()
        and first.tolist() == second.tolist()
    ):
        kept.require_same_rows("trained", rows[1])
    elif first.tolist() != second.tolist():
        with pytest.raises(TrainingError, match=r"run\.data-changed"):
            kept.require_same_rows("trained", rows[1])
