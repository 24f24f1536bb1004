"""Secure sums between members in one process: the whole protocol, every message serialised, no network.

For tests, and to see what a drop-out does. Everything is in one process here, so nothing is hidden from it.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Final, TypeAlias

from hanse.aggregation.coordinator import CoordinatorEpoch
from hanse.aggregation.coordinator_sum import ask_enough
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.member import MemberEpoch
from hanse.aggregation.queries import Aggregate, Contributor, Query
from hanse.aggregation.terms import (
    FEWEST_MEMBERS,
    AgreedTerms,
    SumHistory,
    SumTerms,
    asked_digest,
    question_digest,
)
from hanse.crypto import SigningKey
from hanse.errors import HanseError


class Phase(Enum):
    """Where a member can vanish: it does not send this any more."""

    ADVERTISE = "keys"
    SHARE = "shares"
    INPUT = "input"
    CONFIRM = "confirmation"
    REVEAL = "reveal"


Absent: TypeAlias = Callable[[str, int, Phase], bool]
"""Is a member away in a phase of a sum? The number is :data:`PREPARING` while an epoch is prepared."""

PREPARING: Final = -1
_SUMS: Final = 16
_AGREEMENT: Final = "0" * 64


class LocalEpoch:
    """One epoch between a coordinator and members in this process.

    Args:
        terms: Of the epoch.
        members: The state of each member, by member.
        absent: Who is away when. A member that is away in one phase of a sum is away for the rest of it.

    Attributes:
        members: As given.
        refusals: The error with which a member refused, by member.
    """

    def __init__(self, terms: SumTerms, members: Mapping[str, MemberEpoch], absent: Absent) -> None:
        self._terms = terms
        self.members = members
        self._absent = absent
        self._coordinator = CoordinatorEpoch(terms)
        self.refusals: dict[str, HanseError] = {}

    @property
    def sharers(self) -> tuple[str, ...]:
        """Who can take part in the sums, sorted."""
        return self._coordinator.sharers

    def prepare(self) -> tuple[str, ...]:
        """Exchanges keys and shares.

        Returns:
            Who can take part in the sums, sorted.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few can.
        """
        coordinator, opening = self._coordinator, dict.fromkeys(self._terms.members, self._terms.opening())
        for member, reply in self._ask(opening, PREPARING, Phase.ADVERTISE, self._open):
            coordinator.take_advertisement(member, reply)
        shown = coordinator.close_advertisements()
        for member, reply in self._ask(shown, PREPARING, Phase.SHARE, self._advertised):
            coordinator.take_shares(member, reply)
        for member, sealed in coordinator.close_shares().items():
            self.members[member].shared(sealed)
        return coordinator.sharers

    def sum(
        self, number: int, question: bytes, empty: RingVector, answer: Callable[[str], bytes]
    ) -> tuple[RingVector, tuple[str, ...]]:
        """Makes one sum.

        Args:
            number: Which of the epoch, from 0.
            question: Digest of what is asked.
            empty: Ring elements, all zero.
            answer: Makes a member's ``SumInput``.

        Returns:
            As :meth:`CoordinatorSum.total`.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few are left.
        """
        state = self._coordinator.sum(number, question, empty)
        asked = dict.fromkeys(self._coordinator.sharers, b"")
        for member, reply in self._ask(asked, number, Phase.INPUT, lambda name, _: answer(name)):
            state.take_input(member, reply)

        def confirm(lists: Mapping[str, bytes]) -> None:
            for member, reply in self._ask(lists, number, Phase.CONFIRM, self._survivors):
                state.take_confirmation(member, reply)

        def reveal(certificates: Mapping[str, bytes]) -> None:
            for member, reply in self._ask(certificates, number, Phase.REVEAL, self._reveal):
                state.take_reveal(member, reply)

        ask_enough(state, confirm, reveal)
        return state.total()

    def _survivors(self, member: str, message: bytes) -> bytes:
        return self.members[member].survivors(message)

    def _reveal(self, member: str, message: bytes) -> bytes:
        return self.members[member].reveal(message)

    def _open(self, member: str, message: bytes) -> bytes:
        return self.members[member].open(message)

    def _advertised(self, member: str, message: bytes) -> bytes:
        return self.members[member].advertised(message)

    def _ask(
        self, messages: Mapping[str, bytes], number: int, phase: Phase, act: Callable[[str, bytes], bytes]
    ) -> Iterator[tuple[str, bytes]]:
        """Who is there and does not refuse, with the reply."""
        # Where nobody is missing there are no signatures: who would not send one is away afterwards.
        phases = (Phase.CONFIRM, phase) if phase is Phase.REVEAL else (phase,)
        for member, message in messages.items():
            if any(self._absent(member, number, each) for each in phases):
                continue
            try:
                reply = act(member, message)
            except HanseError as error:
                self.refusals[member] = error
                continue
            yield member, reply


class LocalAggregator:
    """An :class:`~hanse.aggregation.Aggregator` over contributors in this process, by secure sums.

    A member that is absent once, or refuses, has left the run. A question is answered once in a run.

    Args:
        contributors: By member, at least three.
        minimum: Fewest members of whom a sum may be made.
        sums: How many sums to prepare at once.
        absent: Who is away when; sums are counted over the whole run, from 0;
            while an epoch is prepared the number is that of its first sum.
        entropy: Gives so many bytes that nobody can guess.

    Raises:
        PolicyError: ``sum.too-few`` for fewer than three members.

    Attributes:
        refusals: The error with which a member refused, by member.
    """

    def __init__(
        self,
        contributors: Mapping[str, Contributor],
        *,
        minimum: int = FEWEST_MEMBERS,
        sums: int = _SUMS,
        absent: Absent = lambda _member, _number, _phase: False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._contributors = dict(sorted(contributors.items()))
        self._absent = absent
        self._entropy = entropy
        self._keys = {member: SigningKey(member, entropy(32)) for member in self._contributors}
        roster = {member: key.verifier for member, key in self._keys.items()}
        self._agreed = AgreedTerms(_AGREEMENT, "local", "local", roster, minimum)
        self._terms = SumTerms(_AGREEMENT, "local", 1, "local", roster, minimum, sums)
        self._histories = {member: SumHistory() for member in self._contributors}
        self._asked = SumHistory()
        self._gone: set[str] = set()
        self._begun = 0
        self._opened = 0
        self._members: dict[str, MemberEpoch] = {}
        self._epoch: LocalEpoch | None = None
        self.refusals: dict[str, HanseError] = {}

    @property
    def members(self) -> tuple[str, ...]:
        """See :class:`~hanse.aggregation.Aggregator`."""
        gone = self._gone.union(self.refusals)
        return tuple(member for member in self._contributors if member not in gone)

    def aggregate(self, query: Query) -> Aggregate:
        """See :class:`~hanse.aggregation.Aggregator`; ``sum.repeated`` if it was asked before."""
        question = question_digest(query)
        self._asked.answer(asked_digest(query))
        number = self._begun % self._terms.sums
        if number == 0 or self._epoch is None:
            self._epoch = self._prepared()
        self._begun += 1

        def answer(member: str) -> bytes:
            return self._members[member].answer(number, query, self._contributors[member])

        empty = query.encoding.zeros(query.length)
        total, survivors = self._epoch.sum(number, question, empty, answer)
        return Aggregate(query.encoding.decode(total), survivors)

    def _prepared(self) -> LocalEpoch:
        """The next epoch, with fresh keys for everything."""
        self._opened += 1
        terms = dataclasses.replace(self._terms, epoch=self._opened)
        self._members = {
            member: MemberEpoch(self._agreed, key, member, self._histories[member], self._entropy)
            for member, key in self._keys.items()
        }
        epoch = LocalEpoch(terms, self._members, self._away)
        epoch.refusals = self.refusals
        self._gone.update(set(self._contributors) - set(epoch.prepare()))
        return epoch

    def _away(self, member: str, number: int, phase: Phase) -> bool:
        """A member that was away, or has refused, does not come back."""
        counted = self._begun if number == PREPARING else self._begun - 1
        if member in self.refusals or self._absent(member, counted, phase):
            self._gone.add(member)
        return member in self._gone
