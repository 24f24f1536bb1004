"""A phase of a vertical run as the coordinator conducts it: who takes part, from when, and how it ends.

The coordinator carries what members say to each other and reads none of it. It asks every member to begin,
compares with what each says that it takes part with what the member has stated in the shared log, lets all
begin together, deals the randomness that they compute with, and waits for their answers. All members are
needed: each has columns that nobody else has. So one that leaves, refuses or falls silent ends the phase for
everybody, and the run with it; the log names it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hanse.api.v1 import round_pb2 as pb
from hanse.errors import HanseError, TrainingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.runs.resuming import GONE
from hanse.server.checks import check_ready
from hanse.server.party import Asked, Party
from hanse.server.sums import open_message

if TYPE_CHECKING:
    from hanse.server.exchange import Exchange

POLL_S: Final = 0.25
"""How soon somebody who cancels, and a member that refuses, is heard while the others compute."""

Deal: TypeAlias = Callable[[Mapping[str, PeerChannel]], None]
"""The coordinator's own part of a phase; blocks until it is done."""


class MemberGoneError(TrainingError):
    """A member is not there any more; the phase may be taken again when it is.

    Args:
        member: Who.
        error: What was noticed.
        asked: What all members were asked for.
    """

    def __init__(self, member: str, error: HanseError, asked: Asked) -> None:
        super().__init__("run.interrupted", f"{member} is gone: {error.code}")
        self.member = member
        self.asked = asked


class Conductor:
    """Conducts one phase; see the module docstring.

    Args:
        party: The members.
        exchange: Their sessions of the phase.
        asked: The command that they were sent.
        stated: Name of the step, as statements name it.
        aligned: Root of the common people that everybody must have stated; None before there is one.
        again: Whether the phase may be taken again if a member is gone.
    """

    def __init__(
        self,
        party: Party,
        exchange: "Exchange",
        asked: Asked,
        stated: str,
        aligned: bytes | None,
        *,
        again: bool = False,
    ) -> None:
        self._party = party
        self._exchange = exchange
        self._asked = asked
        self._stated = stated
        self._aligned = aligned
        self._again = again
        self._timeout_s = float(party.agreement.training.round_timeout_s)
        self._deadline_s = time.monotonic() + self._timeout_s

    def gather(self) -> dict[str, pb.Ready]:
        """With what each member takes part, as it has stated it.

        Raises:
            MemberGoneError: If the phase may be taken again.
            TrainingError: ``run.insufficient-members``, ``run.cancelled``.
        """
        ready: dict[str, pb.Ready] = {}
        for member in sorted(self._party.active):
            while member not in ready:
                self._require_all()
                self._answered(0.0)
                try:
                    data = self._exchange.receive(member, POLL_S)
                    ready[member] = self._checked(member, open_message(data, "ready").ready)
                except HanseError as error:
                    if error.code != "exchange.timeout":
                        self._lose(member, error)
        return ready

    def begin(self) -> None:
        """Lets all members begin."""
        for member in sorted(self._party.active):
            self._exchange.send(member, pb.FromCoordinator(begin=pb.Begin()).SerializeToString())

    def finish(self, deal: Deal | None) -> dict[str, pb.Part]:
        """Does the coordinator's part, and waits until all members have answered the command.

        Args:
            deal: The coordinator's part; None where it has none.

        Raises:
            TrainingError: As :meth:`gather`.
            HanseError: What the coordinator's own part has ended with.
        """
        dealing = None if deal is None else _Dealing(deal, self._channels())
        while not self._answered(POLL_S):
            self._require_all()
            if dealing is not None and dealing.error is not None:
                self._blame(dealing.error)
        replies = self._party.collect(self._asked)
        return {member: reply.phased.part for member, reply in replies.items()}

    def _channels(self) -> dict[str, PeerChannel]:
        # Imported now: the exchange's package knows the coordinator, which knows this module.
        from hanse.server.exchange import MemberChannel  # noqa: PLC0415

        members = sorted(self._party.active)
        return {member: MemberChannel(self._exchange, member, self._timeout_s) for member in members}

    def _checked(self, member: str, ready: pb.Ready) -> pb.Ready:
        statement = self._party.stated(member)
        check_ready(ready, self._stated, statement, self._party.agreement)
        root = None if statement is None or self._stated == "prepared" else statement.aligned_set_root
        if root != (None if self._aligned is None else self._aligned.hex()):
            raise TrainingError(
                "run.update-rejected", "other people than were aligned are stated", rule="P32"
            )
        return ready

    def _require_all(self) -> None:
        """Ends the phase if anybody has left it, in whatever way."""
        self._party.require_wanted()
        for member, error in self._exchange.failures().items():
            self._lose(member, error)
        if time.monotonic() > self._deadline_s:
            silent = sorted(set(self._asked.commands) - set(self._asked.pending.collect(0.0).bodies))
            for member in silent:
                self._lose(member, TrainingError("exchange.timeout", "the phase has taken too long"))

    def _answered(self, wait_s: float) -> bool:
        """Whether all have answered; a refusal ends the phase."""
        replies = self._asked.pending.collect(wait_s)
        for member in sorted(self._party.active):
            try:
                if member in replies.failures:
                    raise TrainingError("run.insufficient-members", replies.failures[member])
                if member in replies.bodies:
                    command = self._asked.commands[member]
                    self._party.open(replies.bodies[member], command, self._asked.expected)
            except HanseError as error:
                self._lose(member, error)
        return set(replies.bodies) >= self._party.active

    def _blame(self, error: HanseError) -> None:
        """The coordinator's own part has failed: whoever refused meanwhile is the reason, if anybody did."""
        until_s = time.monotonic() + 4 * POLL_S
        while time.monotonic() < until_s:
            self._answered(POLL_S)
            if self._again:
                self._require_all()  # names who is gone
        if self._again and _is_gone(error):
            raise MemberGoneError("a member", error, self._asked)
        raise error

    def _lose(self, member: str, error: HanseError) -> None:
        """A member leaves the run, and with it everybody; not who waited in vain for one that is gone.

        If the phase may be taken again, who is gone does not leave: it may come back.
        """
        away = _is_gone(error)
        if "exchange.timeout" in {error.code, error.detail} and (gone := self._gone()):
            away = True
            # Who waited in vain ends its session as well: the one that is gone has been so for longer.
            if gone[0] != member:
                member, error = gone[0], TrainingError("exchange.timeout", "it has no connection")
        if self._again and away:
            raise MemberGoneError(member, error, self._asked)
        if member in self._party.active:
            self._party.lose_for(member, error, self._stated, self._asked.round)
        self._party.require_enough()

    def _gone(self) -> list[str]:
        """Members that have not answered and have no connection, first who has been without for longest."""
        answered = self._asked.pending.collect(0.0).bodies.keys()
        links = self._exchange.links
        since_s = {member: links[member].away_since_s for member in self._party.active - answered}
        away = [(since, member) for member, since in since_s.items() if since is not None]
        return [member for _, member in sorted(away)]


