"""The report: one file that loads nothing, escapes everything, and says what it rests on."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from tests.export.conftest import RUN, MadeLog, events_of_run
from typing_extensions import override

from hanse.audit import Counts, Event, EventType
from hanse.evidence import verify
from hanse.evidence.charts import Bar, bars, steps


class Page(HTMLParser):
    """Collects tags, attributes and text; every tag must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.words.append(data)


def report_of(package: bytes) -> str:
    return verify.read_archive(package)["report.html"].decode()


def test_loads_nothing_and_runs_nothing(package: bytes) -> None:
    page = Page(report_of(package))
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(page.tags)
    assert not {"src", "href", "onload", "onclick"} & {name for name, _ in page.attributes}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert not re.search(r"url\(|@import|https?:", report_of(package).replace("http://www.w3.org", ""))


def test_says_what_was_checked_and_what_that_does_not_show(package: bytes) -> None:
    text = " ".join(Page(report_of(package)).words)
    assert all(limit in text for limit in verify.LIMITS)
    for told in ("trust on first use", "What was checked", "What this does not show", "python verify.py"):
        assert told in text
    for told in ("left out by P10", "91 by P10", "policy.cohort", RUN, "0.500"):
        assert told in text


def test_says_first_if_something_does_not_hold(make_log: Callable[..., MadeLog]) -> None:
    events = [event for event in events_of_run() if event.type is not EventType.ROUND_ADMITTED]
    text = report_of(make_log(events).package())
    assert 'class="verdict bad"' in text
    assert "without an admission of that round" in text


def test_text_of_others_is_escaped(make_log: Callable[..., MadeLog]) -> None:
    made = make_log(events_of_run(), organisation="<script>alert(1)</script>&\"'")
    for run in (None, RUN):
        text = report_of(made.package(run=run))
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)" in text
        Page(text)


def test_log_without_runs_has_a_report(make_log: Callable[..., MadeLog]) -> None:
    text = report_of(make_log([Event(type=EventType.MEMBER_INITIALISED)]).package())
    assert "No disclosed entry counts rows." in text
    assert "No disclosed entry spends privacy budget." in text


def test_large_logs_stay_readable(make_log: Callable[..., MadeLog]) -> None:
    made = make_log([])
    counts = Counts(rows_in=10, rows_out=9, by_rule={"P10": 1})
    made.log.append(
        *[
            Event(type=EventType.ROUND_ADMITTED, run=f"run-{number}", round=1, counts=counts)
            for number in range(700)
        ]
    )
    text = report_of(made.package())
    assert "The last 500; the 200 before are in csv/entries.csv." in text
    assert text.count("<figure>") < 50


@pytest.mark.parametrize("count", [1, 2, 40, 400])
def test_charts_stay_inside_their_frame(count: int) -> None:
    values = [Bar(f"round {number}", {"a": 10.0 * number, "b": 1.0}) for number in range(count)]
    for drawn in (
        bars("<t>", "rows", values),
        steps("t", "e", {"x": [("r", float(n)) for n in range(count)]}),
    ):
        width, height = (float(n) for n in re.findall(r'viewBox="0 0 (\d+) (\d+)"', drawn)[0])
        assert width <= 3300
        for x in re.findall(r' (?:x|cx)="([\d.]+)"', drawn):
            assert 0 <= float(x) <= width
        for y in re.findall(r' (?:y|cy)="(-?[\d.]+)"', drawn):
            assert 0 <= float(y) <= height
        Page(drawn)


def test_chart_without_values_is_drawn() -> None:
    assert "<svg" in bars("t", "rows", [Bar("round 1", {})])
    assert "<svg" in steps("t", "epsilon", {"run": [("round 1", 0.0)]})
