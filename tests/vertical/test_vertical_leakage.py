"""The attacks find what is there, find nothing in what is masked, and block a release."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.aggregation import encode_body
from hanse.errors import PolicyError, ProtocolError
from hanse.exchange import memory_pair
from hanse.learning.vertical.leakage import (
    Finding,
    LeakageReport,
    Recorder,
    Surface,
    WatchedTrees,
    attack_labels,
    check_release,
    surfaces,
)
from hanse.learning.vertical.leakage.attacks import (
    area,
    chance_area,
    cosine_area,
    norm_scores,
    probe_area,
    recovered_share,
    spectral_scores,
)
from hanse.learning.vertical.runs.leakage import encode_report, read_reports

ROWS = 4000


def gradients(
    noise: float, epochs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank-one gradients of 20 % positives, noised anew in each epoch: the first, the sum, the labels."""
    labels = rng.random(ROWS) < 0.2
    plain = np.where(labels, -0.8, 0.2)[:, None] * rng.normal(size=8)
    seen = [plain + noise * rng.normal(size=plain.shape) for _ in range(epochs)]
    return seen[0], np.sum(seen, axis=0), labels


def test_every_attack_finds_plain_gradients() -> None:
    rng = np.random.default_rng(1)
    first, total, labels = gradients(0.0, 2, rng)
    found = attack_labels([Surface("first", first), Surface("total", total)], labels, rng)
    assert {finding.attack for finding in found} == {"norm", "cosine", "spectral", "probe"}
    assert min(finding.area for finding in found) > 0.99


def test_averaging_over_epochs_undoes_noise_that_is_drawn_anew() -> None:
    rng = np.random.default_rng(2)
    first, total, labels = gradients(4.0, 60, rng)
    assert area(norm_scores(first), labels, signed=False) < 0.56
    assert cosine_area(first, labels, rng) < 0.62
    assert area(spectral_scores(total), labels, signed=False) > 0.9


def recorded(messages: list[np.ndarray]) -> tuple[Surface, ...]:
    here, there = memory_pair("brand", "partner", 1.0)
    recorder = Recorder(here, ROWS)
    for message in messages:
        recorder.send(encode_body({"step": "sums"}, message, np.zeros(7, dtype=np.uint32)))
    assert there.receive() == encode_body({"step": "sums"}, messages[0], np.zeros(7, dtype=np.uint32))
    return recorder.surfaces()


def test_nothing_is_found_in_ring_elements_under_masks_and_all_without() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(ROWS) < 0.2
    plain = np.where(labels, -800, 200).astype(np.int64)[None].astype(np.uint32)
    masked = [plain + rng.integers(1 << 32, size=(4, ROWS), dtype=np.uint32) for _ in range(5)]
    # Eight figures with a standard deviation of .011 or less: .56 is more than five of them.
    hidden = attack_labels(recorded(masked), labels, rng)
    assert len(hidden) == 8
    assert max(finding.area for finding in hidden) < 0.56
    open_ = attack_labels(recorded([plain]), labels, rng)
    assert min(finding.area for finding in open_) > 0.99


def test_what_columns_say_is_told_apart_from_the_persons_own_label() -> None:
    rng = np.random.default_rng(6)
    column = rng.normal(size=ROWS)
    labels = rng.random(ROWS) < 1 / (1 + np.exp(-2 * column))
    of_columns = Surface("columns", np.column_stack([column, -column]), given=column, attacks=("spectral",))
    (finding,) = attack_labels([of_columns], labels, rng)
    # Groups of 400 people: a standard deviation of .01.
    assert finding.leaked == finding.area > 0.8
    assert finding.given is not None
    assert finding.given < 0.56
    of_label = Surface("label", (labels + 0.1 * column)[:, None], given=column, attacks=("spectral",))
    (finding,) = attack_labels([of_label], labels, rng)
    assert finding.given is not None
    assert finding.given > 0.99


def test_only_what_the_run_adds_counts_as_leaked() -> None:
    finding = Finding(attack="probe", seen="embeddings", area=0.75, without=0.72)
    assert finding.leaked == pytest.approx(0.53)
    assert finding.model_copy(update={"without": 0.8}).leaked == 0.5
    assert finding.model_copy(update={"without": None}).leaked == 0.75
    assert finding.model_copy(update={"without": 0.3}).leaked == 0.75


