"""Files of `hanse score`: rows are read or refused by their number, and what was answered is kept."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.client.scoring.calls import shown
from hanse.client.scoring.state import Answered, JobHeader, StateFile
from hanse.client.scoring.tables import Column, InputFile, write_table
from hanse.errors import ConfigurationError

SECRET = "value-of-somebody"


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write_parquet(path: Path, ids: Sequence[object]) -> Path:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (subject_id VARCHAR, age DOUBLE)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(one, 0.1) for one in ids])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.parquet"])
def test_rows_come_in_batches_in_their_order(tmp_path: Path, name: str) -> None:
    path, ids = tmp_path / name, [f"c{number}" for number in range(5)]
    if name.endswith("parquet"):
        write_parquet(path, ids)
    else:
        write_csv(path, [("age", "subject_id"), *(("0.1", one) for one in ids)])
    source = InputFile(path, "subject_id")
    assert source.check() == 5
    batches = list(source.batches(2, ["age"]))
    assert [(batch.sequence, batch.subject_ids) for batch in batches] == [
        (0, ("c0", "c1")),
        (1, ("c2", "c3")),
        (2, ("c4",)),
    ]
    assert batches[2].columns == {"age": ("0.1",)}
    assert list(source.batches(2, ["age"], first=1)) == batches[1:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"id\n{SECRET}\n", "has no columns subject_id"),
        (f"subject_id,subject_id\n{SECRET},1\n", "has 2 columns subject_id"),
        (f"subject_id,x\n{SECRET},1\n{SECRET},1,2\n", "row 2: it has 3 cells, the header has 2"),
        (f"subject_id,x\n{SECRET},1\n  ,1\n", "row 2: column subject_id is empty"),
        (f"subject_id\n{SECRET * 40}\n", "row 1: column subject_id has more than 512 bytes"),
        (f'subject_id\n"{SECRET}\n', "row 1: it is not CSV in UTF-8"),
        ("subject_id\n", "has no rows"),
        ("", "has no columns subject_id"),
    ],
)
def test_a_row_that_cannot_be_asked_about_is_named_by_its_number(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "in.csv"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        InputFile(path, "subject_id").check()
    assert caught.value.code == "config.bad-data"
    assert said in caught.value.detail
    assert SECRET not in str(caught.value)


def test_a_subject_that_is_null_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="row 3: column subject_id is empty"):
        InputFile(write_parquet(tmp_path / "in.parquet", ["a", "b", None]), "subject_id").check()


def test_files_that_cannot_be_read_are_said_to_be(tmp_path: Path) -> None:
    for name, code in [("none.csv", "config.missing-file"), ("in.txt", "config.invalid")]:
        with pytest.raises(ConfigurationError) as caught:
            InputFile(tmp_path / name, "subject_id")
        assert caught.value.code == code


@given(st.binary(max_size=300), st.sampled_from([".csv", ".csv.gz", ".parquet"]))
@settings(max_examples=20, deadline=None)
def test_a_file_of_any_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"in{ending}"
    path.write_bytes(b"subject_id\n" + body if ending == ".csv" else body)
    try:
        assert InputFile(path, "subject_id").check() >= 1
    except ConfigurationError as error:
        assert error.code in {"config.bad-data", "config.missing-file"}  # noqa: PT017


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    columns = [Column("id", numeric=False), Column("score", numeric=True), Column("rule", numeric=False)]
    rows = [('a,"b"\nc', 0.43, None), ("007", None, "P26"), ("ü", 1.0, "")]
    write_table(tmp_path / name, columns, rows)
    with duckdb.connect() as connection:
        kind = "read_parquet" if name.endswith("parquet") else "read_csv"
        options = "" if kind == "read_parquet" else ", all_varchar=true, header=true"
        found = connection.execute(
            f"SELECT id, CAST(score AS FLOAT), rule FROM {kind}('{tmp_path / name}'{options})"  # noqa: S608
        ).fetchall()
    assert [
        (one, score if score is None else round(score, 6), rule or None) for one, score, rule in found
    ] == [
        ('a,"b"\nc', 0.43, None),
        ("007", None, "P26"),
        ("ü", 1.0, None),
    ]
    assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


HEADER = JobHeader(
    input="0" * 64, rows=5, id_column="id", by="subject", model="m", version="", purpose="p", batch_rows=2
)


def answered(sequence: int, rows: int = 2) -> Answered:
    return Answered(sequence=sequence, scores=(0.5,) * (rows - 1) + (None,), rules={"P26": (rows - 1,)})


def test_a_state_that_was_cut_off_anywhere_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFile(path, HEADER) as state:
        for sequence, rows in enumerate((2, 2, 1)):
            state.append(answered(sequence, rows))
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for cut in sorted(
        {*range(0, len(whole), 23), *ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])}
    ):
        path.write_bytes(whole[:cut])
        with StateFile(path, HEADER) as state:
            assert state.done == max(0, sum(end <= cut for end in ends) - 1)
            for sequence in range(state.done, 3):
                state.append(answered(sequence, 1 if sequence == 2 else 2))
            assert state.finished
        assert path.read_bytes() == whole


def test_a_state_is_of_one_job_and_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFile(path, HEADER), pytest.raises(ConfigurationError, match="another process"):
        StateFile(path, HEADER)
    other = HEADER.model_copy(update={"input": "1" * 64, "purpose": "q"})
    with pytest.raises(ConfigurationError, match=r"another job \(input, purpose\)"):
        StateFile(path, other)
    with StateFile(path, HEADER) as state:
        for wrong in (answered(1), answered(0, 1)):
            with pytest.raises(ConfigurationError, match="batch 0 is not what is due"):
                state.append(wrong)


@given(st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_a_state_of_any_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "state"
    first = json.dumps(HEADER.model_dump(mode="json")).encode() + b"\n"
    for start in (b"", first):
        path.write_bytes(start + body)
        try:
            with StateFile(path, HEADER) as state:
                assert state.done == 0
        except ConfigurationError as error:
            assert error.code == "config.bad-data"  # noqa: PT017


@given(st.floats(0, 1, width=32), st.integers(0, 6))
def test_a_rounded_score_is_shown_as_it_was_rounded(score: float, decimals: int) -> None:
    rounded = round(score, decimals)
    assert shown(float(np.float32(rounded))) == rounded
