"""What is not asked for is not read: columns, rows and hidden values, in files and in databases."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.event import listens_for

from hanse.client.data import DatasetManifest, DataSource, DeclaredColumn
from hanse.client.file_data import FileTable
from hanse.client.sql_data import SqlTable
from hanse.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "Erika-Mustermann"
ROWS = [(f"p{n}", n + 0.5, "ab"[n % 2], f"{SECRET}-{n}", ("no", "yes")[n % 3 == 0]) for n in range(2000)]
HEADER = ("id", "age", "job", "secret", "y")
DECLARED = (
    DeclaredColumn(name="age", kind="numeric", classification="basic"),
    DeclaredColumn(name="job", kind="categorical", classification="basic"),
)


def manifest(**place: Any) -> DatasetManifest:
    return DatasetManifest(name="customers", subject_column="id", label_column="y", columns=DECLARED, **place)


def make_csv(folder: Path) -> DatasetManifest:
    lines = [HEADER, *ROWS]
    path = folder / "data.csv.gz"
    path.write_bytes(gzip.compress("\n".join(",".join(map(str, line)) for line in lines).encode()))
    return manifest(path=path)


def make_parquet(folder: Path) -> DatasetManifest:
    path = folder / "data.parquet"
    names, values = HEADER, zip(*ROWS, strict=True)
    table = {name: np.array(column, dtype=object) for name, column in zip(names, values, strict=True)}
    table["age"] = table["age"].astype(float)
    with duckdb.connect() as connection:
        connection.register("rows", table)
        connection.execute("COPY (SELECT * FROM rows) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
    return manifest(path=path)


def make_sqlite(folder: Path) -> DatasetManifest:
    engine = sa.create_engine(f"sqlite:///{folder / 'crm.db'}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE customers (id TEXT, age REAL, job TEXT, secret TEXT, y TEXT)")
        )
        insert = sa.text("INSERT INTO customers VALUES (:id, :age, :job, :secret, :y)")
        connection.execute(insert, [dict(zip(HEADER, row, strict=True)) for row in ROWS])
    engine.dispose()
    return manifest(url=f"sqlite:///{folder / 'crm.db'}", table="customers")


PLACES = {"csv": make_csv, "parquet": make_parquet, "sqlite": make_sqlite}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_reads_the_admitted_without_what_they_hide(
    make: Callable[[Path], DatasetManifest], tmp_path: Path
) -> None:
    source = DataSource(make(tmp_path))
    assert source.subject_ids() == [row[0] for row in ROWS]
    asked = ["p7", "p3", "p1999"]
    hidden = {"age": np.array([False, True, False]), "job": np.array([True, False, False])}
    columns, labels = source.read(["age", "job"], asked, hidden)
    np.testing.assert_array_equal(columns["age"], [7.5, np.nan, 1999.5])
    assert columns["job"].tolist() == ["", "b", "b"]
    assert labels.tolist() == ["no", "yes", "no"]
    assert set(columns) == {"age", "job"}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_nobody_is_asked_for_and_nobody_comes(
    make: Callable[[Path], DatasetManifest], tmp_path: Path
) -> None:
    columns, labels = DataSource(make(tmp_path)).read(["age", "job"], [], {})
    assert [len(values) for values in (*columns.values(), labels)] == [0, 0, 0]
    assert columns["age"].dtype == np.float64


def test_a_column_that_is_not_asked_for_can_be_unreadable(tmp_path: Path) -> None:
    """The bytes of the forbidden column are destroyed on the disk; only who touches them notices."""
    place = make_parquet(tmp_path)
    assert place.path is not None
    query = (
        "SELECT path_in_schema, coalesce(dictionary_page_offset, data_page_offset), total_compressed_size"
        " FROM parquet_metadata(?)"
    )
    chunks = duckdb.execute(query, [str(place.path)]).fetchall()
    data = bytearray(place.path.read_bytes())
    for name, start, size in chunks:
        if name == "secret":
            data[start : start + size] = b"\xff" * size
    place.path.write_bytes(data)

    columns, _ = DataSource(place).read(["age", "job"], ["p1", "p2"], {})
    assert columns["age"].tolist() == [1.5, 2.5]
    with pytest.raises(duckdb.Error):
        duckdb.read_parquet(str(place.path)).project("secret").fetchall()
    declared = (*DECLARED, DeclaredColumn(name="secret", kind="categorical", classification="basic"))
    greedy = DataSource(place.model_copy(update={"columns": declared}))
    with pytest.raises(ConfigurationError) as caught:
        greedy.read(["secret"], ["p1"], {})
    assert caught.value.code == "config.bad-data"


def test_the_engine_scans_the_asked_columns_and_joins_the_admitted(tmp_path: Path) -> None:
    source = DataSource(make_parquet(tmp_path))
    table = source._table
    assert isinstance(table, FileTable)
    sent: list[str] = []

    class Spy:
        def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
            sent.append(sql)
            return connection.execute(sql)

        def register(self, name: str, rows: Any) -> None:
            connection.register(name, rows)

    connection, table._connection = table._connection, Spy()  # type: ignore[assignment]
    source.read(["age"], ["p1", "p2"], {"age": np.array([True, False])})
    plan = connection.execute(f"EXPLAIN {sent[-1]}").fetchall()[0][1]
    assert "Hash Join" in plan
    assert "secret" not in plan
    assert "job" not in plan
    # The value of who hides it is NULL in the query itself.
    assert 'CASE WHEN a.h0 THEN NULL ELSE CAST(s."age" AS DOUBLE) END' in sent[-1]


def test_a_database_is_asked_for_nothing_else(tmp_path: Path) -> None:
    source = DataSource(make_sqlite(tmp_path))
    table = source._table
    assert isinstance(table, SqlTable)
    statements: list[str] = []
    fetched: list[Any] = []

    @listens_for(table.engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append(statement)
        fetched.append(parameters)

    source.subject_ids()
    source.read(["age"], ["p1", "p2"], {"age": np.array([True, False])})
    listing, create, fill, reading = statements
    assert listing == 'SELECT CAST("id" AS VARCHAR) AS "id" \nFROM "customers"'
    assert create.strip().startswith("CREATE TEMPORARY TABLE hanse_admitted")
    assert fill.startswith("INSERT INTO hanse_admitted")
    assert "JOIN hanse_admitted ON" in reading
    assert 'CASE WHEN (hanse_admitted.h0 = ?) THEN s."age" END' in reading
    for unasked in ("secret", "job", "*"):
        assert not any(unasked in statement for statement in statements)
    with sa.create_engine(f"sqlite:///{tmp_path / 'crm.db'}").connect() as connection:
        names = connection.execute(sa.text("SELECT name FROM sqlite_master")).scalars().all()
    assert names == ["customers"]


def test_errors_of_a_database_carry_no_value_and_no_password(tmp_path: Path) -> None:
    declared = (DeclaredColumn(name="secret", kind="numeric", classification="basic"),)
    source = DataSource(make_sqlite(tmp_path).model_copy(update={"columns": declared}))
    with pytest.raises(ConfigurationError) as caught:
        source.read(["secret"], ["p1"], {})
    assert caught.value.code == "config.bad-data"
    assert SECRET not in str(caught.value)
    absent = DataSource(manifest(url=f"sqlite:///{tmp_path / 'crm.db'}", table="nobody"))
    with pytest.raises(ConfigurationError, match="table nobody"):
        absent.subject_ids()
    for url in ("nonsense", "nosuch+driver://erika:geheim@host/crm"):
        with pytest.raises(ConfigurationError) as caught:
            DataSource(manifest(url=url, table="customers"))
        assert caught.value.code == "config.invalid"
        assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(manifest(url="sqlite://erika:geheim@host/crm", table="t"))


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"path": "a.csv", "url": "sqlite://", "table": "t"},
        {"url": "sqlite://"},
        {"path": "a", "table": "t"},
    ],
    ids=["nowhere", "both", "no-table", "table-of-a-file"],
)
def test_a_manifest_names_one_place(place: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="write either path, or url and table"):
        manifest(**place)
