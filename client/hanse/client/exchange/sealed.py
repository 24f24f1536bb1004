"""Conversations with other members that the coordinator carries and cannot read.

A :class:`SealedChannel` is a sealed session (:mod:`hanse.crypto.sealed`) over what an
:class:`~hanse.client.exchange.ExchangeChannel` sends and receives with ``peer``. Connections may break and
come back beneath it: the exchange delivers each message once and in order, and the session goes on. What the
coordinator itself alters, repeats, reorders or leaves out ends the conversation with a named error, at both
members as soon as each learns of it.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Final, Protocol, Self

from typing_extensions import override

from hanse.crypto import SigningKey, VerifierKey
from hanse.crypto.sealed import Handshake, SealedTerms, Session
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.exchange import LONGEST_BODY_BYTES

WAIT_S: Final = 600.0
"""How long a member waits for another: it may have much to compute before it answers."""

OPEN_S: Final = 120.0


class Relay(Protocol):
    """What carries the records; :class:`hanse.client.exchange.ExchangeChannel`."""

    def send(self, body: bytes, peer: str = "", timeout_s: float = ...) -> None:
        """Queues a message for a member of the phase."""
        ...

    def receive(self, timeout_s: float, peer: str = "") -> bytes:
        """The next message of a member of the phase."""
        ...


class SealedChannel:
    """A :class:`hanse.exchange.PeerChannel`; one thread may send while another receives.

    An error ends it, and whatever is asked of it afterwards raises the same; only a wait for a message that
    was too long may be repeated.

    Args:
        relay: Carries the records.
        peer: The other member's name in the phase.
        session: From :class:`hanse.crypto.sealed.Handshake`.
        wait_s: How long to wait for room, and for each message.
    """

    def __init__(self, relay: Relay, peer: str, session: Session, wait_s: float = WAIT_S) -> None:
        self.peer: Final = peer
        self.transcript: Final = session.transcript.hex()
        self._relay = relay
        self._session = session
        self._wait_s = wait_s
        self._failure: HanseError | None = None
        self._sending = threading.Lock()
        self._receiving = threading.Lock()

    def send(self, body: bytes) -> None:
        """See :class:`hanse.exchange.PeerChannel`."""
        if len(body) > LONGEST_BODY_BYTES:
            raise ProtocolError("exchange.too-large", f"a message of {len(body)} bytes to {self.peer}")
        with self._sending:
            self._require_whole()
            self._hand_over(self._session.sealer.seal(body))

    def receive(self) -> bytes:
        """See :class:`hanse.exchange.PeerChannel`.

        Raises:
            ProtocolError: ``sealed.broken`` if it is not what the other member said next;
                ``sealed.truncated`` if the exchange ended and the other member had not.
            TrainingError: ``exchange.closed``, or the code with which the other member ended.
        """
        with self._receiving:
            self._require_whole()
            body = self._next()
            if body is None:
                raise TrainingError(
                    self._session.opener.end or "exchange.closed", f"{self.peer} has ended the conversation"
                )
            return body

    def finish(self, code: str = "") -> None:
        """Says that this member says nothing more; nothing happens the second time.

        Args:
            code: Code of the error that ended its part; empty if it is done.
        """
        with self._sending:
            if not self._session.sealer.closed:
                self._hand_over(self._session.sealer.close(code))

    def close(self) -> None:
        """:meth:`finish`, and waits for the other member to be done too.

        Afterwards both know that all was heard that either had to say.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if it says more; as :meth:`receive`.
            TrainingError: ``exchange.timeout``; the code with which it ended.
        """
        self.finish()
        with self._receiving:
            self._require_whole()
            if self._next() is not None:
                self._failure = ProtocolError(
                    "protocol.unexpected-step", f"{self.peer} said more than is due"
                )
                raise self._failure
            if self._session.opener.end:
                raise TrainingError(self._session.opener.end, f"{self.peer} has ended the conversation")

    def _next(self) -> bytes | None:
        """The next message; None if the other member has ended."""
        if self._session.opener.end is not None:
            return None
        try:
            return self._session.opener.open(self._relay.receive(self._wait_s, self.peer))
        except HanseError as error:
            failure = error
            if error.code == "exchange.timeout":
                raise  # nothing is lost: it may be asked again
            if error.code == "exchange.closed":
                failure = ProtocolError("sealed.truncated", f"{self.peer} had not ended the conversation")
            elif error.code == "sealed.broken":
                failure = ProtocolError(error.code, f"{self.peer}: {error.detail}")
            self._failure = failure
            raise failure from error

    def _hand_over(self, record: bytes) -> None:
        try:
            self._relay.send(record, self.peer, self._wait_s)
        except HanseError as error:
            # It was counted: nothing that is sealed after it would open.
            self._failure = error
            raise

    def _require_whole(self) -> None:
        if self._failure is not None:
            raise self._failure


class SealedPeers(Mapping[str, SealedChannel]):
    """Conversations with several members; as a context manager it ends them all.

    Args:
        channels: By the other member's name.
    """

    def __init__(self, channels: Mapping[str, SealedChannel]) -> None:
        self._channels = dict(channels)

    @override
    def __getitem__(self, member: str) -> SealedChannel:
        return self._channels[member]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    @override
    def __len__(self) -> int:
        return len(self._channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
        else:
            self._tell(error.code if isinstance(error, HanseError) else "internal.error")

    def close(self) -> None:
        """Tells all that this member is done, then waits for each.

        Raises:
            HanseError: As :meth:`SealedChannel.close`, of the first that is not done.
        """
        for channel in self._channels.values():
            channel.finish()
        for channel in self._channels.values():
            channel.close()

    def _tell(self, code: str) -> None:
        """Tells all why this member goes; what it was going for is the error to see."""
        for channel in self._channels.values():
            try:
                channel.finish(code)
            except HanseError:
                continue


def open_peers(
    relay: Relay,
    key: SigningKey,
    terms: SealedTerms,
    members: Mapping[str, VerifierKey],
    entropy: Callable[[int], bytes] = os.urandom,
    wait_s: float = WAIT_S,
    open_s: float = OPEN_S,
) -> SealedPeers:
    """Opens conversations with several members, who open theirs with this one at the same time.

    Args:
        relay: This member's session of the phase, :class:`hanse.client.exchange.ExchangeChannel`.
        key: This member's node key.
        terms: What they are about; the same at all of them.
        members: The others, by their names in the phase, and their node keys as the agreement pins them.
        entropy: Gives unpredictable bytes.
        wait_s: How long the conversations wait for room and for each message.
        open_s: How long all of this may take.

    Returns:
        The conversations, by name.

    Raises:
        ProtocolError: ``sealed.foreign``, ``sealed.broken``, ``protocol.malformed``, ``protocol.version``.
        IdentityError: ``identity.bad-signature`` if somebody speaks in a member's name without its key.
        HanseError: ``exchange.timeout``, or why the exchange has ended.
    """
    deadline_s = monotonic() + open_s
    shakes = {peer: Handshake(key, pinned, terms, entropy) for peer, pinned in members.items()}

    def heard(peer: str) -> bytes:
        return relay.receive(max(0.0, deadline_s - monotonic()), peer)

    # All of a kind before any of the next: nobody waits for somebody who waits for a third.
    for peer, shake in shakes.items():
        relay.send(shake.hello, peer, open_s)
    for peer, shake in shakes.items():
        relay.send(shake.prove(heard(peer)), peer, open_s)
    sessions = {peer: shake.finish(heard(peer)) for peer, shake in shakes.items()}
    return SealedPeers(
        {name: SealedChannel(relay, name, session, wait_s) for name, session in sessions.items()}
    )
