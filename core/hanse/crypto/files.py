"""Files that appear whole or not at all, and secrets that only their owner can read."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from hanse.errors import ConfigurationError

_MAX_SECRET_BYTES: Final = 1 << 20
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, overwrite: bool = True) -> None:
    """Writes a file so that a reader, or a machine that lost power, sees all of it or nothing of it.

    The bytes go to a temporary file in the same folder, reach the disk, and get their name in one step; then
    the folder itself reaches the disk.

    Args:
        path: The file. Its folder must exist.
        data: Its whole content.
        mode: Permission bits, not reduced by the umask.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        ConfigurationError: ``config.exists`` if the file exists and may not be replaced,
            ``config.unwritable`` if the file system refuses.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _publish(Path(name), path, overwrite=overwrite)
        finally:
            with contextlib.suppress(FileNotFoundError):  # gone if it was renamed
                Path(name).unlink()
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ConfigurationError("config.exists", f"{path} exists") from error
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {path}: {error.strerror}") from error


def read_secret(path: Path) -> bytes:
    """Reads a secret, and refuses it if anybody but its owner could have read or changed it.

    Args:
        path: The file, or a symbolic link to it.

    Returns:
        Its content, at most 1 MiB.

    Raises:
        ConfigurationError: ``config.missing-file`` if it cannot be read, ``config.insecure-file`` if group or
            others have any permission on it or it belongs to another account, ``config.invalid`` if it is no
            regular file or too large.
    """
    try:
        # Opened without blocking: a pipe in the place of a key must not hang the process.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_secret(path, os.fstat(descriptor))
            data = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_SECRET_BYTES:
        raise ConfigurationError("config.invalid", f"{path} is larger than {_MAX_SECRET_BYTES} bytes")
    return data


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a loss of power.

    Args:
        path: The folder.

    Raises:
        OSError: If the file system refuses.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Gives the finished file its name."""
    if overwrite:
        temporary.replace(path)
    else:
        path.hardlink_to(temporary)  # unlike a rename, a link fails if the name is taken


def _check_secret(path: Path, status: os.stat_result) -> None:
    """Checks what was opened, not what the name points to by now."""
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError("config.invalid", f"{path} is not a regular file")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError("config.insecure-file", f"{path} has mode {mode:04o}; run: chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError("config.insecure-file", f"{path} belongs to another account")
