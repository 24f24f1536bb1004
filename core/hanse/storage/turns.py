"""Writers of one machine who queue, instead of looking again and again whether it is their turn.

SQLite excludes writers, but a process that finds another one writing sleeps, up to a tenth of a second, and
tries again; between busy writers it may miss its chance for seconds. Here they wait in the kernel, which
wakes them when the one before is done.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WouldWaitError(Exception):
    """Another writer is at work, and who asks does not wait for it."""


@contextmanager
def turn(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Waits until it is this writer's turn; the next one's comes when the block is left.

    It is about who waits how long, and excludes nobody: who cannot lock the file goes on without, and a
    process that ends has no turn any more. Whoever is stopped during its turn holds up the others until it
    goes on or ends.

    Args:
        path: The database file; what is locked is an empty file beside it.
        wait: Whether to wait at all.

    Raises:
        WouldWaitError: Where that is not wanted, and it is another one's turn.
    """
    try:
        lock = os.open(f"{path}-turn", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise WouldWaitError from None
    try:
        yield
    finally:
        os.close(lock)  # and with it the lock: nobody else has this open file
