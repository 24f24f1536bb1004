"""One session of this member with the coordinator, for as long as the phase of the run takes."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import randbelow, token_bytes
from time import monotonic
from typing import Final, Protocol, Self

from hanse.api.v1 import exchange_pb2 as pb
from hanse.errors import HanseError, ProtocolError
from hanse.exchange import INCARNATION_BYTES, PROTOCOL, Limits, Link, Timing

SEND_TIMEOUT_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
RESERVE_BYTES: Final = 256 * 1024 * 1024
"""What other members' messages may take while this one waits for a certain one's (:class:`Limits`)."""

TRY_AGAIN: Final = frozenset({"run.engine", "exchange.unknown-session", "exchange.limit"})
"""What may be otherwise a moment later: a broken connection, or a session that is about to be opened."""

log = logging.getLogger("hanse.client.exchange")


class Call(Protocol):
    """A connection."""

    def __iter__(self) -> Iterator[pb.CoordinatorFrame]:
        """What the coordinator sends; raises a HanseError when it ends otherwise than done."""
        ...

    def cancel(self) -> None:
        """Breaks it off, from any thread."""
        ...


class Dialler(Protocol):
    """Makes connections."""

    def dial(self, requests: Iterator[pb.MemberFrame]) -> Call:
        """Starts a connection over which another thread sends the requests."""
        ...

    def close(self) -> None:
        """Ends what the connections have in common."""
        ...


class ExchangeChannel:
    """See the module docstring; thread-safe. Use it as a context manager, or close it.

    It connects in the background, and again whenever the connection breaks. When the coordinator does not
    know the session yet, it asks again for :attr:`Timing.resume_s`.

    Args:
        dialler: Makes its connections; closed with the channel.
        run: The run.
        phase: The phase of it, as the coordinator named it.
        limits: Sizes; those of the coordinator, the reserve excepted.
        timing: Times.
    """

    def __init__(
        self,
        dialler: Dialler,
        run: str,
        phase: str,
        limits: Limits | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._dialler = dialler
        self._run = run
        self._phase = phase
        self._timing = timing or Timing()
        incarnation = token_bytes(INCARNATION_BYTES)
        self._link = Link(
            "the coordinator", incarnation, limits or Limits(reserve_bytes=RESERVE_BYTES), self._timing
        )
        self._known = b""
        self._pause_s = FIRST_PAUSE_S
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._worker = threading.Thread(target=self._work, name=f"exchange {phase}", daemon=True)
        self._worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
        else:
            self._end(error.code if isinstance(error, HanseError) else "internal.error")

    @property
    def attached(self) -> bool:
        """Whether it is connected now."""
        return self._link.attached

    def send(self, body: bytes, peer: str = "", timeout_s: float = SEND_TIMEOUT_S) -> None:
        """Queues a message and returns; waits only if too much is unread.

        Args:
            body: At most 64 MiB; not to be changed afterwards.
            peer: Another member of the phase that the coordinator is to hand it to; empty for the
                coordinator itself.
            timeout_s: How long to wait for room.

        Raises:
            HanseError: As :meth:`hanse.exchange.Link.send`.
        """
        self._link.send(body, timeout_s, peer)

    def receive(self, timeout_s: float, peer: str = "") -> bytes:
        """The next message of the coordinator, or of a peer.

        Raises:
            HanseError: As :meth:`hanse.exchange.Link.receive`; with the coordinator's code when it has
                refused, ended or broken the session. It says whose message was due.
        """
        try:
            return self._link.receive(timeout_s, peer)
        except HanseError as error:
            due = f"a message of {peer or 'the coordinator itself'} was due"
            raise type(error)(error.code, f"{error.detail}; {due}", rule=error.rule) from error

    def close(self, code: str = "", timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Ends the session once the coordinator has everything that was sent.

        Args:
            code: Code of the error that ended this member's part; empty if it is done.
            timeout_s: How long to wait for the coordinator.

        Raises:
            TrainingError: ``exchange.timeout`` if the coordinator may not have everything.
        """
        nothing_to_tell = not code and not self._known and self._link.settled
        self._link.end(code)
        try:
            if self._link.failure is None and not nothing_to_tell:
                self._link.flush(timeout_s)
        finally:
            self._stop()

    def _end(self, code: str) -> None:
        """Closes after an error of the user's own, which is what they want to see."""
        try:
            self.close(code)
        except HanseError as error:
            log.warning("the end of a session was not confirmed: %s", error.code)

    def _stop(self) -> None:
        self._stopping.set()
        if self._link.over and self._link.failure is None:
            self._worker.join(CLOSE_TIMEOUT_S)  # the coordinator ends the call
        if self._connection is not None:
            self._connection.cancel()
        self._worker.join()
        self._dialler.close()

    def _work(self) -> None:
        """Keeps the session connected until it is over."""
        begun_s = monotonic()
        while not self._link.over and not self._stopping.is_set():
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            try:
                self._converse()
            except HanseError as error:
                early = not self._known and monotonic() - begun_s > self._timing.resume_s
                if error.code not in TRY_AGAIN or early:
                    self._link.fail(error)
                    return
                log.info("a session is not connected: %s", error.code)
            self._link.tick()
            # Not all members at the same moment.
            self._stopping.wait(self._pause_s * (0.5 + randbelow(1000) / 1000))

    def _converse(self) -> None:
        """One connection from its greeting to its end."""
        connection = self._connection = _Connection()
        number, received, credit = self._link.greet(connection.cancel)
        hello = pb.Hello(
            protocol=PROTOCOL,
            run=self._run,
            phase=self._phase,
            incarnation=self._link.incarnation,
            known=self._known,
            received=received,
            credit=credit,
        )
        call = self._dialler.dial(self._requests(number, hello, connection))
        connection.start(call)
        try:
            for answer in call:
                self._take(number, answer, connection)
        finally:
            connection.greeted.set()
            self._link.detach(number)
            call.cancel()

    def _requests(self, number: int, hello: pb.Hello, connection: "_Connection") -> Iterator[pb.MemberFrame]:
        yield pb.MemberFrame(hello=hello)
        connection.greeted.wait()
        for frame in self._link.frames(number):
            yield pb.MemberFrame(frame=frame)
        if self._link.failure is not None:
            yield pb.MemberFrame(frame=pb.Frame(error_code=self._link.failure.code))
        elif not self._link.over:
            connection.cancel()

    def _take(self, number: int, answer: pb.CoordinatorFrame, connection: "_Connection") -> None:
        """Takes what the coordinator sent. After a failure it is told why, and ends the call."""
        welcomed = connection.greeted.is_set()
        try:
            if answer.WhichOneof("content") != ("frame" if welcomed else "welcome"):
                raise ProtocolError("protocol.malformed", "a greeting is missing, or one too many")
            if welcomed:
                self._link.accept(number, answer.frame)
                return
            welcome = answer.welcome
            self._link.attach(number, welcome.incarnation, welcome.received, welcome.credit)
            self._known = welcome.incarnation
            self._pause_s = FIRST_PAUSE_S
        except HanseError as error:
            self._link.fail(error)
        connection.greeted.set()


@dataclass(slots=True)
class _Connection:
    """What the threads around one connection share.

    Attributes:
        greeted: Set once the coordinator has greeted, or never will.
    """

    greeted: threading.Event = field(default_factory=threading.Event)
    _call: Call | None = None
    _cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, call: Call) -> None:
        with self._lock:
            self._call = call
            if self._cancelled:
                call.cancel()

    def cancel(self) -> None:
        """Breaks it off, now or as soon as it starts."""
        with self._lock:
            self._cancelled = True
            if self._call is not None:
                self._call.cancel()
