"""An endpoint that several threads use: some send and receive messages, others move frames of a connection.

Nothing in here knows what a connection is. Its owner attaches one, hands in the frames that it brings, takes
those that are to go, and detaches it when it breaks.
"""

import threading
from collections.abc import Callable, Container, Iterator
from time import monotonic

from hanse.api.v1.exchange_pb2 import Frame
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.exchange.endpoint import Endpoint
from hanse.exchange.limits import INCARNATION_BYTES, Limits, Timing


class Link:
    """See the module docstring; thread-safe.

    Args:
        name: Whom it leads to, for messages of errors.
        incarnation: 16 random bytes that name this end of this session.
        limits: Sizes; both ends must have the same.
        timing: Times.
        peers: Names that the other end may address messages to; None for any.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        incarnation: bytes,
        limits: Limits,
        timing: Timing,
        *,
        peers: Container[str] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self._timing = timing
        self._clock = clock
        self._endpoint = Endpoint(limits, peers)
        self._other = b""
        self._attached = False
        self._cut: Callable[[], object] = _nothing
        self._failure: HanseError | None = None
        lock = threading.Lock()
        self._lock = lock
        self._writable = threading.Condition(lock)  # there may be a frame to go
        self._readable = threading.Condition(lock)  # there may be a message
        self._roomy = threading.Condition(lock)  # there may be room for one
        self._heard_s = self._used_s = self._detached_s = clock()

    # What the session's user does.

    def send(self, body: bytes, timeout_s: float, peer: str = "") -> None:
        """Queues a message; waits while too much is unacknowledged.

        Args:
            body: The message; not to be changed afterwards.
            timeout_s: How long to wait for room.
            peer: Member of the session that the other end is to hand it to, or that it is from.

        Raises:
            ProtocolError: ``exchange.too-large``.
            TrainingError: ``exchange.timeout``; ``exchange.closed`` or the code that the other end gave.
            HanseError: What has broken the session.
        """
        deadline_s = self._clock() + timeout_s
        with self._lock:
            while not self._offer(body, peer):
                left_s = deadline_s - self._clock()
                if left_s <= 0:
                    raise TrainingError("exchange.timeout", f"{self.name} did not read in {timeout_s:g} s")
                self._roomy.wait(left_s)

    def offer(self, body: bytes, peer: str = "") -> bool:
        """As :meth:`send`, but does not wait; returns whether there was room."""
        with self._lock:
            return self._offer(body, peer)

    def receive(self, timeout_s: float, peer: str = "") -> bytes:
        """The next message; whatever arrived whole before the session ended is still given.

        Args:
            timeout_s: How long to wait for it.
            peer: Whom it is from if not from the other end itself.

        Raises:
            TrainingError: ``exchange.timeout``; ``exchange.closed`` or the code that the other end gave.
            HanseError: What has broken the session.
        """
        deadline_s = self._clock() + timeout_s
        with self._lock:
            body = self._endpoint.incoming.take(peer)
            if body is None:
                with self._endpoint.incoming.waiting():
                    body = self._awaited(deadline_s, peer, timeout_s)
            self._wake_writer()  # for the credit
            return body

    def _awaited(self, deadline_s: float, peer: str, timeout_s: float) -> bytes:
        self._wake_writer()  # for the credit
        while (body := self._endpoint.incoming.take(peer)) is None:
            self._require_open()
            left_s = deadline_s - self._clock()
            if left_s <= 0:
                whom = peer or self.name
                raise TrainingError("exchange.timeout", f"{whom} was silent for {timeout_s:g} s")
            self._readable.wait(left_s)
        return body

    def move(self, peer: str, offer: Callable[[bytes], bool]) -> bool:
        """Hands on messages for a peer; returns whether all of them found room. One thread at a time."""
        while True:
            with self._lock:
                body = self._endpoint.incoming.peek(peer)
            if body is None or not offer(body):
                return body is None
            with self._lock:
                self._endpoint.incoming.take(peer)
                self._wake_writer()

    def end(self, error_code: str = "") -> None:
        """Says that the session is over, after everything that was sent before."""
        with self._lock:
            self._endpoint.outgoing.end(error_code)
            self._wake()

    def flush(self, timeout_s: float) -> None:
        """Waits until one end has ended the session and the other knows.

        Raises:
            TrainingError: ``exchange.timeout``.
            HanseError: What has broken the session.
        """
        deadline_s = self._clock() + timeout_s
        with self._lock:
            while not self._endpoint.complete:
                if self._failure is not None:
                    raise self._failure
                left_s = deadline_s - self._clock()
                if left_s <= 0:
                    raise TrainingError("exchange.timeout", f"{self.name} did not confirm what it was sent")
                self._roomy.wait(left_s)

    def fail(self, error: HanseError) -> None:
        """Breaks the session; only the first error counts."""
        with self._lock:
            self._fail(error)

    def now_s(self) -> float:
        """The time of its clock, seconds."""
        return self._clock()

    @property
    def failure(self) -> HanseError | None:
        """What has broken the session."""
        return self._failure

    @property
    def over(self) -> bool:
        """Whether it is broken, or ended and the other end knows."""
        with self._lock:
            return self._failure is not None or self._endpoint.complete

    @property
    def settled(self) -> bool:
        """Whether the other end has everything that was sent."""
        with self._lock:
            return self._endpoint.outgoing.settled

    @property
    def attached(self) -> bool:
        """Whether there is a connection."""
        return self._attached

    @property
    def away_since_s(self) -> float | None:
        """Since when there is no connection, by the link's clock; None if there is one."""
        with self._lock:
            return None if self._attached else self._detached_s

    # What the owner of the connections does.

    def greet(self, cut: Callable[[], object]) -> tuple[int, int, int]:
        """Prepares for a new connection and gives up the one there is.

        Args:
            cut: Ends the new connection; called from any thread, perhaps late.

        Returns:
            The connection's number; what was received so far; what is granted.

        Raises:
            HanseError: What has broken the session.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            old, self._cut = self._cut, cut
            self._detach()
            greeting = self._endpoint.greet()
        old()
        return greeting

    def attach(self, connection: int, other: bytes, received: int, credit: int) -> bool:
        """Goes on over a new connection once the other end has greeted.

        Args:
            connection: From :meth:`greet`.
            other: The other end's incarnation.
            received: What it has received.
            credit: What it grants.

        Returns:
            Whether the session was attached before.

        Raises:
            ProtocolError: ``exchange.restarted`` if it is not who was there before, ``protocol.malformed``,
                ``exchange.out-of-step``. The session is broken then.
        """
        with self._lock:
            known, self._other = self._other, self._other or other
            try:
                if len(other) != INCARNATION_BYTES:
                    raise ProtocolError("protocol.malformed", "an incarnation has 16 bytes")
                if other != self._other:
                    raise ProtocolError(
                        "exchange.restarted", f"{self.name} has lost its memory of this session"
                    )
                if connection == self._endpoint.connection:
                    self._endpoint.connect(received, credit)
                    self._attached = True
                    self._heard_s = self._clock()
            except HanseError as error:
                self._fail(error)
                raise
            self._wake()
            return bool(known)

    def detach(self, connection: int) -> None:
        """The connection is gone; nothing happens if there is another one already."""
        with self._lock:
            if connection == self._endpoint.connection:
                self._detach()

    def accept(self, connection: int, frame: Frame) -> None:
        """Takes a frame that a connection brought.

        Raises:
            HanseError: It is not acceptable; the session is broken then.
        """
        with self._lock:
            if connection != self._endpoint.connection or self._failure is not None:
                return
            self._heard_s = self._clock()
            try:
                fresh = self._endpoint.accept(connection, frame)
            except HanseError as error:
                self._fail(error)
                raise
            if fresh:
                self._used_s = self._heard_s
                self._readable.notify_all()
            self._roomy.notify_all()
            self._wake_writer()

    def frames(self, connection: int) -> Iterator[Frame]:
        """What is to go over a connection, heartbeats included; ends with the connection or the session."""
        ticked_s = self._clock()
        while (frame := self._next(connection)) is not None:
            yield frame
            if self._clock() - ticked_s >= self._timing.heartbeat_s:
                self.tick()
                ticked_s = self._clock()

    def tick(self) -> None:
        """Looks at the clock: a silent connection is cut, an abandoned session is broken."""
        now_s = self._clock()
        cut: Callable[[], object] = _nothing
        with self._lock:
            if self._failure is not None:
                return
            if self._attached and now_s - self._heard_s > self._timing.silence_s:
                cut = self._cut
                self._detach()
            if not self._attached and self._other and now_s - self._detached_s > self._timing.resume_s:
                self._fail(TrainingError("exchange.lost", f"{self.name} did not come back"))
            elif now_s - self._used_s > self._timing.idle_s:
                self._fail(TrainingError("exchange.idle", f"nothing was said to or by {self.name}"))
        cut()

    def _next(self, connection: int) -> Frame | None:
        due_s = self._clock() + self._timing.heartbeat_s
        with self._lock:
            while self._attached and connection == self._endpoint.connection and self._failure is None:
                frame = self._endpoint.next_frame()
                if self._endpoint.complete:
                    self._roomy.notify_all()  # for who flushes
                    return frame
                if frame is not None:
                    return frame
                left_s = due_s - self._clock()
                if left_s <= 0:
                    return self._endpoint.heartbeat()
                self._writable.wait(left_s)
        return None

    def _offer(self, body: bytes, peer: str) -> bool:
        self._require_open()
        outgoing = self._endpoint.outgoing
        if not outgoing.room(len(body)):
            return False
        outgoing.put(body, peer)
        self._used_s = self._clock()
        self._wake_writer()
        return True

    def _require_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._endpoint.incoming.end is not None:
            code = self._endpoint.incoming.end or "exchange.closed"
            raise TrainingError(code, f"{self.name} has ended the session")
        if self._endpoint.outgoing.ended:
            raise TrainingError("exchange.closed", "this side has ended the session")

    def _detach(self) -> None:
        if self._attached:
            self._attached = False
            self._detached_s = self._clock()
        self._wake()

    def _fail(self, error: HanseError) -> None:
        if self._failure is None:
            self._failure = error
            self._wake()

    def _wake_writer(self) -> None:
        """Only if there is something to go: a thread that wakes for nothing costs more than the frame did."""
        if self._endpoint.due:
            self._writable.notify_all()

    def _wake(self) -> None:
        for condition in (self._writable, self._readable, self._roomy):
            condition.notify_all()


def _nothing() -> None:
    """Where there is no connection to cut."""
