import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from hanse.client.drafting import read_columns
from hanse.client.settings import NodeSettings
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.demo.prepare import PURPOSE, main, prepare
from hanse.errors import ConfigurationError
from hanse.policies import Column, ConsentLedger, Pseudonymiser

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare(folder, 2, NOW, np.random.default_rng(3))
    return folder


def subjects(folder: Path) -> set[str]:
    rows = duckdb.execute("SELECT subject_id FROM read_parquet(?)", [str(folder / "data.parquet")]).fetchall()
    return {row[0] for row in rows}


def test_each_member_has_its_own_subjects(folder: Path) -> None:
    brand, insurer = (subjects(path) for path in sorted(folder.iterdir()))
    assert brand
    assert insurer
    assert not brand & insurer


def test_consent_file_imports_whole_for_the_subjects_of_the_data(folder: Path, tmp_path: Path) -> None:
    pseudonymiser = Pseudonymiser(bytes(32))
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        report = ledger.ingest_csv(folder / "brand" / "consent.csv", NOW, pseudonymiser)
        snapshot = ledger.snapshot(NOW)
    assert report.refused == ()
    refs = {pseudonymiser.ref(subject) for subject in subjects(folder / "brand")}
    asked = set(snapshot.standings[PURPOSE])
    assert asked
    assert asked <= refs


def test_dictionary_is_the_same_for_all_and_names_columns_of_the_data(folder: Path) -> None:
    brand, insurer = (read_columns(folder / name / "columns.yaml") for name in ("brand", "insurer"))
    assert brand == insurer
    columns = duckdb.execute(
        "SELECT * FROM read_parquet(?) LIMIT 0", [str(folder / "brand" / "data.parquet")]
    ).description
    assert [name for name, *_ in columns] == ["subject_id", *(column.name for column in brand), "y"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigurationError) as caught:
        prepare(tmp_path, 2, NOW, np.random.default_rng(3))
    assert caught.value.code == "config.exists"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare", str(tmp_path / "data"), "--members", "3"])
    main()
    names = [path.name for path in sorted((tmp_path / "data").iterdir())]
    assert len(names) == 3
    printed = capsys.readouterr().out
    assert all(f"{tmp_path / 'data' / name}: " in printed for name in names)


def test_a_member_declares_what_the_dictionary_names(folder: Path, tmp_path: Path) -> None:
    columns = read_columns(folder / "brand" / "columns.yaml")
    hints = DatasetHints(folder / "brand" / "data.parquet", "subject_id", "y", columns)
    init_member(tmp_path / "brand", Organisation("brand", "Visby Motors", "DE", "DE"), hints, NOW)
    declared = NodeSettings.load(tmp_path / "brand").dataset.columns
    assert [(own.name, own.kind, own.classification) for own in declared] == [
        (column.name, column.kind, column.classification) for column in columns
    ]


def test_a_dictionary_of_other_data_is_refused(folder: Path, tmp_path: Path) -> None:
    absent = Column(name="height", kind="numeric", classification="basic", edges=(1.5, 1.8))
    hints = DatasetHints(folder / "brand" / "data.parquet", "subject_id", "y", (absent,))
    with pytest.raises(ConfigurationError, match="height"):
        init_member(tmp_path / "brand", Organisation("brand", "Visby Motors", "DE", "DE"), hints, NOW)
    assert not (tmp_path / "brand").exists()
