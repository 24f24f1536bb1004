"""What can be charged can be written down, read back and added up; nothing else can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import JsonValue, canonical_json, parse_canonical_json
from hanse.errors import PrivacyError
from hanse.privacy import (
    GaussianRelease,
    PrivacyEvent,
    SampledGaussian,
    events_from_json,
    events_to_json,
    merge_events,
    subtract_events,
)

noises = st.sampled_from([0.5, 1.0, 4.25])
gaussians = st.builds(GaussianRelease, noises, st.integers(1, 50))
sampled = st.builds(SampledGaussian, noises, st.sampled_from([0.01, 0.2, 1.0]), st.integers(1, 50))
event_lists = st.lists(gaussians | sampled, max_size=8)
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "noise_multiplier", "count", "steps", "sample_rate", "x"]), inner
        )
    ),
    max_leaves=8,
)
ONE_RELEASE: dict[str, JsonValue] = {"kind": "gaussian", "noise_multiplier": 1.0, "count": 1}
ONE_STEP: dict[str, JsonValue] = {
    "kind": "sampled_gaussian",
    "noise_multiplier": 1.0,
    "sample_rate": 0.5,
    "steps": 1,
}


@given(event_lists)
def test_events_survive_json(events: list[PrivacyEvent]) -> None:
    data = canonical_json(events_to_json(events))
    assert events_from_json(parse_canonical_json(data)) == tuple(events)


@given(json_values)
def test_any_json_is_events_or_refused(value: JsonValue) -> None:
    try:
        events = events_from_json(value)
    except PrivacyError:
        return
    assert events_to_json(events) == value


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "laplace"},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": 1e9},
        {"noise_multiplier": 1},
        {"count": 0},
        {"count": True},
        {"count": 1.0},
        {"extra": 1},
    ],
)
def test_release_that_is_not_exactly_known_is_refused(change: dict[str, JsonValue]) -> None:
    assert events_from_json([ONE_RELEASE]) == (GaussianRelease(1.0, 1),)
    with pytest.raises(PrivacyError):
        events_from_json([{**ONE_RELEASE, **change}])


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": 0.0},
        {"sample_rate": 1.5},
        {"steps": True},
        {"steps": -3},
        {"noise_multiplier": 0.01},
        {"adjacency": "replace-one"},
    ],
)
def test_step_that_is_not_exactly_known_is_refused(change: dict[str, JsonValue]) -> None:
    assert events_from_json([ONE_STEP]) == (SampledGaussian(1.0, 0.5, 1),)
    with pytest.raises(PrivacyError):
        events_from_json([{**ONE_STEP, **change}])


def test_infinite_noise_is_refused() -> None:
    with pytest.raises(PrivacyError):
        GaussianRelease(float("nan"))


@given(event_lists, st.randoms(use_true_random=False))
def test_merging_forgets_order_only(events: list[PrivacyEvent], rng: object) -> None:
    shuffled = list(events)
    rng.shuffle(shuffled)  # type: ignore[attr-defined] # a random.Random
    assert merge_events(events) == merge_events(shuffled)
    assert sum(e.count for e in events if isinstance(e, GaussianRelease)) == sum(
        e.count for e in merge_events(events) if isinstance(e, GaussianRelease)
    )


@given(event_lists, event_lists)
def test_subtracting_undoes_adding(some: list[PrivacyEvent], others: list[PrivacyEvent]) -> None:
    assert subtract_events([*some, *others], others) == merge_events(some)


def test_more_than_there_is_cannot_be_subtracted() -> None:
    with pytest.raises(PrivacyError) as caught:
        subtract_events([GaussianRelease(1.0, 2)], [GaussianRelease(1.0, 3)])
    assert caught.value.code == "privacy.exhausted"
    with pytest.raises(PrivacyError):
        subtract_events([GaussianRelease(1.0, 2)], [GaussianRelease(1.5, 1)])
