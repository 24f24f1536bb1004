"""Answers every question of a draft: from options, from a person, or by default.

There is one list of questions. A question whose answer was given as an option is not asked; without an
interview, every other is answered by its default. The answers are text, checked one by one, so that a person
hears at once what is wrong with one.
"""

from collections.abc import Callable

from hanse.client.asking import Question, Site
from hanse.client.questions import questions
from hanse.client.replies import Answers
from hanse.errors import ConfigurationError


def collect(site: Site, given: Answers, ask: Callable[[Question], str] | None) -> dict[str, str]:
    """Answers every question.

    Args:
        site: What is known.
        given: Answers that were given as options.
        ask: Asks a person, and returns an answer that passed the question's check; None to take defaults.

    Returns:
        An answer to every question that applies.

    Raises:
        ConfigurationError: ``config.invalid`` naming the option whose value is wrong or missing, or that
            answers a question which does not apply.
    """
    answers: dict[str, str] = {}
    for question in questions(site, answers):
        answers[question.key] = _answer(question, given, ask)
    strays = [key for key in given if key not in answers]
    if strays:
        options = ", ".join(sorted(f"--{key.partition('.')[0].replace('_', '-')} ({key})" for key in strays))
        raise ConfigurationError("config.invalid", f"does not apply to this agreement: {options}")
    return answers


def _answer(question: Question, given: Answers, ask: Callable[[Question], str] | None) -> str:
    if question.key not in given and ask is not None:
        return ask(question).strip()
    value = given.get(question.key, question.default)
    if value is None:
        raise ConfigurationError("config.invalid", f"give {question.option}, or answer with --interview")
    try:
        question.check(value.strip())
    except ValueError as error:
        raise ConfigurationError("config.invalid", f"{question.option}: {error}") from error
    return value.strip()
