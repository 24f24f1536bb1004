"""Readings against limits: boundaries, unknowns, order, and which limit counts."""

import dataclasses
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.policies import Agreement
from hanse.policies.packs import Restriction, builtin_pack, merge
from hanse.policies.warning import (
    DEFAULT_LIMITS,
    WATCHED,
    Level,
    Limit,
    Reading,
    Watch,
    early_warnings,
    limits_of,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def level(watch: Watch, value: float | None) -> Level:
    return early_warnings([Reading(watch, "deal", value)])[0].level


@pytest.mark.parametrize("watch", list(Watch), ids=lambda watch: watch.value)
def test_each_step_begins_at_its_limit(watch: Watch) -> None:
    limit = DEFAULT_LIMITS[watch]
    worse = -1e-9 if WATCHED[watch].low_is_bad else 1e-9
    assert level(watch, limit.warn) is Level.WARN
    assert level(watch, limit.warn - worse) is Level.OK
    assert level(watch, limit.alarm) is Level.ALARM
    assert level(watch, limit.alarm - worse) is Level.WARN


@pytest.mark.parametrize("watch", list(Watch), ids=lambda watch: watch.value)
@pytest.mark.parametrize("value", [None, math.nan], ids=["unknown", "not-a-number"])
def test_what_ought_to_be_known_and_is_not_is_an_alarm(watch: Watch, value: float | None) -> None:
    assert level(watch, value) is Level.ALARM


def test_a_reading_without_limit_is_an_alarm() -> None:
    assert early_warnings([Reading(Watch.BUDGET, "deal", 0.0)], {})[0].level is Level.ALARM


@given(st.sampled_from(Watch), st.floats(0, 400), st.floats(0, 400))
def test_a_worse_figure_is_never_less_urgent(watch: Watch, first: float, second: float) -> None:
    order = [Level.OK, Level.WARN, Level.ALARM]
    low, high = sorted([first, second])
    better, worse = (high, low) if WATCHED[watch].low_is_bad else (low, high)
    assert order.index(level(watch, better)) <= order.index(level(watch, worse))


def test_the_most_urgent_comes_first() -> None:
    readings = [
        Reading(Watch.BUDGET, "deal", 0.1),
        Reading(Watch.CONTACT, "deal", None),
        Reading(Watch.ASSESSMENT, "deal", 20.0),
    ]
    assert [w.reading.watch for w in early_warnings(readings)] == [
        Watch.CONTACT,
        Watch.ASSESSMENT,
        Watch.BUDGET,
    ]


@pytest.mark.parametrize(
    ("people", "hidden"), [(None, False), (0, False), (1, True), (9, True), (10, False)], ids=str
)
def test_small_counts_of_people_are_hidden(people: int | None, hidden: bool) -> None:
    assert Reading(Watch.WITHDRAWALS, "deal", 0.1, people=people).hidden(10) is hidden


def test_the_strictest_limit_counts_and_says_who_set_it(agreement: Agreement) -> None:
    terms = agreement.consent.model_copy(update={"propagation_hours": 8, "retrain_days": 300})
    stricter = {"retraining_withdrawn_share": Restriction(0.001, ("custom/1",), ours=False)}
    policy = merge([builtin_pack("pipl")])
    policy = dataclasses.replace(policy, thresholds={**policy.thresholds, **stricter})
    limits = limits_of(agreement.model_copy(update={"consent": terms}), policy)
    assert limits[Watch.CONTACT] == Limit(6.0, 8, "agreement")
    assert limits[Watch.MODEL_DUE] == DEFAULT_LIMITS[Watch.MODEL_DUE]
    assert limits[Watch.MODEL_WITHDRAWN] == Limit(0.0005, 0.001, "custom/1")
    assert set(limits) == set(Watch)


def test_everything_that_is_watched_has_words_a_limit_and_advice() -> None:
    assert set(WATCHED) == set(DEFAULT_LIMITS) == set(Watch)
    for watch, watched in WATCHED.items():
        assert watch.value.endswith(watched.unit)
        assert all(getattr(watched, field.name) != "" for field in dataclasses.fields(watched))
