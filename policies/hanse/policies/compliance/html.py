"""Writes a generated document as one HTML file: no script, nothing loaded, every text escaped.

Plain functions, not a template engine: a document has five shapes, and the policy layer, which a compliance
officer reads, needs no further library for them. Whatever becomes part of the page passes through
:func:`_text`, or is a constant of this module.
"""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from hanse.policies.agreement.words import Language
from hanse.policies.compliance.compare import Difference
from hanse.policies.compliance.dossier import Dossier, Item, Question, Section, Statement, Table
from hanse.policies.compliance.markdown import ANNEX, NOT_ANSWERED, plain
from hanse.policies.rules import Wording

_STYLE: Final = (Path(__file__).parent / "document.css").read_text(encoding="utf-8")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_TAGS: Final = {"en": "en", "zh": "zh-Hans"}

_CONTENTS: Final = Wording("Contents", "目录")
_SKIP: Final = Wording("Skip to the text", "跳到正文")
_DIGEST: Final = Wording("SHA-256 of this document", "本文件的SHA-256")
_OPEN: Final = Wording("questions that nobody has answered yet", "个问题尚未答复")
_CHANGED: Final = Wording("What differs from the approved version", "与获批版本的差异")
_KINDS: Final = {
    "added": Wording("added", "新增"),
    "removed": Wording("removed", "删去"),
    "changed": Wording("changed", "修改"),
}
_CHANGE_HEAD: Final = (
    Wording("section", "部分"),
    Wording("change", "变更"),
    Wording("approved", "获批"),
    Wording("now", "现在"),
)


def to_html(
    dossier: Dossier,
    language: Language,
    annex: Sequence[Section] = (),
    differences: Sequence[Difference] = (),
) -> str:
    """Writes the document.

    Args:
        dossier: The document.
        language: In which language.
        annex: Sections that are shown after it and are not part of it.
        differences: What is not as approved; shown before it.

    Returns:
        A whole HTML document.
    """
    return _Page(language).page(dossier, annex, differences)


def _text(text: str) -> str:
    return escape(text, quote=True)


class _Page:
    """Writes in one language."""

    def __init__(self, language: Language) -> None:
        self._language: Language = language

    def _said(self, text: Wording) -> str:
        return _text(plain(text, self._language))

    def page(self, dossier: Dossier, annex: Sequence[Section], differences: Sequence[Difference]) -> str:
        title = self._said(dossier.title)
        sections = "".join(self._section(section) for section in dossier.sections)
        return (
            f'<!doctype html>\n<html lang="{_TAGS[self._language]}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_text(_POLICY)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
            f'<a class="skip" href="#text">{self._said(_SKIP)}</a>\n'
            f"{self._header(dossier)}{self._contents(dossier)}"
            f'<main id="text">\n{self._differences(differences)}{sections}{self._annex(annex)}</main>\n'
            "</body>\n</html>\n"
        )

    def _header(self, dossier: Dossier) -> str:
        unanswered = dossier.unanswered
        space = " " if self._language == "en" else ""
        note = f'<p class="open">{unanswered}{space}{self._said(_OPEN)}</p>\n' if unanswered else ""
        return (
            f"<header>\n<h1>{self._said(dossier.title)}</h1>\n<p>{self._said(dossier.lead)}</p>\n{note}"
            f'<p class="digest">{self._said(_DIGEST)}: <code>{dossier.digest}</code></p>\n</header>\n'
        )

    def _contents(self, dossier: Dossier) -> str:
        links = "".join(
            f'<li><a href="#{_text(section.key)}">{self._said(section.title)}</a></li>\n'
            for section in dossier.sections
        )
        label = self._said(_CONTENTS)
        return f'<nav aria-label="{label}">\n<h2>{label}</h2>\n<ol>\n{links}</ol>\n</nav>\n'

    def _section(self, section: Section) -> str:
        key = _text(section.key)
        items = "".join(self._item(item) for item in section.items)
        heading = f'<h2 id="{key}">{self._said(section.title)}</h2>\n'
        return f'<section aria-labelledby="{key}">\n{heading}{items}</section>\n'

    def _annex(self, annex: Sequence[Section]) -> str:
        if not annex:
            return ""
        sections = "".join(self._section(section) for section in annex)
        return f'<div class="annex">\n<p class="about">{self._said(ANNEX)}</p>\n{sections}</div>\n'

    def _item(self, item: Item) -> str:
        if isinstance(item, Statement):
            return f"<p>{self._said(item.text)}</p>\n"
        if isinstance(item, Question):
            return self._question(item)
        return self._table(item)

    def _question(self, item: Question) -> str:
        if item.answer is None:
            answer = f'<p class="none">{self._said(NOT_ANSWERED)}</p>\n'
        else:
            answer = "".join(f"<p>{_text(line)}</p>\n" for line in item.answer.split("\n") if line.strip())
        kind = "question" if item.answer is None else "question answered"
        name = f'<span class="key">{_text(item.key)}</span>'
        return f'<div class="{kind}">\n<p class="asked">{self._said(item.text)} {name}</p>\n{answer}</div>\n'

    def _table(self, item: Table) -> str:
        rows = [[self._said(cell) for cell in row.cells] for row in item.rows]
        return _grid(self._said(item.title), [self._said(cell) for cell in item.head], rows)

    def _differences(self, differences: Sequence[Difference]) -> str:
        if not differences:
            return ""
        rows = [
            [_text(d.section), self._said(_KINDS[d.kind]), _text(d.before), _text(d.after)]
            for d in differences
        ]
        title = self._said(_CHANGED)
        grid = _grid(title, [self._said(cell) for cell in _CHANGE_HEAD], rows)
        return f'<section class="changes" aria-label="{title}">\n{grid}</section>\n'


def _grid(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts that are escaped already; the first cell of a line is its heading."""
    heading = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n<table>\n'
        f"<caption>{title}</caption>\n<thead><tr>{heading}</tr></thead>\n<tbody>\n{body}</tbody>\n"
        "</table>\n</div>\n"
    )


def _cells(row: Sequence[str]) -> Iterator[str]:
    first, *others = row
    yield f'<th scope="row">{first}</th>'
    yield from (f"<td>{cell}</td>" for cell in others)
