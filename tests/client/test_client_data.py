"""Declared columns only, admitted rows only, and no value of the file in any error."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from hanse.client.data import DatasetManifest, DataSource, DeclaredColumn
from hanse.client.file_data import FileTable
from hanse.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "Erika-Mustermann"
COLUMNS = (
    DeclaredColumn(name="age", kind="numeric", classification="basic"),
    DeclaredColumn(name='odd "name"', kind="categorical", classification="basic"),
)


def make_source(path: Path, columns: tuple[DeclaredColumn, ...] = COLUMNS) -> DataSource:
    manifest = DatasetManifest(
        name="customers", path=path, subject_column="id", label_column="y", columns=columns
    )
    return DataSource(manifest)


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "it's data.csv"
    path.write_text(text)
    return path


CSV = 'id,age,"odd ""name""",undeclared,y\na,1.5,x,not a number,one\nb,,,2,two\nc,3,z,3,\n'


@pytest.fixture(params=["csv", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    csv = write_csv(tmp_path, CSV)
    if request.param == "csv":
        return csv
    parquet = tmp_path / "data.parquet"
    duckdb.read_csv(str(csv), header=True).write_parquet(str(parquet))
    return parquet


def test_subjects_in_file_order(path: Path) -> None:
    assert make_source(path).subject_ids() == ["a", "b", "c"]


def test_reads_what_is_asked_for_in_the_order_asked(path: Path) -> None:
    columns, labels = make_source(path).read(["age", 'odd "name"'], ["c", "a", "b"], {})
    assert set(columns) == {"age", 'odd "name"'}
    np.testing.assert_array_equal(columns["age"], [3.0, 1.5, np.nan])
    assert columns["age"].dtype == np.float64
    assert columns['odd "name"'].tolist() == ["z", "x", ""]
    assert labels.tolist() == ["", "one", "two"]


def test_reads_nobody_else(path: Path) -> None:
    columns, labels = make_source(path).read(["age"], ["b"], {})
    assert len(labels) == 1
    assert len(columns["age"]) == 1


def test_an_undeclared_column_cannot_be_read(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not declared in the manifest: undeclared") as caught:
        make_source(path).read(["age", "undeclared"], ["a"], {})
    assert caught.value.code == "config.bad-data"


def test_the_scan_is_of_the_asked_columns_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query that is sent, explained by the engine: the other columns do not leave the file."""
    source = make_source(path)
    sent: list[str] = []

    class Spy:
        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self._connection = connection

        def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
            sent.append(sql)
            return self._connection.execute(sql)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    table = source._table
    assert isinstance(table, FileTable)
    connection = table._connection
    monkeypatch.setattr(table, "_connection", Spy(connection))
    source.subject_ids()
    source.read(["age"], ["a"], {})
    listing, reading = (connection.execute(f"EXPLAIN {sql}").fetchall()[0][1] for sql in sent)
    for plan in (listing, reading):
        assert "Projections" in plan
        assert "undeclared" not in plan
        assert "odd" not in plan
    assert "age" not in listing
    assert "age" in reading


def test_an_undeclared_column_of_another_kind_does_not_disturb(tmp_path: Path) -> None:
    columns = (DeclaredColumn(name="age", kind="numeric", classification="basic"),)
    rows = "".join(f"p{i},{i},{SECRET},yes\n" for i in range(10))
    source = make_source(write_csv(tmp_path, f"id,age,undeclared,y\n{rows}"), columns)
    values, _ = source.read(["age"], ["p3"], {})
    assert values["age"].tolist() == [3.0]


@pytest.mark.parametrize("rows", [3, 300_000])
def test_values_never_appear_in_errors(tmp_path: Path, rows: int) -> None:
    """A bad value near the end of a long file is met while the result is fetched."""
    lines = "".join(f"p{i},{i},yes\n" for i in range(rows))
    columns = (DeclaredColumn(name="age", kind="numeric", classification="basic"),)
    source = make_source(write_csv(tmp_path, f"id,age,y\n{lines}last,{SECRET},yes\n"), columns)
    with pytest.raises(ConfigurationError) as caught:
        source.read(["age"], ["last"], {})
    chain = [caught.value, caught.value.__cause__]
    assert caught.value.__suppress_context__
    assert all(SECRET not in str(error) for error in chain)
    assert "ConversionException" in caught.value.detail


def test_a_missing_column_is_named_no_value_is(tmp_path: Path) -> None:
    source = make_source(write_csv(tmp_path, f"{SECRET},age\n{SECRET},1\n"))
    with pytest.raises(ConfigurationError) as caught:
        source.subject_ids()
    assert caught.value.code == "config.bad-data"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "told"), [("a,a,b", "0 empty and 1 repeated"), ("a,,b", "1 empty and 0 repeated")]
)
def test_a_record_must_be_a_person(tmp_path: Path, ids: str, told: str) -> None:
    rows = "".join(f"{subject},1\n" for subject in ids.split(","))
    with pytest.raises(ConfigurationError, match=told) as caught:
        make_source(write_csv(tmp_path, f"id,y\n{rows}")).subject_ids()
    assert caught.value.code == "config.bad-data"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for use in (DataSource.subject_ids, lambda source: source.read(["age"], ["a"], {})):
        with pytest.raises(ConfigurationError, match=r"gone\.csv") as caught:
            use(make_source(tmp_path / "gone.csv"))
        assert caught.value.code == "config.missing-file"


def test_a_csv_file_without_rows_has_no_subjects(tmp_path: Path) -> None:
    assert make_source(write_csv(tmp_path, "id,age,y\n")).subject_ids() == []


def test_identifiers_stay_what_they_are(tmp_path: Path) -> None:
    """A fraction becomes no text: it would be another identifier than the whole number that was meant."""
    path = tmp_path / "data.parquet"
    rows = "('a', 17, 17.0::DOUBLE, 'x'::BLOB, 'é'), ('b', 18, NULL, NULL, NULL), ('c', 19, 'nan', 'z', 'z')"
    names = {name: name for name in ("whole", "number", "raw", "text")}
    duckdb.sql(
        f"COPY (SELECT * FROM (VALUES {rows}) t(id, {', '.join(names)})) TO '{path}' (FORMAT parquet)"  # noqa: S608
    )
    source = DataSource(DatasetManifest(name="c", path=path, subject_column="id", identifiers=names))
    read = source.identifiers(list(names), ["b", "a"])
    assert {kind: column.values for kind, column in read.items()} == {
        "whole": ["18", "17"],
        "number": [None, 17.0],
        "raw": [None, b"x"],
        "text": [None, "é"],
    }
    assert source.row_of("c") == 3
    labelled = DataSource(DatasetManifest(name="c", path=path, subject_column="id", label_column="number"))
    assert labelled.read([], ["a", "c"], {})[1].tolist() == ["17.0", ""]


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_bytes_that_are_no_utf8_are_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = f"id,y\na,1\n{SECRET}ü,2\n".encode("latin-1")
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(ConfigurationError) as caught:
        make_source(path).subject_ids()
    assert caught.value.detail == f"{path}, line 3: the bytes are not UTF-8; save the file in UTF-8"
