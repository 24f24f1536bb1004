"""Screening, robust rules and groups: what is found, what is kept, and what no update can do to them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hanse.errors import ProtocolError, TrainingError
from hanse.learning import Update, aggregate
from hanse.learning.robustness import (
    RULES,
    Finding,
    GroupMean,
    RobustnessReport,
    Screened,
    assign_groups,
    combine,
    judge,
    judge_groups,
    screen,
)
from hanse.learning.robustness.screening import KEPT_NORM, KEPT_ROWS, median_cosines
from hanse.learning.statements import statement_from_json, statement_to_json
from hanse.policies import Robustness

SIZE, MAX_NORM = 60, 100.0
HONEST = tuple(f"m{number}" for number in range(7))
BAD = ("x1", "x2", "x3")
DIRECTION = np.random.default_rng(1).normal(size=SIZE)


def round_of(*bad: NDArray[np.float64], agreeing: float = 1.0, rows: int = 500) -> list[Update]:
    """Seven honest updates around one direction, and others."""
    rng = np.random.default_rng(2)
    honest = [agreeing * DIRECTION + rng.normal(size=SIZE) for _ in HONEST]
    return [
        Update(name, delta.astype(np.float32), rows)
        for name, delta in zip((*HONEST, *BAD), (*honest, *bad), strict=False)
    ]


def judged(updates: list[Update], **changes: Any) -> Screened:
    return screen(updates, **({"size": SIZE, "max_norm": MAX_NORM, "round_number": 1} | changes))


def kinds(found: Screened) -> dict[str, str]:
    return {finding.members[0]: finding.kind for finding in found.findings}


def test_honest_updates_pass_as_they_are() -> None:
    updates = round_of()
    found = judged(updates)
    assert found.findings == ()
    assert found.excluded == frozenset()
    for before, after in zip(updates, found.accepted, strict=True):
        assert after.rows == before.rows
        np.testing.assert_allclose(after.delta, before.delta, rtol=1e-6)


def test_every_attacker_is_named_and_nobody_else() -> None:
    rng = np.random.default_rng(3)
    nan = np.full(SIZE, np.nan)
    flipped = -DIRECTION + rng.normal(size=SIZE)
    assert kinds(judged(round_of(flipped, flipped * 1.1, -DIRECTION))) == dict.fromkeys(BAD, "direction")
    assert kinds(judged(round_of(nan, nan, nan))) == dict.fromkeys(BAD, "not-finite")
    assert kinds(judged(round_of(*[100 * DIRECTION] * 3))) == dict.fromkeys(BAD, "norm")
    assert kinds(judged(round_of(*[6 * DIRECTION] * 3))) == dict.fromkeys(BAD, "outlier")
    mixed = kinds(judged(round_of(flipped, 100 * DIRECTION, nan)))
    assert mixed == {"x1": "direction", "x2": "norm", "x3": "not-finite"}


def test_what_no_honest_software_sends_keeps_a_member_out_and_a_long_update_does_not() -> None:
    first = judged(round_of(-DIRECTION, np.full(SIZE, np.nan), 5 * DIRECTION))
    assert first.excluded == {"x1", "x2"}
    assert {update.member for update in first.accepted} == set(HONEST)
    later = judged(round_of(*[DIRECTION] * 3), round_number=2, excluded=first.excluded)
    assert later.excluded == {"x1", "x2"}
    assert later.findings == ()
    assert {update.member for update in later.accepted} == {*HONEST, "x3"}


def test_directions_are_not_judged_where_nobody_agrees() -> None:
    assert judged(round_of(-DIRECTION, agreeing=0.0)).excluded == frozenset()


def test_what_is_too_long_or_too_heavy_is_cut_down() -> None:
    updates = round_of(3.5 * DIRECTION)
    found = judged(updates)
    norms = {update.member: float(np.linalg.norm(update.delta)) for update in updates}
    kept = {update.member: update for update in found.accepted}
    middle = float(np.median(list(norms.values())))
    assert np.linalg.norm(kept["x1"].delta) == pytest.approx(KEPT_NORM * middle, rel=1e-5)
    assert found.findings == ()
    heavy = Update("heavy", DIRECTION.astype(np.float32), 10**9)
    found = judged([*updates, heavy])
    assert found.accepted[-1].rows == KEPT_ROWS * 500
    assert kinds(found) == {"heavy": "weight"}


def test_the_long_update_of_a_member_with_few_rows_is_no_outlier() -> None:
    """Privacy noise makes it so, and it moves the mean no further than others do."""
    long = Update("few", (6 * DIRECTION).astype(np.float32), 80)
    found = judged([*round_of(), long])
    assert found.findings == ()
    np.testing.assert_array_equal(found.accepted[-1].delta, long.delta)


@settings(max_examples=30)
@given(st.lists(arrays(np.float32, SIZE, elements=st.floats(width=32)), max_size=8), st.integers(-5, 10**9))
def test_no_update_breaks_the_screen_or_gets_through_too_long(
    deltas: list[NDArray[np.float32]], rows: int
) -> None:
    updates = [Update(f"m{number}", delta, rows) for number, delta in enumerate(deltas)]
    found = judged(updates)
    for update in found.accepted:
        assert np.linalg.norm(update.delta.astype(np.float64)) <= MAX_NORM * (1 + 1e-6)
        assert update.rows >= 1
    named = {finding.members[0] for finding in found.findings}
    assert {update.member for update in updates} <= named | {update.member for update in found.accepted}


def test_three_attackers_move_the_screened_mean_little_and_the_plain_one_far() -> None:
    updates = round_of(*[-10 * DIRECTION] * 3)
    start = np.zeros(SIZE, dtype=np.float32)
    honest = aggregate(start, updates[:7], 2)
    screened = aggregate(start, judged(updates).accepted, 2)
    plain = aggregate(start, updates, 2)
    assert np.linalg.norm(screened - honest) < 1e-4
    assert np.linalg.norm(plain - honest) > np.linalg.norm(honest)


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "multi-krum"])
@pytest.mark.parametrize("factor", [-10.0, 1e6])
def test_robust_rules_stay_among_the_honest(rule: str, factor: float) -> None:
    updates = round_of(*[factor * DIRECTION] * 3)
    deltas = np.stack([update.delta for update in updates]).astype(np.float64)
    combined = RULES[rule](deltas, np.full(10, 500.0), 3)  # type: ignore[index]
    honest = deltas[:7]
    assert (combined >= honest.min(axis=0) - 1e-6).all()
    assert (combined <= honest.max(axis=0) + 1e-6).all()


@pytest.mark.parametrize("rule", list(RULES))
def test_equal_updates_combine_to_themselves(rule: str) -> None:
    combined = RULES[rule](np.tile(DIRECTION, (9, 1)), np.arange(1.0, 10.0), 3)  # type: ignore[index]
    np.testing.assert_allclose(combined, DIRECTION)


def test_rules_refuse_what_they_cannot_stand() -> None:
    for rule in ("trimmed-mean", "multi-krum"):
        with pytest.raises(TrainingError, match="too few"):
            RULES[rule](np.ones((6, 3)), np.ones(6), 3)


@pytest.mark.parametrize(
    ("rule", "faulty"), [("mean", 0), ("median", 0), ("trimmed-mean", 3), ("multi-krum", 3)]
)
def test_every_rule_leaves_out_what_is_no_update_and_names_it(rule: Any, faulty: int) -> None:
    agreed = Robustness(rule=rule, faulty=faulty)
    updates = round_of(np.full(SIZE, np.nan), 100 * DIRECTION, -5 * DIRECTION)
    found = judge(agreed, updates, size=SIZE, max_norm=MAX_NORM, round_number=2)
    assert kinds(found) == {"x1": "not-finite", "x2": "norm"}
    assert found.excluded == {"x1", "x2"}
    start = np.zeros(SIZE, dtype=np.float32)
    combined = combine(agreed, start, found.accepted, 2, len(found.excluded))
    honest = np.stack([update.delta for update in updates[:7]])
    mean = honest.mean(axis=0)
    moved = float(np.linalg.norm(combined - mean) / np.linalg.norm(mean))
    assert moved > 0.5 if rule == "mean" else moved < 0.4


def test_the_default_is_the_screen() -> None:
    updates = round_of(-DIRECTION)
    found = judge(Robustness(), updates, size=SIZE, max_norm=MAX_NORM, round_number=1)
    assert found.findings == judged(updates).findings
    assert found.excluded == {"x1"}


def test_krum_keeps_the_members_that_are_close_together() -> None:
    points = np.array([[0.0], [0.1], [0.2], [0.3], [9.0]])
    assert RULES["multi-krum"](points, np.ones(5), 1) == pytest.approx([0.15])


def test_median_cosines_see_who_points_away() -> None:
    np.testing.assert_allclose(
        median_cosines(np.array([[1.0, 0], [2.0, 0], [-1.0, 0]])), [0, 0, -1], atol=1e-12
    )


@given(st.integers(3, 40), st.integers(1, 1000), st.binary(max_size=32))
def test_groups_hold_everybody_once_and_never_too_few(members: int, number: int, seed: bytes) -> None:
    names = [f"m{place}" for place in range(members)]
    groups = assign_groups(names, number, seed)
    assert sorted(member for group in groups for member in group) == sorted(names)
    assert all(len(group) >= 3 for group in groups)
    assert len(groups) == max(1, members // 3)
    assert groups == assign_groups(names[::-1], number, seed)


def test_those_who_spoil_their_groups_soon_share_one() -> None:
    names = [f"m{place}" for place in range(10)]
    bad = {"m2", "m5", "m9"}
    findings: list[Finding] = []
    clean: list[int] = []
    for number in range(1, 16):
        groups = assign_groups(names, number, b"run", findings)
        spoilt = [members for members in groups if bad & set(members)]
        clean.append(len(groups) - len(spoilt))
        findings += [
            Finding(members=members, round=number, kind="probe", measure=-1.0, threshold=0.0)
            for members in spoilt
        ]
    assert clean[-5:] == [2] * 5


def test_groups_change_every_round() -> None:
    names = [f"m{place}" for place in range(10)]
    assert len({assign_groups(names, number, b"run") for number in range(1, 21)}) == 20
    with pytest.raises(ProtocolError):
        assign_groups(["a", "b"], 1, b"")
    with pytest.raises(ProtocolError):
        assign_groups(["a", "b", "b"], 1, b"")


def probe(weights: NDArray[np.float32]) -> float:
    return -float(np.linalg.norm(weights - DIRECTION))


def group(number: int, delta: NDArray[np.float64], rows: int = 900) -> GroupMean:
    return GroupMean(tuple(f"g{number}{member}" for member in "abc"), delta, rows)


def test_groups_that_do_not_help_are_left_out_and_named_as_groups() -> None:
    start = np.zeros(SIZE, dtype=np.float32)
    groups = [
        group(1, 0.5 * DIRECTION),
        group(2, -0.5 * DIRECTION),
        group(3, -0.2 * DIRECTION),
        group(4, np.full(SIZE, np.nan)),
        group(5, 1e5 * DIRECTION),
        group(6, np.zeros(3)),
        group(7, DIRECTION, rows=0),
    ]
    found = judge_groups(start, groups, probe, max_norm=MAX_NORM, round_number=4)
    np.testing.assert_allclose(found.weights, 0.5 * DIRECTION, rtol=1e-5)
    assert not found.rolled_back
    reasons = {finding.members[0][:2]: finding.kind for finding in found.findings}
    assert reasons == {
        "g2": "probe",
        "g3": "probe",
        "g4": "group",
        "g5": "group",
        "g6": "group",
        "g7": "group",
    }


def test_a_round_in_which_nothing_helps_is_rolled_back() -> None:
    start = DIRECTION.astype(np.float32)
    found = judge_groups(
        start, [group(1, DIRECTION), group(2, -DIRECTION)], probe, max_norm=1e3, round_number=1
    )
    assert found.rolled_back
    assert found.weights is start
    assert judge_groups(start, [], probe, max_norm=1e3, round_number=1).rolled_back
    broken = judge_groups(start, [group(1, DIRECTION)], lambda _: float("nan"), max_norm=1e3, round_number=1)
    assert broken.rolled_back


def test_a_report_survives_its_json_and_names_members_not_groups() -> None:
    report = RobustnessReport(
        mode="grouped",
        rounds=9,
        findings=(
            Finding(members=("anna",), round=1, kind="direction", measure=-0.5, threshold=-0.1),
            Finding(members=("bert", "cora", "dirk"), round=2, kind="probe", measure=0.0, threshold=0.1),
        ),
        excluded=("anna",),
        rolled_back=(3,),
    )
    assert report.named == {"anna"}
    assert statement_from_json(RobustnessReport, statement_to_json(report)) == report


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        statement_from_json(RobustnessReport, data)