def test_the_policys_maximum_blocks_a_release() -> None:
    calm = LeakageReport(party="partner", mode="trees", rows=10, known=1)
    loud = calm.model_copy(update={"findings": (Finding(attack="cosine", seen="gradients", area=0.61),)})
    check_release((calm,))
    check_release((loud,), 0.62)
    with pytest.raises(PolicyError, match=r"policy\.leakage.*cosine attack on gradients at partner"):
        check_release((calm, loud))
    with pytest.raises(PolicyError, match="no leakage report"):
        check_release(())
    assert LeakageReport.model_validate_json(loud.model_dump_json()) == loud


def test_what_guessing_may_reach_among_few_people_is_not_judged() -> None:
    rng = np.random.default_rng(7)
    few = np.arange(200) < 20
    guessed = [area(rng.normal(size=200), few, signed=False) for _ in range(300)]
    assert max(guessed) > 0.6  # the usual maximum would refuse a run that leaks nothing
    assert max(guessed) < chance_area(few, 0) < 0.8
    assert chance_area(rng.random(100_000) < 0.2, 200) <= 0.52
    assert chance_area(few[:10], 0) == 0.5  # of one class: every area is
    loud = LeakageReport(
        party="partner",
        mode="trees",
        rows=10,
        known=1,
        findings=(Finding(attack="norm", seen="sums", area=0.65),),
        chance=0.66,
    )
    check_release((loud,))
    with pytest.raises(PolicyError, match="norm attack"):
        check_release((loud.model_copy(update={"chance": 0.64}),))


def test_trees_are_watched_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfaces, "MAX_NUMBERS", 3 * ROWS)
    rng = np.random.default_rng(8)
    labels = rng.random(ROWS) < 0.2
    here, there = memory_pair("brand", "partner", 1.0)
    watched = WatchedTrees(here, ROWS)
    cuts = np.stack([labels, ~labels, *(rng.random((20, ROWS)) < 0.5)])
    for _ in range(4):
        masked = rng.integers(1 << 32, size=(30, ROWS), dtype=np.uint32)
        watched.channel.send(encode_body({"step": "sums"}, masked))
        there.send(encode_body({"step": "sides"}, np.packbits(cuts, axis=1, bitorder="little")))
        there.send(b"no message")
        watched.channel.receive()
        assert watched.channel.receive() == b"no message"
    seen = watched.channel.surfaces()
    assert [surface.seen.shape for surface in seen] == [(ROWS, 3)] * 2
    report = watched.report(labels, rng)
    assert (report.party, report.rows) == ("partner", ROWS)
    assert report.leaked < 0.56
    # Of the cuts, the first three: one of them says it all.
    (disclosed,) = report.disclosed
    assert disclosed.area > 0.99
    check_release((report,))
    assert read_reports([encode_report(report)], "brand") == (report,)


@given(st.binary(max_size=40))
def test_a_report_from_anywhere_is_one_or_refused(told: bytes) -> None:
    with pytest.raises(ProtocolError, match="brand: not a leakage report"):
        read_reports([told], "brand")


def test_a_probe_completes_a_model_and_recovers_columns() -> None:
    rng = np.random.default_rng(4)
    columns = rng.normal(size=(ROWS, 5))
    labels = columns[:, 0] > 1
    sent = columns @ rng.normal(size=(5, 5))
    assert probe_area(sent, labels, 200, rng) > 0.95
    assert recovered_share(sent, columns, 200, rng) > 0.95
    assert recovered_share(rng.normal(size=(ROWS, 5)), columns, 200, rng) < 0.05


def test_without_a_class_nothing_can_be_told() -> None:
    rng = np.random.default_rng(5)
    seen = rng.normal(size=(50, 2))
    for labels in (np.zeros(50, dtype=np.bool_), np.ones(50, dtype=np.bool_)):
        for finding in attack_labels([Surface("seen", seen)], labels, rng):
            assert finding.area == 0.5
