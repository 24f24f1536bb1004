"""Secure sums over the members' sessions of one phase: an :class:`hanse.aggregation.Aggregator`.

Nobody is asked twice, and no sum is repeated that was opened: it is on the disk before it is used, for a
process that has to go on with the phase. A member that is silent for too long, ends its session or sends
what does not check is lost for the run; its masks are taken off by the shares that the others have, and the
next sum is made in a new epoch without it. Where too few are left, the sum ends with
``run.insufficient-members``, and the run with it.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from google.protobuf.message import DecodeError

from hanse.aggregation import (
    Aggregate,
    CoordinatorEpoch,
    Query,
    SumTerms,
    ask_enough,
    asked_digest,
    question_digest,
    scoped,
    to_message,
)
from hanse.api.v1 import round_pb2 as pb
from hanse.errors import HanseError, ProtocolError
from hanse.learning import required_members
from hanse.server.checkpoints import OpenedSums
from hanse.server.party import ATTEMPT_BITS, Party

POLL_S: Final = 0.5
"""How soon somebody who cancels the run is heard while members compute."""


class Exchange(Protocol):
    """The members' sessions of one phase; :class:`hanse.server.exchange.Exchange`."""

    def send(self, member: str, body: bytes) -> None:
        """Queues a message for a member and returns."""
        ...

    def gather(
        self, timeout_s: float, members: Collection[str] | None = None
    ) -> Mapping[str, bytes | HanseError]:
        """The next message of each of several members, or why there is none."""
        ...

    def end(self, member: str, code: str) -> None:
        """Ends one member's session."""
        ...

    def __enter__(self) -> Self:
        """Returns itself."""
        ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Ends all sessions, with the code of the error if there is one."""
        ...


class Epochs:
    """Numbers the epochs of one run, whose members hold that none comes twice.

    Args:
        party: The members.
    """

    def __init__(self, party: Party) -> None:
        self._party = party
        self._last = 0

    @property
    def fewest(self) -> int:
        """Fewest members of whom a sum can be made; raises as :meth:`next`."""
        return self._terms(1, 1).required

    def next(self, sums: int) -> SumTerms:
        """The terms of a new epoch; who has left in disorder is still of its roster, and has no part in it.

        Args:
            sums: How many sums to prepare.

        Raises:
            PolicyError: ``sum.too-few`` for an agreement of fewer than three members.
        """
        self._last += 1
        return self._terms((self._party.attempt << ATTEMPT_BITS) + self._last, sums)

    def _terms(self, epoch: int, sums: int) -> SumTerms:
        context = self._party.context
        return SumTerms(
            context.signed.digest,
            context.run,
            epoch,
            context.agreement.purpose,
            self._party.verifiers,
            required_members(context.agreement),
            sums,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What a phase is about.

    Attributes:
        digest: From :func:`hanse.aggregation.work_digest`.
        name: The step, as statements name it.
        round: The round; None outside of rounds.
        sums: How many sums an epoch prepares.
    """

    digest: str
    name: str
    round: int | None
    sums: int


