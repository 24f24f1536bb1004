"""Any single byte of a package, changed in any way, fails with a name."""

import secrets
from collections.abc import Callable, Iterable

import pytest
from tests.export.conftest import RUN, MadeLog

from hanse.audit import Event, EventType
from hanse.evidence import verify


def check_each(package: bytes, positions: Iterable[int]) -> None:
    names = set(verify.read_archive(package)) | {
        "the end of the archive",
        "of the archive (after ",
        "file 1 of",
    }
    for position in positions:
        data = bytearray(package)
        data[position] ^= 1 + secrets.randbelow(255)
        results = verify.check_package(verify.Package(bytes(data)))
        said = [detail for _, verdict, detail in results if verdict == verify.FAIL]
        assert said, f"byte {position} is not checked"
        assert any(name in detail for name in names for detail in said), (position, said)


def test_sampled_bytes(package: bytes) -> None:
    step = len(package) // 120
    check_each(package, range(secrets.randbelow(step), len(package), step))


def test_every_byte_of_the_archives_own_structure(package: bytes) -> None:
    """Headers, directory and end: what no hash of a file's content covers."""
    inside: set[int] = set()
    position = 0
    for number, (_, piece) in enumerate(verify.archive(verify.read_archive(package))):
        is_content = number % 2 == 1 and package[position : position + 4] != b"PK\1\2"
        if not is_content:
            inside.update(range(position, position + len(piece)))
        position += len(piece)
    assert position == len(package)
    check_each(package, sorted(inside)[:: max(1, len(inside) // 200)])


@pytest.fixture(scope="module")
def tiny(make_log: Callable[..., MadeLog], monkeypatch_module: pytest.MonkeyPatch) -> bytes:
    """A package of two entries, with a small report and verifier: their content is nothing to the checks."""
    monkeypatch_module.setattr("hanse.evidence.package.VERIFIER", b"# the verifier\n")
    monkeypatch_module.setattr("hanse.evidence.package.to_html", lambda _: b"<p>the report</p>\n")
    made = make_log([Event(type=EventType.MEMBER_INITIALISED)])
    made.log.append(Event(type=EventType.ROUND_DENIED, run=RUN, round=1, decision="deny", reasons=("P15",)))
    return made.package()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterable[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.slow
def test_every_byte(tiny: bytes) -> None:
    check_each(tiny, range(len(tiny)))


@pytest.mark.slow
def test_every_bit_of_manifest_and_checkpoint(tiny: bytes) -> None:
    for name in ("MANIFEST", "checkpoint"):
        content = verify.read_archive(tiny)[name]
        start = tiny.index(content)
        for position in range(start, start + len(content)):
            for bit in range(8):
                data = bytearray(tiny)
                data[position] ^= 1 << bit
                results = verify.check_package(verify.Package(bytes(data)))
                assert any(v == verify.FAIL and name in detail for _, v, detail in results), (name, position)
