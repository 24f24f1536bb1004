"""The sessions of one phase of a run: one per member, all with the same name."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Self

import grpc

from hanse.api.v1 import exchange_pb2 as pb
from hanse.errors import HanseError, ProtocolError
from hanse.exchange import Link
from hanse.server.exchange.metrics import ExchangeMetrics

SEND_TIMEOUT_S = 30.0


class Exchange:
    """What an algorithm talks to the members through; thread-safe.

    A member that is slow, gone or at fault fails alone: the calls that name it raise, and the others go on.

    Args:
        run: The run.
        phase: The phase of it.
        links: The members' sessions.
        metrics: Figures.
    """

    def __init__(self, run: str, phase: str, links: Mapping[str, Link], metrics: ExchangeMetrics) -> None:
        self.run = run
        self.phase = phase
        self.links = MappingProxyType(dict(links))
        self.closed = threading.Event()
        self._metrics = metrics
        self._stuck: set[tuple[str, str]] = set()
        self._relaying = threading.Lock()

    def send(self, member: str, body: bytes, timeout_s: float = SEND_TIMEOUT_S) -> None:
        """Queues a message for a member and returns; waits only if it leaves too much unread.

        Args:
            member: Whom it is for.
            body: At most 64 MiB.
            timeout_s: How long to wait for room.

        Raises:
            ProtocolError: ``exchange.unknown-peer``, ``exchange.too-large``.
            HanseError: ``exchange.timeout``, ``exchange.closed``, or what has broken this member's session.
        """
        self._link(member).send(body, timeout_s)

    def receive(self, member: str, timeout_s: float) -> bytes:
        """The next message of a member.

        Raises:
            ProtocolError: ``exchange.unknown-peer``.
            HanseError: As :meth:`send`.
        """
        return self._link(member).receive(timeout_s)

    def gather(
        self, timeout_s: float, members: Collection[str] | None = None
    ) -> dict[str, bytes | HanseError]:
        """The next message of each of several members.

        Args:
            timeout_s: How long to wait for all of them together.
            members: Of whom; None for all.

        Returns:
            The message, or why there is none.

        Raises:
            ProtocolError: ``exchange.unknown-peer``.
        """
        links = [self._link(member) for member in (self.links if members is None else members)]
        deadline_s = links[0].now_s() + timeout_s if links else 0.0
        gathered: dict[str, bytes | HanseError] = {}
        for link in links:
            try:
                gathered[link.name] = link.receive(deadline_s - link.now_s())
            except HanseError as error:
                gathered[link.name] = error
        return gathered

    def failures(self) -> dict[str, HanseError]:
        """Members whose sessions have broken, and why."""
        return {name: link.failure for name, link in self.links.items() if link.failure is not None}

    def end(self, member: str, code: str) -> None:
        """Ends one member's session after what was sent before, and returns at once.

        Args:
            member: Whose.
            code: As for :meth:`close`.

        Raises:
            ProtocolError: ``exchange.unknown-peer``.
        """
        self._link(member).end(code)

    def close(self, code: str = "") -> None:
        """Ends all sessions after what was sent before, and returns at once.

        Args:
            code: Code of the error that ended the phase, which the members are told; empty if it is done.
        """
        self.closed.set()
        for link in self.links.values():
            link.end(code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close("" if error is None else getattr(error, "code", "internal.error"))

    def converse(
        self,
        member: str,
        hello: pb.Hello,
        requests: Iterator[pb.MemberFrame],
        cut: Callable[[], object],
    ) -> Iterator[pb.CoordinatorFrame]:
        """Serves one connection of a member's session to its end.

        Args:
            member: Whose.
            hello: What it began with.
            requests: The frames after that; a thread of its own reads them.
            cut: Ends the connection.

        Yields:
            What is to be sent.

        Raises:
            HanseError: What has broken the session.
        """
        link = self.links[member]
        if hello.known and hello.known != link.incarnation:
            raise ProtocolError("exchange.restarted", "it resumes a session that this process did not open")
        connection, received, credit = link.greet(cut)
        if link.attach(connection, hello.incarnation, hello.received, hello.credit):
            self._metrics.resumes.inc()
        reader = threading.Thread(
            target=self._read, args=(link, connection, requests), name=f"exchange {member}", daemon=True
        )
        reader.start()
        try:
            welcome = pb.Welcome(incarnation=link.incarnation, received=received, credit=credit)
            yield pb.CoordinatorFrame(welcome=welcome)
            for frame in link.frames(connection):
                self._metrics.sent.inc(len(frame.payload))
                yield pb.CoordinatorFrame(frame=frame)
        finally:
            link.detach(connection)
        if link.failure is not None:
            raise link.failure

    def tick(self) -> None:
        """Looks at the clock."""
        for link in self.links.values():
            link.tick()
        self._relay(set())

    def _link(self, member: str) -> Link:
        link = self.links.get(member)
        if link is None:
            raise ProtocolError("exchange.unknown-peer", f"{member} has no session in this phase")
        return link

    def _read(self, link: Link, connection: int, requests: Iterator[pb.MemberFrame]) -> None:
        try:
            for request in requests:
                if request.WhichOneof("content") != "frame":
                    link.fail(ProtocolError("protocol.malformed", "a greeting in the middle of a session"))
                    break
                frame = request.frame
                link.accept(connection, frame)
                self._metrics.received.inc(len(frame.payload))
                self._relay({(link.name, frame.peer)} if frame.peer and frame.last else set(), link.name)
        except (HanseError, grpc.RpcError):
            pass  # the link knows its error; that the call has ended is known by what follows
        finally:
            link.detach(connection)

    def _relay(self, routes: set[tuple[str, str]], freed: str | None = None) -> None:
        """Hands on what members send to each other.

        Args:
            routes: From whom to whom there is something new.
            freed: Member who may have room again; None for all.
        """
        if not routes and not self._stuck:
            return
        with self._relaying:
            routes |= {route for route in self._stuck if freed in {None, route[1]}}
            self._stuck -= routes
            for source, target in routes:
                if not self.links[source].move(target, lambda body: self._hand_on(body, source, target)):  # noqa: B023
                    self._stuck.add((source, target))

    def _hand_on(self, body: bytes, source: str, target: str) -> bool:
        try:
            taken = self.links[target].offer(body, source)
        except HanseError:
            self._metrics.dropped.inc()  # the coordinator learns by itself that the member is gone
            return True
        if taken:
            self._metrics.relayed.inc(len(body))
        return taken
