"""What differs between the approved document and the one that the configuration generates now, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hanse.policies.agreement.words import Language
from hanse.policies.compliance.dossier import Dossier, Item, Question, Section, Statement, Table
from hanse.policies.compliance.markdown import HEADING, NOT_ANSWERED, plain, to_markdown, without_annex

Outline: TypeAlias = Mapping[str, Mapping[str, str]]
"""Texts by section and by what they are about."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One text that is not as approved.

    Attributes:
        section: Heading of the section.
        kind: Whether it came, went, or reads otherwise.
        before: The approved text; empty if there was none.
        after: The text now; empty if there is none.
    """

    section: str
    kind: Literal["added", "removed", "changed"]
    before: str
    after: str


def compare(approved: Dossier, now: Dossier, language: Language) -> tuple[Difference, ...]:
    """Compares two documents, statement by statement.

    Args:
        approved: The approved document.
        now: What the configuration generates now.
        language: In which language to show the texts.

    Returns:
        Every difference that shows in the language, in the order of the document.
    """
    return tuple(_differences(_outline(approved, language), _outline(now, language)))


def compare_markdown(approved: str, now: Dossier, language: Language) -> tuple[Difference, ...]:
    """Compares with an approved document of which there is the Markdown alone, line by line.

    Args:
        approved: The Markdown of the approved document; an annex in it is not compared.
        now: What the configuration generates now.
        language: The language of the approved one.

    Returns:
        Every line that came or went.
    """
    return tuple(_differences(_lines(without_annex(approved, language)), _lines(to_markdown(now, language))))


def _differences(approved: Outline, now: Outline) -> Iterator[Difference]:
    for section in dict.fromkeys((*approved, *now)):
        before, after = approved.get(section, {}), now.get(section, {})
        for key in dict.fromkeys((*before, *after)):
            old, new = before.get(key, ""), after.get(key, "")
            if old != new:
                kind: Literal["added", "removed", "changed"] = (
                    "added" if key not in before else "removed" if key not in after else "changed"
                )
                yield Difference(section, kind, old, new)


def _outline(dossier: Dossier, language: Language) -> Outline:
    whole = {"": {"title": plain(dossier.title, language), "lead": plain(dossier.lead, language)}}
    sections: dict[str, dict[str, str]] = {}
    for section in dossier.sections:
        # Two sections may have one heading: their texts are then told together.
        sections.setdefault(plain(section.title, language), {}).update(_texts(section, language))
    return whole | sections


def _texts(section: Section, language: Language) -> Iterator[tuple[str, str]]:
    for item in section.items:
        for key, text in _item(item, language):
            yield f"{section.key}/{item.key}/{key}", text


def _item(item: Item, language: Language) -> Iterator[tuple[str, str]]:
    if isinstance(item, Statement):
        yield "", plain(item.text, language)
    elif isinstance(item, Question):
        asked, none = plain(item.text, language), plain(NOT_ANSWERED, language)
        yield "", f"{asked} {item.answer or none}"
    elif isinstance(item, Table):
        yield "", f"{plain(item.title, language)}: {' · '.join(plain(cell, language) for cell in item.head)}"
        for row in item.rows:
            yield row.key, " · ".join(plain(cell, language) for cell in row.cells)


def _lines(markdown: str) -> Outline:
    outline: dict[str, dict[str, str]] = {}
    section = ""
    for line in markdown.splitlines():
        if line.startswith(HEADING):
            section = line.removeprefix(HEADING)
        elif line.strip():
            outline.setdefault(section, {})[line] = line
    return outline
