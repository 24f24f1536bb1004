"""What people add to generated documents: answers to the questions that the software cannot answer."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from hanse.errors import PolicyError
from hanse.policies.agreement.words import Language
from hanse.policies.compliance.dossier import MAX_ANSWER_CHARACTERS, Dossier, Question
from hanse.policies.documents import to_yaml, yaml_to_json
from hanse.policies.fields import Document, check_form, problems

MAX_ANSWERS = 1000


def _check_answer(text: str) -> str:
    """Refuses what a reader could not see; line breaks are allowed."""
    if not all(character.isprintable() or character == "\n" for character in text):
        raise PydanticCustomError("text", "write visible text; only line breaks are allowed beside it")
    return text.strip()


_Key = Annotated[str, check_form(r"[\w.-]{1,200}", "write the name of a question, as impact.severity")]
_Answer = Annotated[str, Field(max_length=MAX_ANSWER_CHARACTERS), AfterValidator(_check_answer)]


class Answers(Document):
    """The answers that people gave, by question.

    Attributes:
        schema_version: Version of the form.
        answers: Text by the name of its question; null or nothing where nobody has answered yet.
    """

    schema_version: Literal[1] = 1
    answers: Annotated[Mapping[_Key, _Answer | None], Field(max_length=MAX_ANSWERS)]

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Reads answers as people write them.

        Args:
            text: YAML (see :mod:`hanse.policies.documents`).

        Returns:
            The answers.

        Raises:
            PolicyError: ``policy.invalid``; its detail names each field and what to do.
        """
        try:
            return cls.model_validate_json(yaml_to_json(text))
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error

    def given(self) -> dict[str, str]:
        """Those that are answered."""
        return {key: text for key, text in self.answers.items() if text}


def require_questions(answers: Answers, dossiers: Iterable[Dossier]) -> None:
    """Refuses an answer to which there is no question: it would vanish from the documents unseen.

    Args:
        answers: What people wrote.
        dossiers: The documents that the answers are for.

    Raises:
        PolicyError: ``policy.invalid`` naming the answers.
    """
    asked = {question.key for dossier in dossiers for question in dossier.questions}
    strays = sorted(set(answers.given()) - asked)
    if strays:
        raise PolicyError(
            "policy.invalid",
            f"nothing asks for {', '.join(strays)}; correct the names, or remove what no longer applies",
        )


def answers_template(dossiers: Iterable[Dossier], language: Language) -> str:
    """A file to fill in: every question as a comment, with the answer that there is.

    Args:
        dossiers: The documents that the answers are for.
        language: In which language to ask.

    Returns:
        YAML that :meth:`Answers.from_yaml` reads.
    """
    asked = (question for dossier in dossiers for question in dossier.questions)
    entries = "".join(_entry(question, language) for question in asked)
    return f"{_HEAD[language]}schema_version: 1\nanswers:\n{entries}"


_HEAD = {
    "en": "# Answers that only people can give. Null where there is none yet; the document says so then.\n",
    "zh": "# 只有人能够作出的答复。尚无答复的保留 null，文件中将注明。\n",
}


def _entry(asked: Question, language: Language) -> str:
    text = asked.text.en if language == "en" else asked.text.zh
    entry = to_yaml({asked.key: asked.answer})
    body = "".join(f"  {line}\n" if line else "\n" for line in entry.splitlines())
    return f"\n  # {text}\n{body}"
