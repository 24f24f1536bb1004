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
