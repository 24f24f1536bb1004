"""The file of a log: locked, appended to durably, rolled back when the disk refuses.

The lock is the kernel's, on the log itself (``flock``): no second file whose loss would let two writers in,
and a process that dies releases it.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanse.errors import AuditError

LOCK_TIMEOUT_S: Final = 30.0
_LOCK_POLL_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class FileOperations:
    """The calls that make bytes durable; tests put failing ones here.

    Attributes:
        write: As :func:`os.write`.
        sync: As :func:`os.fsync`.
        truncate: As :func:`os.ftruncate`.
    """

    write: Callable[[int, memoryview], int] = os.write
    sync: Callable[[int], None] = os.fsync
    truncate: Callable[[int, int], None] = os.ftruncate


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A log file while nobody else writes to it.

    Attributes:
        descriptor: Of the open file.
        operations: How to write.
    """

    descriptor: int
    operations: FileOperations

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return os.fstat(self.descriptor).st_size

    def read_from(self, offset_bytes: int) -> bytes:
        """All bytes from an offset on."""
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(offset_bytes)
            return file.read()

    def append(self, data: bytes) -> None:
        """Appends bytes; they are durable on return, and gone again if this raises.

        Args:
            data: What to append.

        Raises:
            OSError: If the disk refuses.
        """
        before = self.size_bytes
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.operations.write(self.descriptor, rest) :]
            self.operations.sync(self.descriptor)
        except BaseException:
            # If this fails as well, the next append finds the bytes and removes or completes them.
            with contextlib.suppress(OSError):
                self.cut(before)
            raise

    def cut(self, size_bytes: int) -> None:
        """Removes all bytes from an offset on, durably.

        Args:
            size_bytes: What is left.

        Raises:
            OSError: If the disk refuses.
        """
        self.operations.truncate(self.descriptor, size_bytes)
        self.operations.sync(self.descriptor)


@contextlib.contextmanager
def locked(
    path: Path, operations: FileOperations, *, timeout_s: float = LOCK_TIMEOUT_S
) -> Iterator[LockedFile]:
    """Opens a log file and keeps every other process from writing to it.

    The file is opened anew each time: a lock belongs to an open file, which a forked child would share.

    Args:
        path: The file.
        operations: How to write.
        timeout_s: How long to wait for others.

    Yields:
        The file.

    Raises:
        AuditError: ``audit.unavailable`` if the file cannot be opened, locked, read or written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            _lock(descriptor, fcntl.LOCK_EX, timeout_s)
            yield LockedFile(descriptor, operations)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise AuditError("audit.unavailable", f"{path}: {error.strerror or error}") from error


def read_lines(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[bytes]:
    """Reads a log file line by line, up to what was committed when the reading began.

    Writers wait only until the length is known, not until the reader is done.

    Args:
        path: The file. It need not be writable.
        timeout_s: How long to wait for a writer.

    Yields:
        Lines with their newline; the last one may lack it.

    Raises:
        AuditError: ``audit.unavailable`` if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            _lock(file.fileno(), fcntl.LOCK_SH, timeout_s)
            rest_bytes = os.fstat(file.fileno()).st_size
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)
            while line := file.readline(rest_bytes):
                rest_bytes -= len(line)
                yield line
    except OSError as error:
        raise AuditError("audit.unavailable", f"{path}: {error.strerror or error}") from error


def _lock(descriptor: int, kind: int, timeout_s: float) -> None:
    """Waits for a lock, but not for ever: a writer that hangs must not hang the others."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has kept it locked for {timeout_s} s") from None
            time.sleep(_LOCK_POLL_S)
        else:
            return
