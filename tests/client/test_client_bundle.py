"""Only configuration is accepted, and the check is total."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.client.flower.bundle import CLIENT_APP, MAX_BUNDLE_BYTES, MAX_CONFIG_BYTES, check_bundle
from hanse.errors import ProtocolError

CONFIG = f"""\
[project]
name = "hanse-run"
dependencies = []
[tool.flwr.app.components]
clientapp = "{CLIENT_APP}"
"""


def bundle(files: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def refused(content: bytes, told: str) -> None:
    with pytest.raises(ProtocolError, match=told) as caught:
        check_bundle(content)
    assert caught.value.code == "protocol.code-in-bundle"


def test_configuration_is_accepted() -> None:
    check_bundle(bundle({"pyproject.toml": CONFIG}))
    check_bundle(bundle({"pyproject.toml": CONFIG, "README.md": "", ".info/CONTENT": ""}, zipfile.ZIP_STORED))
    check_bundle(bundle({"pyproject.toml": CONFIG.replace("dependencies = []\n", "")}))


def test_the_coordinators_own_bundle_is_accepted() -> None:
    from hanse.server.flower.bundle import build_bundle

    check_bundle(build_bundle())


@pytest.mark.parametrize("name", ["client.py", "hanse/client.py", "a.so", "README.md/x", "../pyproject.toml"])
def test_every_other_file_is_refused(name: str) -> None:
    refused(bundle({"pyproject.toml": CONFIG, name: "print()"}), "1 files that are not configuration")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused() -> None:
    out = io.BytesIO(bundle({"pyproject.toml": CONFIG}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("pyproject.toml", CONFIG)
    refused(out.getvalue(), "not configuration")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (CONFIG.replace("hanse.client", "evil.client"), "another client app"),
        (CONFIG.replace(f'clientapp = "{CLIENT_APP}"', ""), "another client app"),
        (CONFIG.replace("[]", '["evil"]'), "asks for installations"),
        (CONFIG.replace("[project]", "[projects]"), "unreadable"),
        (CONFIG.replace("[tool.flwr.app.components]", "[[tool.flwr.app.components]]"), "unreadable"),
        ("project = 1", "unreadable"),
        ('project = "x"\n[tool.flwr.app.components]', "unreadable"),
        ("not TOML", "unreadable"),
        ("x = " + "1" * 5000, "unreadable"),
        ("x = " + "[" * 20_000, "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (CONFIG + "#" * MAX_CONFIG_BYTES, "oversized"),
    ],
)
def test_every_other_configuration_is_refused(config: str | bytes, told: str) -> None:
    refused(bundle({"pyproject.toml": config}), told)


def test_a_bundle_without_configuration_is_refused() -> None:
    refused(bundle({"README.md": ""}), "KeyError")


def test_a_large_bundle_is_refused_unopened() -> None:
    refused(b"\0" * (MAX_BUNDLE_BYTES + 1), f"{MAX_BUNDLE_BYTES + 1} bytes")


def test_a_zip_bomb_is_not_unpacked() -> None:
    """Fifty megabytes in fifty kilobytes: no more is unpacked than a configuration may have."""
    bomb = bundle({"pyproject.toml": CONFIG.encode() + b"#" * 50_000_000})
    assert len(bomb) < MAX_BUNDLE_BYTES
    refused(bomb, "oversized")
    check_bundle(bundle({"pyproject.toml": CONFIG, "README.md": b"\0" * 10_000_000}))


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_unusual_compressions_are_refused(compression: int) -> None:
    refused(bundle({"pyproject.toml": CONFIG}, compression), "unusual compression")


def test_an_encrypted_file_is_refused() -> None:
    content = bytearray(bundle({"pyproject.toml": CONFIG}))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    refused(bytes(content), "RuntimeError")


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=400))
def test_random_bytes_are_refused(content: bytes) -> None:
    refused(content, "bundle refused")


GOOD = bundle({"pyproject.toml": CONFIG})


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_bundle_is_refused_or_still_only_configuration(data: Any) -> None:
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    # Whatever else is raised fails the test.
    with contextlib.suppress(ProtocolError):
        check_bundle(bytes(content))
