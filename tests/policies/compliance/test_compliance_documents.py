"""What the documents say follows from the configuration, in both languages; the rest is asked."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from hanse.crypto import sha256_hex
from hanse.errors import PolicyError
from hanse.policies import BUILTIN, PURPOSES, RULES, Agreement, Wording, check_agreement
from hanse.policies.agreement.words import WORDS
from hanse.policies.compliance import (
    Dossier,
    Section,
    Statement,
    Table,
    assess,
    records,
    to_html,
    to_markdown,
)
from hanse.policies.compliance.configuration import THRESHOLDS
from hanse.policies.compliance.impact import RISKS, risks_of
from hanse.policies.packs import BASELINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.policies.compliance import Configuration

Lang = Literal["en", "zh"]
LANGUAGES: tuple[Lang, ...] = ("en", "zh")
DEAL = Path(__file__).resolve().parents[3] / "examples" / "deal" / "deal.yaml"
SNAPSHOTS = Path(__file__).parent / "snapshots"
WRITE = os.environ.get("HANSE_SNAPSHOTS") == "write"
ANSWERS = {"impact.rights": "Fair treatment.\nBeing left alone.", "records.brand.contact": "Dock 1, Hamburg"}
MAKERS = {"assessment": assess, "records": records}
HOSTILE = "<script>alert(1)</script> | [x](javascript:y) `a` *b* & \"c\" 'd' # e"


def texts(dossier: Dossier) -> dict[str, str]:
    """Every English text by section and key."""
    return {
        f"{section.key}/{item.key}": item.text.en if not isinstance(item, Table) else str(item.rows)
        for section in dossier.sections
        for item in section.items
    }


def without_rules(dossier: Dossier) -> Dossier:
    """Without the tables of rules, thresholds and digests, which belong to the rules and their packs."""
    sections = tuple(
        Section(
            key=section.key,
            title=section.title,
            items=tuple(item for item in section.items if item.key not in ("rules", "thresholds", "about")),
        )
        for section in dossier.sections
    )
    return dossier.model_copy(update={"sections": sections})


# --- the example


def test_the_example_names_the_packs_as_they_are() -> None:
    named = Agreement.from_yaml(DEAL.read_text(encoding="utf-8")).packs
    assert named == tuple(BUILTIN[pack.id].reference for pack in named), f"write their digests into {DEAL}"


def test_the_example_has_no_gap(deal: Agreement, configured: Callable[..., Configuration]) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    assert check_agreement(deal, configured().policy, now) == ()


def test_the_example_uses_every_field(deal: Agreement) -> None:
    """What may be empty or null is given, but for what only an amendment or an approval has."""

    def empty(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [hit for name, item in value.items() for hit in empty(item, f"{path}.{name}")]
        if isinstance(value, list):
            return [path] if not value else [hit for item in value for hit in empty(item, path)]
        return [path] if value is None else []

    given_somewhere = {"columns.edges", "columns.categories", "columns.special", "columns.necessity"}
    given_somewhere |= {"members.contract", "members.notices"}
    missing = {path.removeprefix(".") for path in empty(deal.model_dump(mode="json"), "")} - given_somewhere
    assert missing == {"supersedes", "training.hidden", "assessment.digest", "assessment.rehearsal"}
    assert any(column.special for column in deal.columns)
    assert any(member.contract for member in deal.members)


# --- snapshots


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", MAKERS)
def test_snapshot(kind: str, language: Lang, configured: Callable[..., Configuration]) -> None:
    """Write them anew with HANSE_SNAPSHOTS=write, and read what changed."""
    text = to_markdown(without_rules(MAKERS[kind](configured(None, ANSWERS))), language)
    path = SNAPSHOTS / f"{kind}.{language}.md"
    if WRITE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


# --- what follows from what


def test_every_rule_and_threshold_is_there_with_its_source(configured: Callable[..., Configuration]) -> None:
    configuration = configured()
    tables = {
        item.key: {row.key: [cell.en for cell in row.cells] for row in item.rows}
        for section in assess(configuration).sections
        for item in section.items
        if isinstance(item, Table)
    }
    assert set(tables["rules"]) == set(configuration.policy.rules)
    assert tables["rules"]["P18"][1:4] == [
        RULES["P18"].message.en,
        ", ".join(configuration.policy.rules["P18"].articles),
        ", ".join(configuration.policy.rules["P18"].sources),
    ]
    assert set(tables["thresholds"]) == set(configuration.policy.thresholds)
    child = configuration.policy.thresholds["child_below_years"]
    assert tables["thresholds"]["child_below_years"][1:3] == [str(child.value), ", ".join(child.sources)]
    assert tables["thresholds"]["minimum_cohort_subjects"][3].endswith("not of the law")


def test_every_word_of_the_vocabulary_has_a_name() -> None:
    assert set(PURPOSES) <= set(WORDS)
    assert set(BASELINE) <= set(THRESHOLDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_in_a_language(language: Lang, configured: Callable[..., Configuration]) -> None:
    for make in MAKERS.values():
        for section in make(configured()).sections:
            wordings = [section.title]
            for item in section.items:
                if isinstance(item, Table):
                    wordings += [item.title, *item.head, *(cell for row in item.rows for cell in row.cells)]
                    assert all(len(row.cells) == len(item.head) for row in item.rows)
                else:
                    wordings.append(item.text)
            assert all(getattr(wording, language).strip() for wording in wordings)


def test_the_limits_are_told(configured: Callable[..., Configuration]) -> None:
    said = texts(assess(configured()))
    assert "one record" in said["limits/unit"]
    assert "noise that the members share" in said["limits/coordinator"]
    assert "row counts" in said["limits/coordinator"]
    alone = texts(assess(configured({"aggregation": {"mode": "individual"}})))
    assert "update and row counts on their own" in alone["limits/coordinator"]
    bare = texts(assess(configured({"privacy": None})))
    assert "no privacy budget" in bare["limits/unit"]
    assert "secure sums alone" in bare["impact/risks"]


@pytest.mark.parametrize(
    ("changes", "come", "go"),
    [
        ({"privacy": None}, {"update.sum", "membership"}, {"update.shared", "several.members"}),
        ({"aggregation": {"mode": "individual"}}, {"update.noised"}, {"update.shared"}),
        ({"cohort.minimum_members": 2}, {"subtraction"}, set()),
        ({"may_contain_minors": False}, {"minors.unknown"}, {"minors"}),
        ({"scoring.significant_effect": True}, {"decision"}, {"targeting"}),
        ({"scoring.callers": []}, set(), {"extraction"}),
        ({"columns.2.classification": "basic", "columns.2.special": None}, set(), {"sensitive"}),
    ],
    ids=[
        "no budget",
        "individual",
        "two members",
        "no minors",
        "significant",
        "no callers",
        "not sensitive",
    ],
)
def test_risks_follow_from_the_configuration(
    changes: dict[str, Any], come: set[str], go: set[str], configured: Callable[..., Configuration]
) -> None:
    before = {risk.key for risk in risks_of(configured().agreement)}
    after = {risk.key for risk in risks_of(configured(changes).agreement)}
    assert (after - before, before - after) == (come, go)
    assert {risk.key for risk in RISKS} >= before | after


def test_the_assessment_does_not_depend_on_its_approval(configured: Callable[..., Configuration]) -> None:
    """Its digest can be written into the agreement that it is about."""
    dossier = assess(configured())
    approved = configured({"assessment.digest": dossier.digest, "assessment.approver": "Another Person"})
    assert assess(approved).digest == dossier.digest
    assert assess(configured({"privacy.epsilon": 5})).digest != dossier.digest
    assert assess(configured(None, {"impact.rights": "None"})).digest != dossier.digest


def test_records_by_role(configured: Callable[..., Configuration]) -> None:
    dossier = records(configured())
    assert [section.key for section in dossier.sections] == [
        "records.brand",
        "records.insurer",
        "records.mailer",
    ]
    titles = [section.title.en for section in dossier.sections]
    assert ["GDPR 30(1)" in title for title in titles] == [True, True, False]
    assert "GDPR 30(2)" in titles[2]
    said = {section.key: str(section.items) for section in dossier.sections}
    for letter in "abcdefg":
        assert f"({letter})" in said["records.brand"]
    for letter in "abcd":
        assert f"({letter})" in said["records.mailer"]
    assert "Contract 2026-17" in said["records.mailer"]


# --- the file


@pytest.mark.parametrize("kind", MAKERS)
def test_the_file_reads_as_it_was_written(kind: str, configured: Callable[..., Configuration]) -> None:
    dossier = MAKERS[kind](configured(None, ANSWERS))
    data = dossier.text().encode()
    assert Dossier.parse(data) == dossier
    assert dossier.digest == sha256_hex(data)
    for other in (data[:-1], data + b"\n", b" " + data, data.replace(b'"kind"', b'"kind" ', 1)):
        with pytest.raises(PolicyError):
            Dossier.parse(other)


@given(st.binary(max_size=300))
def test_reading_is_total(data: bytes) -> None:
    with pytest.raises(PolicyError):
        Dossier.parse(data)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_file_is_refused_or_another_document(
    configured: Callable[..., Configuration], place: int, byte: int
) -> None:
    dossier = records(configured())
    data = bytearray(dossier.text().encode())
    data[place % len(data)] = byte
    parsed = None
    with contextlib.suppress(PolicyError):
        parsed = Dossier.parse(bytes(data))
    assert parsed is None or parsed.text().encode() == bytes(data)


# --- the page


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, name: str) -> list[str | None]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", MAKERS)
def test_the_page_is_one_accessible_file(
    kind: str, language: Lang, configured: Callable[..., Configuration]
) -> None:
    page = Page(to_html(MAKERS[kind](configured()), language))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert page.values("src") == []
    assert all(href is not None and href.startswith("#") for href in page.values("href"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {href.removeprefix("#") for href in page.values("href") if href} <= set(ids)
    assert page.values("lang") == [{"en": "en", "zh": "zh-Hans"}[language]]
    assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("title") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    assert set(page.values("scope")) == {"col", "row"}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_others_wrote_is_text(kind: str, configured: Callable[..., Configuration]) -> None:
    changes = {"title": HOSTILE, "members.0.organisation": HOSTILE, "overrides.0.reason": HOSTILE}
    answers = {"impact.rights": HOSTILE, "records.brand.contact": HOSTILE}
    dossier = MAKERS[kind](configured(changes, answers))
    annex = (
        Section(
            key="annex",
            title=Wording(HOSTILE, HOSTILE),
            items=(Statement(key="x", text=Wording(HOSTILE, HOSTILE)),),
        ),
    )
    html = to_html(dossier, "en", annex)
    assert "<script" not in html
    assert HOSTILE in "".join(Page(html).words)
    assert "script" not in Page(html).tags
    markdown = to_markdown(dossier, "en", annex)
    assert "<script" not in markdown
    assert "[x](javascript" not in markdown
    assert " | [x" not in markdown


def test_questions_are_marked_until_they_are_answered(configured: Callable[..., Configuration]) -> None:
    blank, answered = assess(configured()), assess(configured(None, ANSWERS))
    assert blank.unanswered == len(blank.questions) == answered.unanswered + 1
    assert to_html(blank, "en").count("NOT ANSWERED") == blank.unanswered
    assert to_markdown(blank, "zh").count("尚未答复") == blank.unanswered
    assert "<p>Being left alone.</p>" in to_html(answered, "en")