def _is_gone(error: HanseError) -> bool:
    """Whether an error, or the one that a member refused with, says only that somebody is not there."""
    if error.code == "run.member-refused":
        return error.detail in GONE
    return error.code in {*GONE, "run.insufficient-members"}  # the latter if the engine brings no answer


class _Dealing:
    """The coordinator's own part, in a thread of its own.

    Attributes:
        error: What it has ended with; None while it goes on, and if it is done.
    """

    def __init__(self, deal: Deal, channels: Mapping[str, PeerChannel]) -> None:
        self.error: HanseError | None = None
        self._deal = deal
        self._channels = channels
        threading.Thread(target=self._run, name="dealer", daemon=True).start()

    def _run(self) -> None:
        try:
            self._deal(self._channels)
        except HanseError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - the run ends with it
            self.error = HanseError("internal.error", type(error).__name__)


def conversations(parts: Mapping[str, pb.Part]) -> list[dict[str, Any]]:
    """What members said to each other, as both sides tell it.

    Args:
        parts: What each member has of the run.

    Raises:
        TrainingError: ``run.accounts-differ`` if the two sides of a conversation tell different digests.
    """
    told = {(m, one.peer): one for m, part in parts.items() for one in part.conversations}
    found = []
    for (member, peer), one in sorted(told.items()):
        other = told.get((peer, member))
        if other is None or (other.digest, other.sent_bytes) != (one.digest, one.received_bytes):
            raise TrainingError(
                "run.accounts-differ", f"{member} and {peer} do not tell the same conversation"
            )
        if member < peer:
            found.append(
                {
                    "between": [member, peer],
                    "digest": one.digest,
                    "bytes": [one.sent_bytes, one.received_bytes],
                }
            )
    return found


def common_root(parts: Mapping[str, pb.Part]) -> tuple[bytes, int]:
    """Root and number of the common people, on which all members must agree.

    Raises:
        TrainingError: ``run.accounts-differ`` otherwise.
    """
    found = {(part.aligned_set_root, part.aligned) for part in parts.values()}
    if len(found) != 1:
        raise TrainingError("run.accounts-differ", "the members are not aligned on the same people")
    [(root, aligned)] = found
    return root, aligned
