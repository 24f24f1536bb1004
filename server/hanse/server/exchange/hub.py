"""All sessions of this coordinator, and how a member's call finds its own."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_bytes
from time import monotonic
from typing import Self

from hanse.api.v1 import exchange_pb2 as pb
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.exchange import INCARNATION_BYTES, PROTOCOL, Limits, Link, Timing
from hanse.server.exchange.exchange import Exchange
from hanse.server.exchange.metrics import ExchangeMetrics

TICK_S = 0.5

log = logging.getLogger("hanse.server.exchange")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the coordinator one member can hold.

    Attributes:
        sessions: Sessions of one member that are open at a time.
        calls: Calls of one member at a time; a call that waits for its session counts.
        hello_s: How long a call may take to say what it wants, seconds.
        announce_s: How long a call waits for a session that is not open yet, seconds.
        linger_s: How long a session that the coordinator has ended waits for the member to know, seconds.
    """

    sessions: int = 8
    calls: int = 12
    hello_s: float = 10.0
    announce_s: float = 5.0
    linger_s: float = 10.0


class Hub:
    """See the module docstring; thread-safe. Use it as a context manager, or close it.

    Args:
        limits: Sizes of every session; members must have the same.
        timing: Times of every session.
        bounds: How much one member can hold.
    """

    def __init__(
        self, limits: Limits | None = None, timing: Timing | None = None, bounds: Bounds | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        self._bounds = bounds or Bounds()
        self.metrics = ExchangeMetrics()
        self.metrics.sessions.set_function(lambda: len(self._live()))
        self.metrics.connections.set_function(lambda: sum(link.attached for link in self._live()))
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._closed_s: dict[tuple[str, str], float] = {}
        self._calls: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="exchange", daemon=True)
        self._sweeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, run: str, phase: str, members: Collection[str]) -> Exchange:
        """Announces a phase: from now on these members may open their sessions of it.

        Args:
            run: The run.
            phase: Name of the phase, new within the run.
            members: Names of members of the run's agreement.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if there is such a phase already.
            TrainingError: ``exchange.limit`` if a member has too many sessions; ``exchange.closed`` if this
                coordinator stops.
        """
        names = frozenset(members)
        with self._changed:
            if self._stopping.is_set():
                raise TrainingError("exchange.closed", "the coordinator stops")
            if (run, phase) in self._exchanges:
                raise ProtocolError("protocol.unexpected-step", f"phase {phase} of {run} is there already")
            busy = Counter(link.name for link in self._live())
            full = sorted(name for name in names if busy[name] >= self._bounds.sessions)
            if full:
                raise TrainingError("exchange.limit", f"too many sessions: {', '.join(full)}")
            links = {name: self._link(name, names - {name}) for name in sorted(names)}
            exchange = self._exchanges[run, phase] = Exchange(run, phase, links, self.metrics)
            self._changed.notify_all()
        return exchange

    def connect(
        self,
        member: str,
        requests: Iterator[pb.MemberFrame],
        cut: Callable[[], object],
        admit: Callable[[str], None],
    ) -> Iterator[pb.CoordinatorFrame]:
        """Serves one call of a member.

        Args:
            member: Its enrolled name; the caller has authenticated it.
            requests: What it sends.
            cut: Ends the call; called from other threads.
            admit: Raises unless the member takes part in the named run.

        Yields:
            What is to be sent to it.

        Raises:
            HanseError: Why the call is refused or has ended.
        """
        try:
            with self._counted(member):
                hello = self._hello(requests, cut)
                admit(hello.run)
                exchange = self._find(member, hello)
                yield from exchange.converse(member, hello, requests, cut)
        except HanseError as error:
            self.metrics.refusals.labels(error.code).inc()
            raise

    def close(self) -> None:
        """Breaks all sessions: the coordinator stops."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for link in self._live():
            link.fail(TrainingError("run.interrupted", "the coordinator stops"))
        self._sweeper.join()

    def _link(self, member: str, others: frozenset[str]) -> Link:
        return Link(member, token_bytes(INCARNATION_BYTES), self._limits, self._timing, peers=others)

    def _live(self) -> list[Link]:
        links = [link for exchange in list(self._exchanges.values()) for link in exchange.links.values()]
        return [link for link in links if not link.over]

    @contextmanager
    def _counted(self, member: str) -> Iterator[None]:
        with self._changed:
            if self._calls[member] >= self._bounds.calls:
                raise TrainingError("exchange.limit", f"{member} has too many calls open")
            self._calls[member] += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls[member] -= 1

    def _hello(self, requests: Iterator[pb.MemberFrame], cut: Callable[[], object]) -> pb.Hello:
        timer = threading.Timer(self._bounds.hello_s, cut)
        timer.daemon = True
        timer.start()
        try:
            first = next(requests, None)
        finally:
            timer.cancel()
        if first is None or first.WhichOneof("content") != "hello":
            raise ProtocolError("protocol.malformed", "the first frame is no greeting")
        if first.hello.protocol != PROTOCOL:
            raise ProtocolError("protocol.version", f"version {first.hello.protocol} instead of {PROTOCOL}")
        return first.hello

    def _find(self, member: str, hello: pb.Hello) -> Exchange:
        """The exchange with the member's session, which may be announced a little after it is asked for."""
        key = (hello.run, hello.phase)
        wait_s = 0.0 if hello.known else self._bounds.announce_s
        with self._changed:
            self._changed.wait_for(lambda: key in self._exchanges or self._stopping.is_set(), wait_s)
            exchange = self._exchanges.get(key)
            another = any(run == hello.run for run, _ in self._exchanges)
        if exchange is not None and member in exchange.links:
            return exchange
        if hello.known or (exchange is None and another):
            # Phases are opened one after the other, before anybody is told of them: that one is over.
            raise ProtocolError("exchange.restarted", f"{member} resumes a session that is not here any more")
        raise TrainingError("exchange.unknown-session", f"no session of {member} is open under this name")

    def _sweep(self) -> None:
        while not self._stopping.wait(TICK_S):
            for key, exchange in list(self._exchanges.items()):
                exchange.tick()
                if exchange.closed.is_set() or not any(not link.over for link in exchange.links.values()):
                    self._closed_s.setdefault(key, monotonic())
                if monotonic() - self._closed_s.get(key, monotonic()) > self._bounds.linger_s:
                    self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        with self._changed:
            exchange = self._exchanges.pop(key)
        del self._closed_s[key]
        for link in exchange.links.values():
            if not link.over:
                log.info(
                    "%s did not learn that phase %s of %s is over", link.name, exchange.phase, exchange.run
                )
                link.fail(
                    TrainingError("exchange.lost", f"{link.name} did not learn that the session is over")
                )
