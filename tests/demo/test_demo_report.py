import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from tests.demo.pages import check_accessible, check_follows_the_scheme, check_loads_nothing, spoilt

from hanse.demo.report import render_report, write_report
from hanse.demo.results import DemoResult, RoundFacts
from hanse.demo.tables import members_table, rounds_table, rules_table, summary_table
from hanse.errors import ConfigurationError

MakeResult = Callable[..., DemoResult]


def hostile(result: DemoResult) -> DemoResult:
    return DemoResult.model_validate(spoilt(result.model_dump(mode="json")))


@pytest.fixture(name="page", scope="module")
def _page(make_result: MakeResult) -> str:
    return render_report(make_result())


def test_report_shows_every_figure_of_the_result(page: str) -> None:
    for text in ("0.741", "+0.080", "−0.014", "2.61", "0.748 ± 0.021", "policy.purpose", "hanse.demo/brand"):  # noqa: RUF001
        assert text in page, text


def test_report_is_one_file_that_loads_nothing(page: str) -> None:
    check_loads_nothing(page)


def test_report_is_accessible(page: str) -> None:
    check_accessible(page, figures=5)


def test_charts_follow_the_colour_scheme(page: str) -> None:
    check_follows_the_scheme(page)


def test_report_escapes_every_text(make_result: MakeResult) -> None:
    page = render_report(hostile(make_result()))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_report_without_its_optional_parts(make_result: MakeResult) -> None:
    document = json.loads(make_result().to_json())
    for part in ("scoring", "logs", "timeline", "rules"):
        del document[part]
    page = render_report(DemoResult.model_validate(document))
    assert "Evidence" not in page
    assert "Scoring calls" not in page


def test_report_without_privacy(make_result: MakeResult) -> None:
    document = json.loads(make_result().to_json())
    document["agreement"] |= {"epsilon": None, "delta": None}
    document["rounds"] = [entry | {"epsilon": {}} for entry in document["rounds"]]
    document["members"] = [
        entry | {"epsilon": None, "excluded_by_rule": {}, "considered": 0, "admitted": 0}
        for entry in document["members"]
    ]
    result = DemoResult.model_validate(document)
    page = render_report(result)
    assert "Privacy spent" not in page
    assert "the agreement has no budget" in page
    assert "the agreement has no budget" in printed(summary_table(result))


def test_report_is_written_whole(make_result: MakeResult, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, make_result())
    assert path.read_text().startswith("<!doctype html>")
    assert path.read_text().rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trips(make_result: MakeResult) -> None:
    result = make_result()
    assert DemoResult.from_json(result.to_json()) == result


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"schema_version": 2}'])
def test_other_json_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not a demo result"):
        DemoResult.from_json(data)


def test_a_figure_that_is_no_number_is_refused(make_result: MakeResult) -> None:
    document = json.loads(make_result().to_json())
    document["duration_s"] = float("nan")
    with pytest.raises(ValidationError):
        DemoResult.model_validate(document)


def test_an_estimate_needs_its_error() -> None:
    with pytest.raises(ValidationError, match="come together"):
        RoundFacts(round=1, duration_s=1, auc_exact=0.7, auc_estimate=0.7)


def printed(*tables: Table) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(*tables)
    return console.export_text()


def test_tables_show_the_figures(make_result: MakeResult) -> None:
    result = make_result()
    text = printed(
        rounds_table(result.rounds), members_table(result), rules_table(result), summary_table(result)
    )
    for figure in (
        "0.748 ± 0.021",
        "2,560",
        "0.640",
        "+0.080",
        "1 allowed, 1 denied",
        "4 of 4 logs verified",
        " 68 ",  # values that P05 hid at four members
    ):
        assert figure in text, figure
    for rule in {rule for member in result.members for rule in member.excluded_by_rule}:
        assert f" {rule} " in text


def test_tables_do_not_read_names_as_markup(make_result: MakeResult) -> None:
    document = json.loads(make_result().to_json())
    document["members"][0]["name"] = "[red]x[/red]"
    assert "[red]x[/red]" in printed(members_table(DemoResult.model_validate(document)))
