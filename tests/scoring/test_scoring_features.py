"""What a scorer looks up of subjects: the columns of a model, of whom it was asked about, as they are now."""

import asyncio
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.scoring.conftest import Keys, make_agreement

from hanse.client.data import DatasetManifest, DeclaredColumn
from hanse.client.features import FileFeatures, TableFeatures, make_features
from hanse.errors import ConfigurationError
from hanse.learning import Transform
from hanse.learning.subject_values import Found, needed, spread, without
from hanse.policies import Column

AGREED = make_agreement(Keys()).columns
DECLARED = (
    DeclaredColumn(name="age", kind="numeric", classification="basic"),
    DeclaredColumn(name="job", kind="categorical", classification="basic"),
    DeclaredColumn(name="secret", kind="categorical", classification="sensitive"),
)
ROWS = [("a", 30.0, "admin", "x"), ("b", None, "student", "y"), ("c", 41.5, None, "z")]


def write(path: Path, rows: Sequence[tuple[object, ...]] = ROWS) -> None:
    """Replaces the file in one step, as a careful export does; long ago, so that it has settled."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, age DOUBLE, job VARCHAR, secret VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        connection.execute(f"COPY t TO '{path}.new' (FORMAT parquet)")
    Path(f"{path}.new").rename(path)
    os.utime(path, (time.time() - 60, time.time() - 60))


def file_features(path: Path) -> FileFeatures:
    features = make_features(DatasetManifest(name="crm", path=path, subject_column="id", columns=DECLARED))
    assert isinstance(features, FileFeatures)
    return features


def look_up(features: FileFeatures | TableFeatures, *ids: str, columns: Sequence[Column] = AGREED) -> Found:
    return asyncio.run(features.look_up(columns, ids))


def plain(found: Found) -> dict[str, list[object]]:
    def told(value: object) -> object:
        return None if isinstance(value, float) and math.isnan(value) else value

    return {name: [told(value) for value in own] for name, own in found.values.items()}


@pytest.fixture(params=["file", "table"])
def features(request: pytest.FixtureRequest, tmp_path: Path) -> FileFeatures | TableFeatures:
    if request.param == "file":
        write(tmp_path / "crm.parquet")
        return file_features(tmp_path / "crm.parquet")
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (id TEXT, age REAL, job TEXT, secret TEXT)"))
        connection.execute(
            sa.text("INSERT INTO people VALUES (:i, :a, :j, :s)"),
            [dict(zip("iajs", row, strict=True)) for row in ROWS],
        )
    made = make_features(
        DatasetManifest(name="crm", url=SecretStr(url), table="people", subject_column="id", columns=DECLARED)
    )
    assert isinstance(made, TableFeatures)
    return made


def test_rows_come_in_the_order_asked_and_the_unknown_are_told(
    features: FileFeatures | TableFeatures,
) -> None:
    found = look_up(features, "c", "nobody", "a", "b", "c")
    assert found.known.tolist() == [True, False, True, True, True]
    assert plain(found) == {
        "age": [41.5, None, 30.0, None, 41.5],
        "job": ["", "", "admin", "student", ""],
    }


def test_no_other_column_is_read(features: FileFeatures | TableFeatures) -> None:
    assert set(look_up(features, "a", columns=AGREED[1:]).values) == {"job"}


def test_a_column_that_is_declared_otherwise_is_refused(features: FileFeatures | TableFeatures) -> None:
    other = AGREED[1].model_copy(update={"name": "age"})
    for column in (other, AGREED[1].model_copy(update={"name": "undeclared"})):
        with pytest.raises(ConfigurationError, match=column.name):
            look_up(features, "a", columns=[column])


def test_the_next_call_sees_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "crm.parquet"
    write(path)
    features = file_features(path)
    before = look_up(features, "a")
    write(path, [("a", 99.0, "other", "x")])
    assert plain(before)["age"] == [30.0]
    after = look_up(features, "a", "b")
    assert (plain(after)["age"], after.known.tolist()) == ([99.0, None], [True, False])


def test_a_file_is_read_once_for_many_calls_and_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "crm.parquet"
    write(path)
    features = file_features(path)
    reads = []
    inner = features._read

    def counted(*arguments: object) -> object:
        reads.append(1)
        return inner(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(features, "_read", counted)

    async def many() -> None:
        await asyncio.gather(*(features.look_up(AGREED, ["a"]) for _ in range(20)))

    asyncio.run(many())
    assert len(reads) == 1
    path.write_bytes(b"no parquet")
    os.utime(path, (time.time() - 30, time.time() - 30))
    for _ in range(3):
        with pytest.raises(ConfigurationError) as caught:
            look_up(features, "a")
        assert caught.value.code == "config.bad-data"
    assert len(reads) == 2  # a broken file is not read again and again
    path.unlink()
    with pytest.raises(ConfigurationError) as caught:
        look_up(features, "a")
    assert caught.value.code == "config.missing-file"
    write(path)
    assert look_up(features, "a").known.all()


def test_a_file_that_has_just_changed_is_read_again_once_its_time_is_past(tmp_path: Path) -> None:
    path = tmp_path / "crm.parquet"
    write(path)
    features = file_features(path)
    now = time.time()
    os.utime(path, (now, now))
    look_up(features, "a")
    assert not features._indexes["age", "job"].settled


def test_a_subject_with_two_rows_is_nobody(tmp_path: Path) -> None:
    write(tmp_path / "crm.parquet", [*ROWS, ROWS[0]])
    with pytest.raises(ConfigurationError) as caught:
        look_up(file_features(tmp_path / "crm.parquet"), "b")
    assert caught.value.code == "config.bad-data"


def test_only_columns_with_a_feature_are_needed() -> None:
    counts = np.array([500.0, 500, 500, 500, 0, 0, 0])
    transform = Transform.fit(AGREED, counts, 10)
    assert [column.name for column in needed(AGREED, transform)] == ["age"]
    found = Found(np.array([True]), {"age": np.array([30.0])})
    values = spread(AGREED, found, np.array([False, True]))
    assert np.isnan(values["age"][0])
    assert (values["age"][1], values["job"].tolist()) == (30.0, ["", ""])


def test_hidden_values_are_taken_out_of_a_copy() -> None:
    values = {"age": np.array([1.0, 2.0]), "job": np.array(["a", "b"], dtype=object)}
    taken = without(values, {"age": (1,), "job": (0,), "unread": (0,)})
    assert np.isnan(taken["age"][1])
    assert taken["job"].tolist() == ["", "b"]
    assert values["age"].tolist() == [1.0, 2.0]
