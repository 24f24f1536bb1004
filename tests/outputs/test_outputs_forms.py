"""Each form on every kind of number: not a number, ties, edges."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hanse.errors import ServingError
from hanse.policies import Scoring
from hanse.scoring.forms import rounded
from hanse.scoring.saying import minimised, require_form, segment_names

DECILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.7, 0.9)
SEGMENTS = {"value": "spend", "value_from": 100.0, "score_from": 0.5}
FORMS: dict[str, dict[str, Any]] = {
    "score": {},
    "band": {},
    "decile": {},
    "segment": {"segments": SEGMENTS},
    "flag": {"threshold": 0.5},
    "list": {"top": 2},
}
NAN = float("nan")


def terms(output: str, **changes: Any) -> Scoring:
    values = {
        "purpose": "scoring.marketing",
        "callers": [],
        "output": output,
        "decimals": 2,
        "prohibited_uses": [],
        "significant_effect": False,
        "human_review": False,
        "reason_codes": False,
    }
    return Scoring.model_validate(values | FORMS[output] | changes)


def said(output: str, scores: list[float], values: list[float] | None = None, **changes: Any) -> list[float]:
    worth = None if values is None else np.array(values)
    found: list[float] = minimised(np.array(scores), terms(output, **changes), DECILES, worth).tolist()
    return found


def test_every_form_at_its_edges() -> None:
    below = float(np.nextafter(0.5, 0))
    np.testing.assert_allclose(said("score", [0.125, 0.126, NAN, 0, 1]), [0.12, 0.13, NAN, 0, 1], atol=1e-7)
    np.testing.assert_array_equal(said("band", [0, 0.0999, 0.1, 0.9, 1, NAN]), [1, 1, 2, 10, 10, NAN])
    np.testing.assert_array_equal(said("band", [0.1, 0.2, 0.5, NAN, 1], edges=[0.2, 0.5]), [1, 2, 3, NAN, 3])
    np.testing.assert_array_equal(said("decile", [0, 0.05, below, 0.5, 0.9, NAN]), [1, 2, 6, 8, 10, NAN])
    np.testing.assert_array_equal(said("flag", [below, 0.5, NAN, 1]), [0, 1, NAN, 1])
    np.testing.assert_array_equal(
        said("segment", [0.5, 0.5, 0.5, below, below, NAN], [100, 99, NAN, 200, 0, 200]), [1, 2, 2, 3, 4, NAN]
    )


@given(arrays(np.float64, st.integers(2, 9), elements=st.floats(-0.5, 1.5) | st.just(NAN)), st.integers(0, 6))
def test_a_score_alone_is_rounded_as_among_others(scores: np.ndarray[Any, Any], decimals: int) -> None:
    together = rounded(scores, decimals)
    alone = np.concatenate([rounded(scores[at : at + 1], decimals) for at in range(len(scores))])
    np.testing.assert_array_equal(alone, together)


def test_a_list_has_the_highest_and_no_more() -> None:
    # Of those who tie for the last place, the first of the call has it.
    np.testing.assert_array_equal(said("list", [0.3, 0.7, NAN, 0.7, 0.7]), [NAN, 1, NAN, 1, NAN])
    np.testing.assert_array_equal(said("list", [0.3, NAN]), [1, NAN])
    np.testing.assert_array_equal(said("list", []), [])


@given(arrays(np.float64, st.integers(0, 8)), st.sampled_from(sorted(FORMS)))
def test_forms_are_total_and_keep_the_order(scores: np.ndarray[Any, Any], output: str) -> None:
    values = np.full(len(scores), 3.0)
    found = minimised(scores, terms(output), DECILES, values)
    assert found.shape == scores.shape
    assert found.dtype == np.float32
    if output != "list":
        assert (np.isnan(found) == np.isnan(scores)).all()
    if output not in ("list", "segment"):
        ordered = found[np.argsort(scores, kind="stable")]
        assert (np.diff(ordered[~np.isnan(ordered)]) >= 0).all()


def test_segments_have_their_agreed_names() -> None:
    named = terms("segment", segments=SEGMENTS | {"names": ["a", "b", "c", "d"]})
    numbers = np.array([1, 4, NAN], dtype=np.float32)
    assert segment_names(numbers, named) == ["a", "d", ""]
    assert segment_names(numbers, terms("band")) == ["", "", ""]


def test_a_form_that_lacks_something_is_refused() -> None:
    with pytest.raises(ServingError, match="where they begin"):
        require_form(terms("decile"), ())
    with pytest.raises(ServingError, match=r"model\.invalid"):
        minimised(np.array([0.5]), terms("segment"))
    require_form(terms("decile"), DECILES)
    require_form(terms("band"), ())


@pytest.mark.parametrize(
    ("output", "changes"),
    [
        ("score", {"edges": [0.5]}),
        ("band", {"edges": [0.5, 0.2]}),
        ("band", {"edges": [1.0]}),
        ("band", {"threshold": 0.5}),
        ("flag", {"threshold": None}),
        ("list", {"top": None}),
        ("segment", {"segments": None}),
        ("segment", {"segments": SEGMENTS | {"names": ["a", "a", "b", "c"]}}),
    ],
)
def test_terms_say_all_that_their_form_needs_and_no_more(output: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"edges|output|greater|less|names"):
        terms(output, **changes)


def test_terms_as_they_were_have_no_new_field() -> None:
    assert {"edges", "threshold", "top", "segments", "by_id"}.isdisjoint(
        terms("band").model_dump(mode="json")
    )
