"""Writes a generated document as Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from hanse.policies.agreement.words import Language
from hanse.policies.compliance.dossier import Dossier, Item, Question, Section, Statement
from hanse.policies.rules import Wording

HEADING: Final = "## "
NOT_ANSWERED: Final = Wording(
    "NOT ANSWERED: a person has to fill this in.",
    "尚未答复：须由人填写。",
)
ANNEX: Final = Wording(
    "As seen at this site when the document was made; not part of what is approved",
    "生成本文件时本节点所见，不属于获批内容",
)
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]#|~!])")


def plain(text: Wording, language: Language) -> str:
    """A text in one language."""
    return text.en if language == "en" else text.zh


def to_markdown(dossier: Dossier, language: Language, annex: Sequence[Section] = ()) -> str:
    """Writes the document.

    Args:
        dossier: The document.
        language: In which language.
        annex: Sections that are shown after it and are not part of it.

    Returns:
        Markdown; whatever others wrote is in it as text, and never as markup or HTML.
    """
    parts = [f"# {_escaped(plain(dossier.title, language))}", _escaped(plain(dossier.lead, language))]
    for section in dossier.sections:
        parts.extend(_section(section, language))
    if annex:
        parts.append(_annex_head(language))
    for section in annex:
        parts.extend(_section(section, language))
    return "\n\n".join(parts) + "\n"


def without_annex(markdown: str, language: Language) -> str:
    """The document alone, of a text that :func:`to_markdown` may have written with an annex."""
    return markdown.partition(f"\n\n{_annex_head(language)}\n\n")[0]


def _annex_head(language: Language) -> str:
    return f"---\n\n*{_escaped(plain(ANNEX, language))}*"


def _section(section: Section, language: Language) -> Iterator[str]:
    yield f"{HEADING}{_escaped(plain(section.title, language))}"
    for item in section.items:
        yield _item(item, language)


def _item(item: Item, language: Language) -> str:
    if isinstance(item, Statement):
        return _escaped(plain(item.text, language))
    if isinstance(item, Question):
        answer = item.answer or plain(NOT_ANSWERED, language)
        lines = (_escaped(line) for line in (plain(item.text, language), *answer.split("\n")))
        asked, *given = lines
        return "\n".join((f"> **{asked}**", ">", *(f"> {line}".rstrip() for line in given)))
    head = [plain(cell, language) for cell in item.head]
    rows = [[plain(cell, language) for cell in row.cells] for row in item.rows]
    body = "\n".join((_line(head), _line(["---"] * len(head), raw=True), *map(_line, rows)))
    return f"**{_escaped(plain(item.title, language))}**\n\n{body}"


def _line(cells: Iterable[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else _escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Text that says in Markdown what it says, and nothing else; on one line."""
    # As entities, not with a backslash: not every reader of Markdown knows that one before a tag.
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
