"""A file appears whole or not at all, and a secret is nobody else's."""

import os
import stat
from pathlib import Path

import pytest

from hanse.crypto import read_secret, write_atomic
from hanse.errors import ConfigurationError


def test_writes_content_and_mode_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o077)
    try:
        write_atomic(path, b"one")
        write_atomic(path, b"two")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_does_not_replace_when_told_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one", overwrite=False)
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        write_atomic(path, b"two", overwrite=False)
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ConfigurationError, match=r"config\.unwritable.*No space left"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.unwritable"):
        write_atomic(tmp_path / "absent" / "file", b"")


def test_reads_a_secret_also_through_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "secret", tmp_path / "link"
    write_atomic(path, b"secret", mode=0o400)
    link.symlink_to(path)
    assert read_secret(link) == b"secret"


def test_pipe_in_the_place_of_a_secret_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigurationError, match="regular file"):
        read_secret(tmp_path / "pipe")


def test_secret_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    write_atomic(path, b"secret", mode=0o600)
    if path.stat().st_uid == 0:
        os.chown(path, 1, 1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="another account"):
        read_secret(path)


def test_huge_secret_is_refused(tmp_path: Path) -> None:
    write_atomic(tmp_path / "secret", bytes((1 << 20) + 1), mode=0o600)
    with pytest.raises(ConfigurationError, match=r"config\.invalid"):
        read_secret(tmp_path / "secret")
