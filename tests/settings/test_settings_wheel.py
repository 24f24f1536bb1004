"""What is installed: the files that the build picks, without building."""

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cli", "client", "core", "policies", "protos", "server")


@pytest.fixture(scope="module")
def picked() -> set[str]:
    """Paths within the wheel."""
    return {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}


def test_every_source_and_every_file_beside_it_is_installed(picked: set[str]) -> None:
    there = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder / "hanse").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert there == picked


@pytest.mark.parametrize(
    "path",
    [
        "hanse/evidence/verify.py",
        "hanse/evidence/report.css",
        "hanse/evidence/py.typed",
        "hanse/api/v1/audit_pb2.py",
        "hanse/api/v1/audit_pb2.pyi",
        "hanse/api/v1/audit_pb2_grpc.py",
        "hanse/policies/packs/builtin/gdpr.yaml",
        "hanse/policies/packs/builtin/pipl.yaml",
    ],
)
def test_what_is_read_from_the_installation_is_there(picked: set[str], path: str) -> None:
    assert path in picked


def test_nothing_else_takes_a_name_in_the_installation(picked: set[str]) -> None:
    assert {path.split("/")[0] for path in picked} == {"hanse"}
    assert "hanse/__init__.py" not in picked
