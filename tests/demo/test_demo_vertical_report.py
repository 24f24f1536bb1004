"""The page of the vertical demo, of facts that are made up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.demo.pages import check_accessible, check_follows_the_scheme, check_loads_nothing, spoilt

from hanse.demo.results import LogFacts
from hanse.demo.vertical.facts import (
    Asked,
    Attack,
    Learned,
    ModelQuality,
    PartyFacts,
    Scored,
    Sent,
    VerticalFacts,
)
from hanse.demo.vertical.report import render_report, write_report

DIGEST = "ab" * 32


def made_up() -> VerticalFacts:
    return VerticalFacts(
        version="0.1.0",
        started_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        duration_s=31.4,
        title="Who buys a car within 90 days",
        model="trees",
        agreement_id="vertical-propensity",
        agreement_digest=DIGEST,
        assumption="the coordinator colludes with no member",
        parties=(
            PartyFacts(
                name="brand",
                organisation="Visby Motors",
                labelled=True,
                people=6000,
                columns=("age",),
                left_out={},
            ),
            PartyFacts(
                name="insurer",
                organisation="Bremen Mutual",
                labelled=False,
                people=4500,
                columns=("km", "cover"),
                left_out={"health": "sensitive"},
            ),
        ),
        common=3170,
        held_out=952,
        quality=(
            ModelQuality(name="label holder alone", kind="alone", auc=0.714),
            ModelQuality(name="insurer alone", kind="alone", auc=None),
            ModelQuality(name="joint (this run)", kind="federated", auc=0.752, standard_error=0.064),
            ModelQuality(name="pooled", kind="pooled", auc=0.753),
        ),
        sent=(
            Sent(phase="align", sender="brand", receiver="insurer", size_bytes=140_000, digest=DIGEST),
            Sent(phase="train", sender="insurer", receiver="brand", size_bytes=1_990_000, digest=DIGEST),
            Sent(phase="train", sender="coordinator", receiver="brand", size_bytes=85),
        ),
        learned=(Learned(party="insurer", text="no label, no gradient, no score"),),
        attacks=(
            Attack(party="insurer", name="spectral, the worst", on="proof", auc=0.546, allowed=0.66),
            Attack(party="insurer", name="spectral", on="the cuts", auc=0.727, allowed=None),
        ),
        scored=Scored(
            calls=(
                asked("people who agreed", 29, 19, 4, denied={"P26": 6}),
                asked("one of them", 1, 0, 0, code="policy.denied"),
            ),
            withdrawal_s=0.0214,
        ),
        logs=(LogFacts(owner="brand", origin="hanse.demo/brand", entries=32, root=DIGEST, verified=True),),
        findings=(),
    )


def asked(
    about: str,
    people: int,
    joint: int,
    own: int,
    *,
    denied: dict[str, int] | None = None,
    code: str | None = None,
) -> Asked:
    return Asked(
        about=about,
        purpose="scoring.marketing",
        people=people,
        joint=joint,
        own_columns=own,
        denied=denied or {},
        code=code,
        latency_ms=104.2,
    )


@pytest.fixture(name="page", scope="module")
def _page() -> str:
    return render_report(made_up())


def test_the_page_shows_what_was_found(page: str) -> None:
    for text in (
        "0.752",
        "+0.038",
        "3,170",
        "1.99 MB",
        "0.546",
        "21 ms",
        "6 by P26",
        "policy.denied",
        "health",
    ):
        assert text in page, text
    assert "nothing is left out" in page


def test_the_page_is_one_file_that_loads_nothing(page: str) -> None:
    check_loads_nothing(page)


def test_the_page_is_accessible(page: str) -> None:
    check_accessible(page, figures=4)


def test_charts_follow_the_colour_scheme(page: str) -> None:
    check_follows_the_scheme(page)


def test_every_text_is_escaped() -> None:
    page = render_report(VerticalFacts.model_validate(spoilt(made_up().model_dump(mode="json"))))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_what_is_not_known_is_shown_as_that() -> None:
    facts = made_up()
    unknown = facts.model_copy(
        update={
            "quality": tuple(
                one.model_copy(update={"auc": None, "standard_error": None}) for one in facts.quality
            ),
            "attacks": (Attack(party="insurer", name="none", on="nothing", auc=None, allowed=0.6),),
            "findings": ("brand: entry missing",),
        }
    )
    page = render_report(unknown)
    assert "nothing that depends on labels was sent" in page
    assert "something is LEFT OUT" in page
    assert "brand: entry missing" in page


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, made_up())
    assert path.read_text().startswith("<!doctype html>")
