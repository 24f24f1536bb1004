"""What is read where a member's file cannot be used in a vertical run, and by whoever started the run."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.vertical.faulty_runs import Faulty, build, faulty

from hanse.client.data import DataSource
from hanse.client.settings import NodeSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    folder = tmp_path_factory.mktemp("input")
    with faulty(*build(folder, duplicates="refuse", malformed="leave_out")) as made:
        yield made


def remade(select: str) -> Callable[[Path, Path], None]:
    """Writes a Parquet file from a good one."""

    def make(good: Path, path: Path) -> None:
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select.format(good=good)}) TO '{path}' (FORMAT parquet)")

    return make


def not_utf8(good: Path, path: Path) -> None:
    """A CSV file in another encoding; its 7th line is the first one that shows it."""
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM '{good}') TO '{path}' (FORMAT csv, HEADER)")  # noqa: S608
    lines = path.read_text().splitlines()
    for number in (6, 9):
        lines[number] = (
            lines[number].replace("generated.", "m\u00fcller.", 1).replace("GENERATED.", "M\u00dcLLER.", 1)
        )
    path.write_bytes("\n".join(lines).encode("latin-1"))


def empty(_: Path, path: Path) -> None:
    path.touch()


CASES: dict[str, tuple[Callable[[Path, Path], None], str, str, str]] = {
    "duplicate people": (
        remade("SELECT * FROM '{good}' UNION ALL (SELECT * FROM '{good}' LIMIT 2)"),
        "parquet",
        "config.bad-data",
        "column subject_id has 0 empty and 2 repeated values; give every subject exactly one row",
    ),
    "duplicate identifiers": (
        remade("SELECT * REPLACE ('same@example.org' AS email) FROM '{good}'"),
        "parquet",
        "alignment.identifiers",
        "column email: rows ",
    ),
    "not UTF-8": (
        not_utf8,
        "csv",
        "config.bad-data",
        "line 7: the bytes are not UTF-8; save the file in UTF-8",
    ),
    "fractions for whole numbers": (
        remade("SELECT * REPLACE ((1520000000 + row_number() OVER ())::DOUBLE AS phone) FROM '{good}'"),
        "parquet",
        "alignment.identifiers",
        "becomes one when values are missing); store the column as text or whole numbers",
    ),
    "an empty file": (empty, "csv", "config.bad-data", "is empty: not even a heading is in it"),
    "no rows": (
        remade("SELECT * FROM '{good}' LIMIT 0"),
        "parquet",
        "config.bad-data",
        "data.parquet has no rows",
    ),
    "nobody in common": (
        remade(
            "SELECT * REPLACE ('x' || email AS email, replace(phone, '1520', '1521') AS phone) FROM '{good}'"
        ),
        "parquet",
        "alignment.nobody",
        "is in common; compare what the members' columns hold",
    ),
    "a missing column": (
        remade("SELECT * EXCLUDE (phone) FROM '{good}'"),
        "parquet",
        "config.bad-data",
        "has no column phone; write the column's name as it is in the file into the manifest",
    ),
}


# One before and one after the members have spoken by default; the rest with the drills that repeat.
SLOW = {"not UTF-8", "nobody in common"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case in SLOW else pytest.mark.soak) for case in CASES],
)
def test_a_bad_file_is_explained_where_it_is_and_named_elsewhere(
    run: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, case: str
) -> None:
    make, suffix, code, message = CASES[case]
    site = run.local.federation.sites[1]
    path = tmp_path / f"data.{suffix}"
    make(site.written.data, path)
    manifest = NodeSettings.load(site.home.root).dataset.model_copy(update={"path": path})
    gate: Any = run.node("insurer")._tools.gate
    monkeypatch.setattr(gate, "_source", DataSource(manifest))
    with caplog.at_level(logging.WARNING, "hanse.node"):
        ended = run.command()
    assert [text for text in caplog.messages if message in text and code in text], caplog.messages
    assert f" left: {code}" in ended.told
    assert "Its node's output says more." in ended.told
    run.check(ended)
