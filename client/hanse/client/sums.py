"""A member's part of the secure sums of one phase: it answers the coordinator until that ends the session."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, Self

from google.protobuf.message import DecodeError

from hanse.aggregation import Contributor, MemberEpoch, from_message
from hanse.api.v1 import round_pb2 as pb
from hanse.crypto import SigningKey
from hanse.errors import HanseError, ProtocolError

if TYPE_CHECKING:
    from hanse.client.session import Session

DONE: Final = "exchange.closed"
"""What a session says after its last message when nothing went wrong."""


class Channel(Protocol):
    """This member's session; :class:`hanse.client.exchange.ExchangeChannel`. An error inside ends it."""

    def send(self, body: bytes) -> None:
        """Queues a message for the coordinator and returns."""
        ...

    def receive(self, timeout_s: float) -> bytes:
        """The next message of the coordinator."""
        ...

    def __enter__(self) -> Self:
        """Returns itself."""
        ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Ends it, with the code of the error if there is one."""
        ...


class MemberSums:
    """See the module docstring.

    Args:
        session: The run at this member.
        key: Its node key.
        contributor: Its half of the algorithm.
    """

    def __init__(self, session: "Session", key: SigningKey, contributor: Contributor) -> None:
        self._session = session
        self._key = key
        self._contributor = contributor
        self._epoch = self._new()
        self.answered = 0

    def take_part(self, channel: Channel, ready: pb.Ready, timeout_s: float) -> int:
        """Says that this member is ready, and answers until the coordinator ends the phase.

        Args:
            channel: The session.
            ready: What it takes part with.
            timeout_s: How long the coordinator may be silent.

        Returns:
            Number of sums that it gave shares for.

        Raises:
            HanseError: What this member refuses, or the code with which the coordinator ended the phase.
        """
        channel.send(pb.FromMember(ready=ready).SerializeToString())
        while True:
            try:
                data = channel.receive(timeout_s)
            except HanseError as error:
                if error.code == DONE:
                    return self.answered
                raise
            answer = self._answer(data)
            if answer is not None:
                channel.send(answer.SerializeToString())

    def _answer(self, data: bytes) -> pb.FromMember | None:
        # Who has left the run gives no figure any more, and no share of others' masks either.
        self._session.tools.left.require_in(self._session.run)
        message = pb.FromCoordinator()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise ProtocolError(
                "protocol.malformed", "coordinator: bytes that say nothing in a phase"
            ) from error
        act = self._acts().get(message.WhichOneof("content") or "")
        if act is None:
            raise ProtocolError("protocol.malformed", "coordinator: a message that says nothing")
        return act(message)

    def _acts(self) -> dict[str, Callable[[pb.FromCoordinator], pb.FromMember | None]]:
        return {
            "opening": self._open,
            "advertisements": lambda m: pb.FromMember(shares=self._epoch.advertised(m.advertisements)),
            "shares": lambda m: self._epoch.shared(m.shares),
            "question": self._question,
            "survivors": lambda m: pb.FromMember(confirmation=self._epoch.survivors(m.survivors)),
            "certificate": self._reveal,
        }

    def _open(self, message: pb.FromCoordinator) -> pb.FromMember:
        # A new epoch ends the one before: its secrets are gone with it.
        self._epoch = self._new()
        return pb.FromMember(advertisement=self._epoch.open(message.opening))

    def _question(self, message: pb.FromCoordinator) -> pb.FromMember:
        query = from_message(message.question)
        return pb.FromMember(input=self._epoch.answer(message.question.sum, query, self._contributor))

    def _reveal(self, message: pb.FromCoordinator) -> pb.FromMember:
        revealed = self._epoch.reveal(message.certificate)
        self.answered += 1
        return pb.FromMember(reveal=revealed)

    def _new(self) -> MemberEpoch:
        session = self._session
        return MemberEpoch(session.agreed_terms(), self._key, session.member, session.sums, os.urandom)
