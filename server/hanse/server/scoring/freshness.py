"""Whether this replica learns of withdrawals: if it does not, it stops answering until it does again.

A thread of its own reads the head of the consent ledger, again and again, over a connection of its own. A
read that hangs, a server that is gone and a file that was moved away all end in the same: no read succeeds,
and after the bound nothing is answered. With the time at which a call's consents were read, which the scorer
looks at when the answer is in the log (:meth:`Freshness.counts`), this makes the bound: no score leaves later
than that after the withdrawal was committed.

A thread that was not given the processor is no ledger that cannot be read. Where the ledger is a file, which
calls read themselves, a call that finds the last read too old reads at once. A database could hang; there,
only the thread waits for it.

Seconds are those of :func:`elapsed_s`: nobody turns it back.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from hanse.errors import HanseError, PolicyError, ServingError
from hanse.policies import ConsentLedger

READS_PER_BOUND: Final = 4
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger(__name__)


def elapsed_s() -> float:
    """Monotonic time, seconds; where the system can (Linux), it goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Freshness(Protocol):
    """How old what a call is decided on may be."""

    @property
    def fresh(self) -> bool:
        """Whether calls can be answered; looks at the ledger if nobody has for too long."""
        ...

    @property
    def age_s(self) -> float | None:
        """Since when the consents are known to be current, seconds; None if nobody follows them."""
        ...

    def require(self) -> None:
        """Refuses to go on while the ledger is not followed.

        Raises:
            ServingError: ``scoring.stale``.
        """
        ...

    def counts(self, read_at: float) -> bool:
        """Whether consents count still.

        Args:
            read_at: :func:`elapsed_s` before they were read.
        """
        ...

    def settled(self, read_at: float) -> bool:
        """Whether they count for as long again: a process that is held up on its way out is still in time.

        Args:
            read_at: :func:`elapsed_s` before they were read.
        """
        ...


class Unbounded:
    """Whatever was read counts for ever: for a scorer without a process around it."""

    fresh = True
    age_s = None

    def require(self) -> None:
        """See :meth:`Freshness.require`."""

    def counts(self, read_at: float) -> bool:
        """See :meth:`Freshness.counts`."""
        return read_at < math.inf

    def settled(self, read_at: float) -> bool:
        """See :meth:`Freshness.settled`."""
        return self.counts(read_at)


@contextmanager
def reading_consents() -> Iterator[None]:
    """Within it, a ledger that cannot be read refuses the call as one that was not read in time does.

    Raises:
        ServingError: ``scoring.stale`` in the place of ``policy.ledger``.
    """
    try:
        yield
    except PolicyError as error:
        if error.code != "policy.ledger":
            raise
        raise ServingError("scoring.stale", error.detail) from error


class _Reader:
    """Reads a ledger's head again only where something was committed; to see that costs next to nothing.

    Args:
        ledger: An open ledger, used by one thread.
    """

    def __init__(self, ledger: ConsentLedger) -> None:
        self._ledger = ledger
        self._watch = ledger.watch()
        self._version: Hashable = None
        self._head = 0

    def head(self) -> int:
        """Number of the last event."""
        version = self._watch.version()
        if version != self._version:
            self._head = self._ledger.head()
            self._version = version
        return self._head


class LedgerFollower:
    """Reads the ledger's head in a thread, and knows when it last did.

    Args:
        place: The ledger: a file, or the URL of a database. It was opened just now.
        bound_s: For how long a read counts, seconds.
        ledger: The same, as calls read it.
        clock: Monotonic, seconds.
    """

    def __init__(
        self,
        place: Path | str,
        bound_s: float,
        ledger: ConsentLedger,
        clock: Callable[[], float] = elapsed_s,
    ) -> None:
        self._place = place
        self._bound_s = bound_s
        self._ledger = ledger
        self._clock = clock
        self._file = _identity(place)
        self._seen = clock()
        self._head = 0
        self._guard = threading.Lock()  # around the two above
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ledger-follower", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self) -> None:
        """Reads no more; does not wait for a read that hangs."""
        self._stopping.set()

    @property
    def fresh(self) -> bool:
        """See :attr:`Freshness.fresh`. A read counts from when it began."""
        if self.age_s > self._bound_s and self._file is not None:
            with suppress(HanseError):
                self._look(self._ledger.head)
        return self.age_s <= self._bound_s

    @property
    def age_s(self) -> float:
        """Since when the consents are known to be current, seconds."""
        return self._clock() - self._seen

    def require(self) -> None:
        """See :meth:`Freshness.require`."""
        if not self.fresh:
            raise ServingError("scoring.stale", "the consent ledger cannot be read, or is not the one opened")

    def counts(self, read_at: float) -> bool:
        """See :meth:`Freshness.counts`."""
        return self._clock() - read_at <= self._bound_s

    def settled(self, read_at: float) -> bool:
        """See :meth:`Freshness.settled`."""
        return self._clock() - read_at <= self._bound_s / 2

    def _follow(self) -> None:
        """Opens the ledger, reads until that fails, and opens it again."""
        while not self._stopping.is_set():
            try:
                self._require_same()
                with ConsentLedger(self._place) as ledger:
                    reader = _Reader(ledger)
                    while not self._stopping.is_set():
                        self._look(reader.head)
                        self._stopping.wait(self._bound_s / READS_PER_BOUND)
            except HanseError as error:
                _log.warning("withdrawals cannot be followed: %s", error)
            self._stopping.wait(self._bound_s / READS_PER_BOUND)

    def _look(self, read: Callable[[], int]) -> None:
        began, known = self._clock(), self._head
        self._require_same()
        head = read()
        if head < known:
            raise PolicyError("policy.ledger", f"the ledger had {known} events and has {head}")
        with self._guard:
            self._head, self._seen = max(self._head, head), max(self._seen, began)

    def _require_same(self) -> None:
        """The calls read the file that was opened; events of another one would not reach them."""
        if _identity(self._place) != self._file:
            raise PolicyError("policy.ledger", "another file, or none, is where the consent ledger was")


def _identity(place: Path | str) -> tuple[int, int] | None:
    """Which file lies there; None if there is none, or it is a database."""
    if isinstance(place, str) and "://" in place:
        return None
    try:
        found = Path(place).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