class SecureAggregator:
    """See the module docstring.

    Args:
        party: The members of the run.
        exchange: Their sessions of this phase.
        epochs: Numbers the epochs of the run.
        work: What the phase is about.
        opened: The sums that were made, for a process that comes after this one.
    """

    def __init__(
        self, party: Party, exchange: Exchange, epochs: Epochs, work: Work, opened: OpenedSums
    ) -> None:
        self._party = party
        self._exchange = exchange
        self._epochs = epochs
        self._work = work
        self._opened = opened
        self._epoch: CoordinatorEpoch | None = None
        self._used = 0

    @property
    def members(self) -> tuple[str, ...]:
        """See :class:`hanse.aggregation.Aggregator`."""
        return tuple(sorted(self._party.active))

    def aggregate(self, query: Query) -> Aggregate:
        """See :class:`hanse.aggregation.Aggregator`.

        Raises:
            TrainingError: ``run.insufficient-members``, ``run.cancelled``.
        """
        asked = scoped(query, self._work.digest)
        name = asked_digest(asked)
        known = self._opened.find(name)
        if known is not None:  # a process before this one was given it, and nobody answers again
            return known
        epoch = self._prepared()
        number, self._used = self._used, self._used + 1
        state = epoch.sum(number, question_digest(asked), asked.encoding.zeros(asked.length))
        question = pb.FromCoordinator(question=to_message(asked, number))
        self._ask(dict.fromkeys(epoch.sharers, question), "input", state.take_input)
        ask_enough(
            state,
            lambda lists: self._ask(_all("survivors", lists), "confirmation", state.take_confirmation),
            lambda shown: self._ask(_all("certificate", shown), "reveal", state.take_reveal),
        )
        total, members = state.total()
        aggregate = Aggregate(query.encoding.decode(total), members)
        self._opened.keep(name, aggregate)
        return aggregate

    def receive(
        self, waiting: Collection[str], until: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[str, bytes]]:
        """The next message of each of some members; who does not send one in time is lost.

        Args:
            waiting: Of whom.
            until: Asked now and then; true when somebody else has left who need not be waited for.

        Yields:
            Member and message, as they come.

        Raises:
            TrainingError: ``run.cancelled``.
        """
        left = set(waiting)
        deadline_s = time.monotonic() + self._party.agreement.training.round_timeout_s
        while left:
            self._party.require_wanted()
            if until():
                left &= self._party.active
            over = time.monotonic() > deadline_s
            for member, answer in self._exchange.gather(0.0 if over else POLL_S, sorted(left)).items():
                if isinstance(answer, bytes):
                    left.discard(member)
                    yield member, answer
                elif over or answer.code != "exchange.timeout":
                    left.discard(member)
                    self.lose(member, answer)

    def lose(self, member: str, error: HanseError) -> None:
        """A member leaves the run; its session ends with the reason."""
        self._party.lose_for(member, error, self._work.name, self._work.round)
        self._exchange.end(member, error.code)

    def _prepared(self) -> CoordinatorEpoch:
        """An epoch with a sum to make and without anybody who has left."""
        epoch = self._epoch
        if epoch is None or self._used == self._work.sums or set(epoch.sharers) != self._party.active:
            epoch = self._epoch = self._open()
            self._used = 0
        return epoch

    def _open(self) -> CoordinatorEpoch:
        terms = self._epochs.next(self._work.sums)
        epoch = CoordinatorEpoch(terms)
        opening = pb.FromCoordinator(opening=terms.opening())
        self._ask(dict.fromkeys(self.members, opening), "advertisement", epoch.take_advertisement)
        self._ask(_all("advertisements", epoch.close_advertisements()), "shares", epoch.take_shares)
        for member, message in _all("shares", epoch.close_shares()).items():
            self._send(member, message)
        return epoch

    def _ask(
        self, messages: Mapping[str, pb.FromCoordinator], expected: str, take: Callable[[str, bytes], None]
    ) -> None:
        """Sends to each its message, and takes the answers that check; the others are lost."""
        asked = [member for member, message in messages.items() if self._send(member, message)]
        for member, data in self.receive(asked):
            try:
                take(member, getattr(open_message(data, expected), expected))
            except HanseError as error:
                self.lose(member, error)

    def _send(self, member: str, message: pb.FromCoordinator) -> bool:
        """Sends, and returns whether that worked; to who has left it does not."""
        if member not in self._party.active:
            return False
        try:
            self._exchange.send(member, message.SerializeToString())
        except HanseError as error:
            self.lose(member, error)
            return False
        return True


def open_message(data: bytes, expected: str) -> pb.FromMember:
    """Reads a message of a member.

    Args:
        data: Bytes from anywhere.
        expected: What it must say.

    Raises:
        ProtocolError: ``protocol.malformed``, ``protocol.unexpected-step``.
    """
    message = pb.FromMember()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", "a message of a phase that does not parse") from error
    content = message.WhichOneof("content")
    if content != expected:
        raise ProtocolError("protocol.unexpected-step", f"{content} instead of {expected}")
    return message


def _all(kind: str, messages: Mapping[str, bytes]) -> dict[str, pb.FromCoordinator]:
    fields: dict[str, Any] = {member: {kind: message} for member, message in messages.items()}
    return {member: pb.FromCoordinator(**one) for member, one in fields.items()}
