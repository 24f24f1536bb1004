"""The layout of the sources: one native namespace package, typed, in layers that a tool enforces."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cli", "client", "core", "policies", "protos", "server")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PARTS = sorted(path.parent for folder in FOLDERS for path in (ROOT / folder / "hanse").glob("*/__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_namespace_has_no_init_file(folder: str) -> None:
    assert (ROOT / folder / "hanse").is_dir()
    assert not (ROOT / folder / "hanse" / "__init__.py").exists()


def test_parts_are_where_they_should_be() -> None:
    names = [part.name for part in PARTS]
    assert {"cli", "client", "crypto", "audit", "policies", "privacy", "learning", "server"} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.name))
def test_every_part_is_typed(part: Path) -> None:
    assert (part / "py.typed").is_file()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.name))
def test_imports_are_absolute(part: Path) -> None:
    relative = re.compile(r"^\s*from \.", re.MULTILINE)
    offenders = [path for path in part.rglob("*.py") if relative.search(path.read_text(encoding="utf-8"))]
    assert offenders == []


def test_every_part_is_in_the_contract_and_in_the_wheel() -> None:
    contract = PROJECT["tool"]["importlinter"]
    roots = set(contract["root_packages"])
    assert {f"hanse.{part.name}" for part in PARTS} - {"hanse.api"} <= roots
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {f"{folder}/hanse" for folder in FOLDERS} == set(wheel["only-include"])


def test_every_root_has_its_layer() -> None:
    contract = PROJECT["tool"]["importlinter"]
    [layers] = [item["layers"] for item in contract["contracts"] if item["type"] == "layers"]
    assert set(re.split(r" \| ", " | ".join(layers))) == set(contract["root_packages"])


def test_the_contracts_are_kept() -> None:
    """As ``make lint`` checks it; no import, however indirect, may go up."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]


@pytest.mark.parametrize(
    "name", ["hanse.client", "hanse.client.home", "hanse.errors", "hanse.settings", "hanse.policies"]
)
def test_light_parts_load_no_engine(name: str) -> None:
    heavy = "torch", "opacus", "flwr", "duckdb"
    code = f"import sys, {name}; sys.exit(any(m in sys.modules for m in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
