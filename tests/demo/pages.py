"""What the tests of pages have in common."""

import re
from html.parser import HTMLParser
from typing import Any

from typing_extensions import override

KEPT = r"\d{4}-\d\d-\d\dT|permit|deny|alone$|federated$|pooled$"
"""Times and words that a document would be refused with, if they were others."""

HOSTILE = "<script>alert('$x$')</script> & \"co\""


class Outline(HTMLParser):
    """Collects what the tests ask about; HTML is not XML, so a real parser and no pattern."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.attributes += [(name, value or "") for name, value in attrs]


def spoilt(value: Any) -> Any:
    """The same JSON value with a hostile text wherever a text is shown."""
    if isinstance(value, dict):
        return {key: spoilt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spoilt(item) for item in value]
    shown = isinstance(value, str) and not re.match(KEPT, value)
    return f"{value}{HOSTILE}" if shown else value


def check_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    references = [value for name, value in outline.attributes if name in {"href", "xlink:href", "src"}]
    assert references
    assert all(value.startswith("#") for value in references)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in outline.attributes
    assert not re.search(r"@import|url\((?!#)", page)


def check_accessible(page: str, figures: int) -> None:
    outline = Outline(page)
    assert outline.tags.count("svg") == outline.tags.count("desc") == outline.tags.count("figure") == figures
    assert outline.tags.count("table") >= figures
    assert len(set(outline.ids)) == len(outline.ids), "an identifier appears twice"
    labels = [value for name, value in outline.attributes if name == "aria-labelledby"]
    assert all(part in outline.ids for value in labels for part in value.split())
    targets = [value[1:] for name, value in outline.attributes if name in {"href", "xlink:href"}]
    assert set(targets) <= set(outline.ids)


def check_follows_the_scheme(page: str) -> None:
    svg = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--federated)" in svg
    # A fixed colour would be wrong in one of the two schemes.
    assert not re.findall(r"#[0-9a-f]{6}", svg)
