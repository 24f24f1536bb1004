"""Answers of people: read whole, asked for in both languages, never lost unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies.compliance import Answers, answers_template, assess, records, require_questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.policies.compliance import Configuration

TEXT = "Two lines,\n\n- the second with: signs # and 'quotes'"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_template_reads_as_the_answers_so_far(
    language: Literal["en", "zh"], configured: Callable[..., Configuration]
) -> None:
    configuration = configured(None, {"impact.rights": TEXT, "records.mailer.contact": "Here"})
    dossiers = (assess(configuration), records(configuration))
    template = answers_template(dossiers, language)
    answers = Answers.from_yaml(template)
    assert answers.given() == {"impact.rights": TEXT, "records.mailer.contact": "Here"}
    assert set(answers.answers) == {question.key for dossier in dossiers for question in dossier.questions}
    for question in dossiers[0].questions:
        assert getattr(question.text, language) in template
    require_questions(answers, dossiers)


def test_an_answer_to_no_question_is_refused(configured: Callable[..., Configuration]) -> None:
    answers = Answers.from_yaml("schema_version: 1\nanswers: {impact.righs: x, other: null}")
    with pytest.raises(PolicyError, match=r"impact\.righs"):
        require_questions(answers, (assess(configured()),))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("answers: []", "schema_version|answers"),
        ("schema_version: 1", "answers: is missing"),
        ("schema_version: 1\nanswers: {a b: x}", "name of a question"),
        ("schema_version: 1\nanswers: {a: 3}", "write text"),
        ('schema_version: 1\nanswers: {a: "\\u202e"}', "visible text"),
        ("schema_version: 1\nanswers: {a: x, a: y}", "line 2"),
    ],
    ids=["list", "missing", "key", "number", "direction", "twice"],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        Answers.from_yaml(text)
    assert caught.value.code == "policy.invalid"


@given(st.text(max_size=200))
def test_reading_is_total(text: str) -> None:
    with pytest.raises(PolicyError):
        Answers.from_yaml(text)
