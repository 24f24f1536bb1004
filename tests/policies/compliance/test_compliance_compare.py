"""What differs from the approved version is told in words, by section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.policies.compliance import Difference, assess, compare, compare_markdown, to_html, to_markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.policies.compliance import Configuration

CHANGES: dict[str, dict[str, Any]] = {
    "budget": {"privacy.epsilon": 5},
    "no budget": {"privacy": None},
    "retention": {"retention.model_days": 400},
    "caller": {"scoring.callers.0.daily_quota": 7},
    "title": {"title": "Another title"},
    "column": {"columns.1.required": True},
}


def told(differences: tuple[Difference, ...], kind: str) -> str:
    return " ".join(f"{d.before} {d.after}" for d in differences if d.kind == kind)


def test_nothing_differs_from_itself(configured: Callable[..., Configuration]) -> None:
    dossier = assess(configured())
    assert compare(dossier, dossier, "en") == ()
    assert compare_markdown(to_markdown(dossier, "zh"), dossier, "zh") == ()


def test_an_annex_is_not_compared(configured: Callable[..., Configuration]) -> None:
    dossier = assess(configured())
    annex = (dossier.sections[0].model_copy(update={"key": "annex"}),)
    assert compare_markdown(to_markdown(dossier, "en", annex), dossier, "en") == ()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_change_shows_in_both_forms(
    changes: dict[str, Any], language: Any, configured: Callable[..., Configuration]
) -> None:
    approved, now = assess(configured()), assess(configured(changes))
    assert compare(approved, now, language)
    assert compare_markdown(to_markdown(approved, language), now, language)


def test_what_changed_is_told(configured: Callable[..., Configuration]) -> None:
    approved = assess(configured())
    now = assess(configured({"privacy.epsilon": 5}, {"impact.rights": "All of them"}))
    differences = compare(approved, now, "en")
    training = next(d for d in differences if d.before.startswith("privacy budget"))
    assert (training.kind, training.section) == ("changed", "Description of the processing (GDPR 35(7)(a))")
    assert "epsilon 3" in training.before
    assert "epsilon 5" in training.after
    assert any("All of them" in d.after and "NOT ANSWERED" in d.before for d in differences)
    assert "epsilon 5" in to_html(now, "en", differences=differences)


def test_rows_come_and_go(configured: Callable[..., Configuration]) -> None:
    differences = compare(assess(configured()), assess(configured({"privacy": None})), "en")
    assert "secure sums alone" in told(differences, "added")
    assert "several members" in told(differences, "removed")


@given(st.text(max_size=300))
def test_any_text_can_be_compared_with(configured: Callable[..., Configuration], text: str) -> None:
    assert compare_markdown(text, assess(configured()), "en")
