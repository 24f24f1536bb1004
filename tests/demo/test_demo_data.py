import gzip
import hashlib
import json
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hanse.demo.data import load
from hanse.demo.dictionaries import BUNDLED, DICTIONARIES, dictionary_of
from hanse.errors import ConfigurationError

# The five full sets are not shipped. Set HANSE_DATA to the folder that holds them to test them too:
#     HANSE_DATA=~/data .venv/bin/pytest tests/demo
FULL_SETS = os.environ.get("HANSE_DATA")

HEADER = (
    "age,job,marital,education,default,balance,housing,loan,contact,day,month,duration,campaign,pdays,"
    "previous,poutcome,y"
)
ROW = "30,services,single,primary,no,0,no,no,cellular,5,may,9,1,-1,0,unknown,"


def write_set(
    folder: Path, *, header: str = HEADER, rows: list[str] | None = None, name: str = "bank_full"
) -> Path:
    rows = [ROW + "yes", ROW + "no", ROW + "no"] if rows is None else rows
    folder.mkdir(exist_ok=True)
    table = "\n".join([header, *rows]) + "\n"
    (folder / f"{name}.csv.gz").write_bytes(gzip.compress(table.encode()))
    split = "row,fold,org\n" + "".join(f"{row},{row % 2},0\n" for row in range(len(rows)))
    (folder / "split.csv.gz").write_bytes(gzip.compress(split.encode()))
    (folder / "spec.json").write_text(json.dumps({"name": name, "label": "y", "positive": "yes"}))
    return folder


def refused(folder: Path, code: str = "config.bad-data") -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder)
    assert caught.value.code == code
    return caught.value.detail


def assert_covered(source: Path | None) -> None:
    """Every value has its own cell, so that nothing falls into "other" unseen."""
    data = load(source)
    for column in data.dictionary.columns:
        values = data.rows.columns[column.name]
        if column.kind == "categorical":
            known = {value for value in values.tolist() if value is not None}
            assert known <= set(column.categories), column.name
        else:
            assert values.dtype == np.float64
            known_values = values.astype(np.float64)[~np.isnan(values.astype(np.float64))]
            assert len(set(np.digitize(known_values, column.edges))) > 1, f"{column.name} falls into one bin"


def test_bundled_bytes_are_the_published_ones() -> None:
    data = gzip.decompress(files("hanse.demo").joinpath("bundled", "bank.csv.gz").read_bytes())
    expected = "6bae8fb9d6db2607784e9574054da26944e8a1b6c9ca3f449e20265d2d99c912"
    assert hashlib.sha256(data).hexdigest() == expected
    readme = Path(__file__).parents[2] / "examples" / "bank-marketing" / "README.md"
    assert expected in readme.read_text(), "the README names the digest"
    link = readme.parent / "bank.csv.gz"
    assert gzip.decompress(link.read_bytes()) == data


def test_bundled_set() -> None:
    data = load()
    assert data.dictionary is BUNDLED
    assert len(data.rows) == 4521
    assert data.rows.labels.sum() == 521
    assert "duration" not in data.rows.columns
    assert "id" not in data.rows.columns
    assert "y" not in data.rows.columns
    assert data.groups[0] == "unemployed"


def test_bundled_test_rows_are_a_stratified_fifth_and_stay_the_same() -> None:
    data = load()
    assert data.test.sum() == round(0.2 * 521) + round(0.2 * 4000)
    assert data.rows.labels[data.test].sum() == round(0.2 * 521)
    assert np.array_equal(data.test, load().test)


def test_bundled_dictionary_covers_every_value() -> None:
    assert_covered(None)


@pytest.mark.skipif(FULL_SETS is None, reason="HANSE_DATA does not name the folder of the full sets")
@pytest.mark.parametrize("name", sorted(DICTIONARIES))
def test_full_dictionary_covers_every_value(name: str) -> None:
    source = Path(FULL_SETS or "") / name
    assert_covered(source)
    data = load(source)
    assert data.test.mean() == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("dictionary", [BUNDLED, *DICTIONARIES.values()], ids=lambda item: item.name)
