"""``verify.py`` on a machine that has Python and ``cryptography``, and nothing of Hanse."""

import ast
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import cryptography
import pytest
from tests.export.conftest import MadeLog, events_of_run

from hanse.audit import Event, EventType
from hanse.crypto.cosigning import CosignerKey
from hanse.evidence import verify

ALONE = """
import runpy, sys
sys.path.append(sys.argv[1])
for name in ("hanse", "pydantic", "sqlalchemy", "numpy"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} can be imported: this proves nothing")
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cryptography and what it needs."""
    folder = tmp_path_factory.mktemp("libraries")
    site = Path(str(cryptography.__file__)).parents[1]
    for source in (site / "cryptography", *site.glob("cffi"), *site.glob("_cffi_backend*")):
        (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture
def run(libraries: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def start(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", "-B", "-c", ALONE, libraries, script, *arguments]
        return subprocess.run(
            list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    return start


def test_verifies_alone(
    package: bytes, member_log: MadeLog, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(package)
    with zipfile.ZipFile(path) as archive:
        script = Path(archive.extract("verify.py", tmp_path))
    key = member_log.key.verifier.encode()
    done = run(script, path, "--key", key, "--save", tmp_path / "mine.checkpoint")
    assert (done.returncode, done.stderr) == (0, "")
    assert "VERIFIED" in done.stdout
    assert "FAIL" not in done.stdout
    done = run(script, path, "--since", tmp_path / "mine.checkpoint")
    assert done.returncode == 0
    assert "the first 7 entries are still those of the checkpoint that you saved" in done.stdout


def test_fails_alone(
    package: bytes, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "package.zip"
    at = package.index(b'"rows_out":899', package.index(b"entries.jsonl"))
    path.write_bytes(package[:at] + b'"rows_out":898' + package[at + 14 :])
    done = run(Path(verify.__file__), path, "--save", tmp_path / "mine.checkpoint")
    assert done.returncode == 1
    assert "entries.jsonl: its bytes" in done.stdout
    assert "entry 2: is not decoded as it is" in done.stdout
    assert "NOT VERIFIED" in done.stdout
    assert not (tmp_path / "mine.checkpoint").exists()


def test_post_quantum_witnesses_alone(
    make_log: Callable[..., MadeLog],
    tmp_path: Path,
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    made, witness = make_log(events_of_run()), CosignerKey.generate("regulator", "ml-dsa-44")
    made.log.append(Event(type=EventType.SCORER_STARTED))
    made.cosign(witness)
    path = tmp_path / "package.zip"
    path.write_bytes(made.package(policy=made.policy(1, witness)))
    done = run(Path(verify.__file__), path, "--key", witness.verifier.encode())
    assert done.returncode == 0
    assert "co-signed by regulator; you gave 1 of these keys" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["nothing.zip"], ["package.zip", "--key", "nonsense"]])
def test_wrong_use_is_told(
    arguments: list[str],
    package: bytes,
    tmp_path: Path,
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    (tmp_path / "package.zip").write_bytes(package)
    done = run(Path(verify.__file__), *arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_is_one_readable_file_for_python_3_9() -> None:
    source = Path(verify.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) < 600
    tree = ast.parse(source, feature_version=(3, 9))
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules <= sys.stdlib_module_names | {"cryptography"}
