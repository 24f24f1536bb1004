"""What all members of an epoch of secure sums must agree on, and what a member compares it with.

Nothing in an opening is believed: a member builds the terms from its own copy of the agreement, and their
digest goes into every signature and every key.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hanse.aggregation.queries import Query
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.crypto import JsonInput, VerifierKey, canonical_json
from hanse.errors import PolicyError, ProtocolError

FEWEST_MEMBERS: Final = 3
MOST_MEMBERS: Final = 1024
MOST_SUMS: Final = 4096


@dataclass(frozen=True)
class SumTerms:
    """The terms of one epoch.

    Attributes:
        agreement_digest: SHA-256 of the agreement, lower-case hex.
        run: Run identifier.
        epoch: Number of the epoch in the run, from 1.
        purpose: The agreement's purpose.
        roster: Identity key of every member, by member.
        minimum: Fewest members of whom a sum may be made, by the agreement.
        sums: How many sums are prepared.

    Raises:
        PolicyError: ``sum.too-few`` for fewer than three members, or fewer than the minimum.
        ProtocolError: ``protocol.malformed`` for numbers out of range.
    """

    agreement_digest: str
    run: str
    epoch: int
    purpose: str
    roster: Mapping[str, VerifierKey]
    minimum: int
    sums: int

    def __post_init__(self) -> None:
        if len(self.roster) < max(FEWEST_MEMBERS, self.minimum):
            raise PolicyError("sum.too-few", f"a secure sum of {len(self.roster)} members")
        if len(self.roster) > MOST_MEMBERS or not 1 <= self.sums <= MOST_SUMS or self.epoch < 1:
            raise ProtocolError("protocol.malformed", "an epoch has up to 1024 members and 4096 sums")

    @functools.cached_property
    def members(self) -> tuple[str, ...]:
        """Everybody, sorted."""
        return tuple(sorted(self.roster))

    @functools.cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each member as a holder of shares, from 1."""
        return {member: number for number, member in enumerate(self.members, start=1)}

    @functools.cached_property
    def threshold(self) -> int:
        """How many members have to sign a list of survivors, and to reveal: more than two thirds of all.

        Let c of n members work with a lying coordinator. Two lists with t signatures each need 2t, and there
        are at most (n - c) + 2c, because the others sign once: with c < 2t - n, which up to a third of the
        members satisfy, only one list can have them. And c shares are too few to open anything.
        """
        return max(FEWEST_MEMBERS, 2 * len(self.roster) // 3 + 1)

    @functools.cached_property
    def required(self) -> int:
        """Fewest survivors of a sum: threshold and minimum."""
        return max(self.threshold, self.minimum)

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of all terms."""
        return digest(
            {
                "agreement": self.agreement_digest,
                "epoch": self.epoch,
                "minimum": self.minimum,
                "purpose": self.purpose,
                "roster": {member: key.encode() for member, key in self.roster.items()},
                "run": self.run,
                "sums": self.sums,
                "threshold": self.threshold,
            }
        )

    def opening(self) -> bytes:
        """The message with which the coordinator opens the epoch."""
        return pb.SumOpening(
            agreement_digest=self.agreement_digest,
            run=self.run,
            epoch=self.epoch,
            purpose=self.purpose,
            roster=self.members,
            minimum=self.minimum,
            sums=self.sums,
        ).SerializeToString()


@dataclass(frozen=True, slots=True)
class AgreedTerms:
    """What a member knows without the coordinator.

    Attributes:
        agreement_digest: SHA-256 of the agreement that it has checked, lower-case hex.
        run: The run that it takes part in.
        purpose: The agreement's purpose.
        members: Identity key of every member, by member, from the agreement.
        minimum: The agreement's minimum.
        left: Members that have left the run in order, as this member itself was told by them.
    """

    agreement_digest: str
    run: str
    purpose: str
    members: Mapping[str, VerifierKey]
    minimum: int
    left: frozenset[str] = field(default_factory=frozenset)

    def accept(self, opening: pb.SumOpening) -> SumTerms:
        """Compares an opening with what is known.

        Args:
            opening: From the coordinator.

        Returns:
            The terms, with the identity keys of the agreement.

        Raises:
            PolicyError: ``sum.roster`` for another set of members, ``sum.too-few`` for another minimum or
                fewer than three members.
            ProtocolError: ``sum.foreign`` for another agreement, run or purpose.
        """
        stated = (opening.agreement_digest, opening.run, opening.purpose)
        if stated != (self.agreement_digest, self.run, self.purpose):
            raise ProtocolError("sum.foreign", "coordinator: an epoch of another agreement, run or purpose")
        roster = {member: key for member, key in self.members.items() if member not in self.left}
        if list(opening.roster) != sorted(roster):
            differ = sorted(set(self.members) & (set(opening.roster) ^ set(roster)))
            raise PolicyError("sum.roster", f"coordinator: not the members of the run: {', '.join(differ)}")
        if opening.minimum != self.minimum:
            raise PolicyError("sum.too-few", "coordinator: not the minimum of the agreement")
        return SumTerms(*stated[:2], opening.epoch, self.purpose, roster, self.minimum, opening.sums)


@dataclass(slots=True)
class SumHistory:
    """What a member remembers for as long as a run lasts; one for all its epochs.

    A sum that a member has given no share for may be asked for again after an interruption, :meth:`again`.
    Why one of the two is opened at most: let t be the threshold, c of n members lie with the coordinator,
    c < 2t - n. To open a sum takes shares of t members, at least t - c of them honest. Who has given a share
    for the first does not answer again, and who answers again has forgotten the secrets of the first. So the
    honest ones of both are different members: were both opened, 2 (t - c) <= n - c, that is c >= 2t - n.

    Attributes:
        epoch: Number of the newest epoch.
        answered: Questions that it has answered since the last interruption, by :func:`asked_digest`.
        opened: Questions for whose sum it has given shares.
    """

    epoch: int = 0
    answered: set[bytes] = field(default_factory=set)
    opened: set[bytes] = field(default_factory=set)

    def enter(self, epoch: int) -> None:
        """Begins an epoch.

        Raises:
            ProtocolError: ``sum.repeated`` unless it is newer than all before.
        """
        if epoch <= self.epoch:
            raise ProtocolError("sum.repeated", f"coordinator: epoch {epoch} is over")
        self.epoch = epoch

    def answer(self, question: bytes) -> None:
        """Notes that a question is answered.

        Raises:
            ProtocolError: ``sum.repeated`` if it was before: two sums over the same data, one of them with
                fewer members, would tell the difference.
        """
        if question in self.answered or question in self.opened:
            raise ProtocolError("sum.repeated", "coordinator: this question was answered before")
        self.answered.add(question)

    def open(self, question: bytes) -> None:
        """Notes that a share of a question's sum is about to leave: nothing will have it answered again."""
        self.opened.add(question)

    def again(self) -> None:
        """Work that was interrupted is taken up again.

        What was answered and not opened may be asked again. The epochs so far must be gone, with all their
        secrets.
        """
        self.answered.clear()


def asked_digest(query: Query) -> bytes:
    """SHA-256 of what is asked, however the answer is encoded: that does not make it another question."""
    return digest(
        {"body": hashlib.sha256(query.body).hexdigest(), "kind": query.kind, "length": query.length}
    )


def question_digest(query: Query) -> bytes:
    """SHA-256 of everything that a member is asked; masks cancel only among those who were asked the same."""
    encoding = query.encoding
    return digest(
        {
            "body": hashlib.sha256(query.body).hexdigest(),
            "bound": float(encoding.bound),
            "contributors": encoding.contributors,
            "fraction_bits": encoding.fraction_bits,
            "kind": query.kind,
            "length": query.length,
            "ring_bits": encoding.ring_bits,
        }
    )


def digest(value: JsonInput) -> bytes:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(canonical_json(value)).digest()
