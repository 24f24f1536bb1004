"""A generated document: sections of statements, tables and questions, each in both languages.

The document is a value. It says nothing of how it looks (:mod:`~hanse.policies.compliance.markdown` and
:mod:`~hanse.policies.compliance.html` do), and its canonical JSON is what a person approves: it carries the
words themselves, in both languages, so that a later version of the software cannot change what was approved.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, ValidationError

from hanse.crypto import canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import PolicyError, ProtocolError
from hanse.policies.fields import Document, Many, problems
from hanse.policies.rules import Wording

MAX_DOSSIER_BYTES: Final = 4 << 20
MAX_ANSWER_CHARACTERS: Final = 10_000


class Statement(Document):
    """What follows from the configuration.

    Attributes:
        key: What it is about; stays the same while the words change.
        text: The words.
    """

    type: Literal["statement"] = "statement"
    key: str
    text: Wording


class Row(Document):
    """A line of a table.

    Attributes:
        key: What it is about, unique in its table.
        cells: One for each heading; the first names the line.
    """

    key: str
    cells: Many[Wording]


class Table(Document):
    """Lines under headings.

    Attributes:
        key: What it is about.
        title: What it shows.
        head: The headings.
        rows: The lines.
    """

    type: Literal["table"] = "table"
    key: str
    title: Wording
    head: Many[Wording]
    rows: Many[Row]


class Question(Document):
    """What the software cannot know.

    Attributes:
        key: Its name in the file of answers.
        text: What a person is asked.
        answer: What a person wrote; null while nobody has.
    """

    type: Literal["question"] = "question"
    key: str
    text: Wording
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARACTERS)] | None


Item: TypeAlias = Annotated[Statement | Table | Question, Field(discriminator="type")]


class Section(Document):
    """A part with a heading.

    Attributes:
        key: Its name, unique in the document.
        title: Its heading.
        items: What it says.
    """

    key: str
    title: Wording
    items: Many[Item]


class Dossier(Document):
    """A record of processing or an impact assessment.

    Attributes:
        schema_version: Version of the form.
        kind: Which of the two it is.
        title: Its title.
        lead: What it is, in a sentence or two.
        sections: Its parts.
    """

    schema_version: Literal[1] = 1
    kind: Literal["assessment", "records"]
    title: Wording
    lead: Wording
    sections: Many[Section]

    def text(self) -> str:
        """The canonical JSON, in one line: the exact content of the document's file."""
        return f"{canonical_json(self.model_dump(mode='json')).decode('ascii')}\n"

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`text`, 64 hex digits: what ``assessment.digest`` of an agreement names."""
        return sha256_hex(self.text().encode("ascii"))

    @property
    def questions(self) -> tuple[Question, ...]:
        """Everything that a person is asked."""
        items = (item for section in self.sections for item in section.items)
        return tuple(item for item in items if isinstance(item, Question))

    @property
    def unanswered(self) -> int:
        """How many questions nobody has answered."""
        return sum(question.answer is None for question in self.questions)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads the file of a document, and no other spelling of it.

        Args:
            data: Bytes from anywhere.

        Returns:
            The document, with ``document.text().encode() == data``.

        Raises:
            PolicyError: ``policy.invalid`` for all other bytes.
        """
        if len(data) > MAX_DOSSIER_BYTES:
            raise PolicyError("policy.invalid", f"a document has at most {MAX_DOSSIER_BYTES} bytes")
        try:
            parse_canonical_json(data.removesuffix(b"\n"))
            dossier = cls.model_validate_json(data)
        except ProtocolError as error:
            raise PolicyError("policy.invalid", f"not a generated document: {error.detail}") from error
        except ValidationError as error:
            detail = f"not a generated document: {'; '.join(problems(error))}"
            raise PolicyError("policy.invalid", detail) from error
        if dossier.text().encode("ascii") != data:
            raise PolicyError("policy.invalid", "the document is not in its canonical form")
        return dossier


def statement(key: str, en: str, zh: str) -> Statement:
    """A statement in both languages."""
    return Statement(key=key, text=Wording(en, zh))


def question(key: str, en: str, zh: str, answers: Mapping[str, str]) -> Question:
    """A question, with the answer that a person gave to it."""
    return Question(key=key, text=Wording(en, zh), answer=answers.get(key))


def table(
    key: str, title: Wording, head: tuple[Wording, ...], rows: Mapping[str, tuple[Wording, ...]]
) -> Table:
    """A table; its lines by what they are about."""
    lines = tuple(Row(key=name, cells=cells) for name, cells in rows.items())
    return Table(key=key, title=title, head=head, rows=lines)