def test_dictionaries_are_sound(dictionary: object) -> None:
    assert isinstance(dictionary, type(BUNDLED))
    names = [column.name for column in dictionary.columns]
    assert len(set(names)) == len(names)
    assert dictionary.label not in names
    assert not set(names) & set(dictionary.left_out)
    assert set(dictionary.natural_key) <= set(names)
    for column in dictionary.columns:
        assert (column.classification == "sensitive") == (column.necessity is not None), column.name


def test_folder_set(tmp_path: Path) -> None:
    data = load(write_set(tmp_path))
    assert data.dictionary.name == "bank_full"
    assert data.test.tolist() == [True, False, True]
    assert data.rows.labels.tolist() == [True, False, False]
    assert data.rows.columns["age"].tolist() == [30.0, 30.0, 30.0]


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    row = ROW.replace("30,services,single", ",services,")
    data = load(write_set(tmp_path, rows=[row + "yes", ROW + "no", ROW + "no"]))
    assert np.isnan(data.rows.columns["age"].astype(np.float64)).tolist() == [True, False, False]
    assert data.rows.columns["marital"].tolist() == [None, "single", "single"]


def test_a_set_without_a_dictionary_is_refused(tmp_path: Path) -> None:
    detail = refused(write_set(tmp_path, name="lottery"))
    assert "no public data dictionary" in detail
    assert "bank_full" in detail
    with pytest.raises(ConfigurationError, match="'lottery'"):
        dictionary_of("lottery")


def test_unknown_and_absent_columns_are_named(tmp_path: Path) -> None:
    assert "shoe" in refused(write_set(tmp_path, header=HEADER.replace("age", "shoe")))
    header, rows = HEADER.removeprefix("age,"), [ROW.removeprefix("30,") + label for label in ("yes", "no")]
    assert "age" in refused(write_set(tmp_path, header=header, rows=rows))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW + "yes", ROW + "maybe"], "must be yes or no"),
        ([ROW + "yes", ROW + "yes"], "must be yes or no"),
        ([ROW.replace("30", "old") + "yes", ROW + "no"], "column age"),
        ([ROW.replace("30", "inf") + "yes", ROW + "no"], "infinite"),
        ([ROW + "yes", "30"], "record 3"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, rows: list[str], words: str) -> None:
    assert words in refused(write_set(tmp_path, rows=rows))


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "spec.json" in refused(tmp_path / "nowhere", "config.missing-file")
    (write_set(tmp_path) / "split.csv.gz").unlink()
    assert "split.csv.gz" in refused(tmp_path, "config.missing-file")


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", gzip.compress(b"\xff\xfe\n1\n"), gzip.compress(b'a,b\n"1,2\n')],
    ids=["empty", "plain", "not-utf-8", "not-csv"],
)
def test_a_file_that_is_no_gzipped_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    (write_set(tmp_path) / "bank_full.csv.gz").write_bytes(content)
    refused(tmp_path)


@pytest.mark.parametrize(
    "spec", ["", "[]", '{"name": "bank_full"}', '{"name": "bank_full", "label": "y", "positive": "no"}']
)
def test_a_spec_that_does_not_fit_is_refused(tmp_path: Path, spec: str) -> None:
    (write_set(tmp_path) / "spec.json").write_text(spec)
    refused(tmp_path)


@pytest.mark.parametrize(
    "split",
    ["row,fold\n0,0\n1,0\n2,0\n", "row,fold\n0,0\n2,1\n1,1\n", "row\n0\n1\n2\n", "row,fold\n0,0\n1,1\n2,1\n"],
)
def test_a_split_that_does_not_fit_is_refused(tmp_path: Path, split: str) -> None:
    (write_set(tmp_path) / "split.csv.gz").write_bytes(gzip.compress(split.encode()))
    refused(tmp_path)
