"""One secure sum at one member: a masked vector, a confirmed list of survivors, shares. Each at most once.

A list on which nobody is missing need not be confirmed: see :mod:`hanse.aggregation`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hanse.aggregation.channels import derive
from hanse.aggregation.codes import Codes
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.masks import apply_masks
from hanse.aggregation.messages import survivors_body
from hanse.aggregation.neighbours import neighbours
from hanse.aggregation.terms import SumTerms
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.errors import PolicyError, ProtocolError

_COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Session:
    """An epoch whose members have exchanged keys and shares.

    Attributes:
        terms: Its terms.
        digest: Digest of the terms, all keys and who has shared.
        sharers: Who has shared secrets, sorted: everybody who can take part in its sums.
    """

    terms: SumTerms
    digest: bytes
    sharers: tuple[str, ...]

    def neighbours(self) -> dict[str, tuple[str, ...]]:
        """With whom each sharer shares masks; :mod:`hanse.aggregation` says why these are enough."""
        absent = len(self.terms.roster) - len(self.sharers)
        return neighbours(self.sharers, self.terms.threshold - absent)

    def check(self, session: bytes, number: int, expected: int, sender: str) -> None:
        """Checks that a message belongs here.

        Args:
            session: The digest in the message.
            number: The number of a sum in it.
            expected: The number that it must have.
            sender: From whom, for the error.

        Raises:
            ProtocolError: ``sum.foreign`` if it belongs to another sum, epoch, run or agreement.
        """
        if session != self.digest or number != expected:
            raise ProtocolError("sum.foreign", f"{sender}: a message of another secure sum")


@dataclass(frozen=True, slots=True)
class Shares:
    """A member's shares of one peer's two secrets of one sum: at most one of them ever leaves."""

    key: bytes
    seed: bytes


@dataclass(frozen=True, slots=True)
class SumSecrets:
    """What a member keeps for one sum.

    Attributes:
        seed: Of its own mask, 32 bytes.
        pairs: What it has in common with each neighbour, 32 bytes, by member.
        shares: Of every sharer's secrets, its own included, by member.
    """

    seed: bytes
    pairs: Mapping[str, bytes]
    shares: Mapping[str, Shares]


Pairing: TypeAlias = tuple[str, str]


def pair_mask(common: bytes, session: bytes, number: int, question: bytes, pair: Pairing) -> bytes:
    """Key of the mask that two members share in one sum.

    Args:
        common: What their keys of this sum have in common.
        session: Digest of the session.
        number: Of the sum.
        question: Digest of what is asked.
        pair: Both members; the first in order adds the mask, the second subtracts it.
    """
    first, second = sorted(pair)
    info = f"hanse secure sum 1 pair {number} {first} {second} ".encode()
    return derive(common, session, info + question)


def self_mask(seed: bytes, session: bytes, number: int, question: bytes, member: str) -> bytes:
    """Key of the mask that a member has alone in one sum; arguments as of :func:`pair_mask`."""
    return derive(seed, session, f"hanse secure sum 1 self {number} {member} ".encode() + question)


class MemberSum:
    """The state of one sum at one member. Its secrets are forgotten when it has revealed.

    Args:
        session: The epoch that it belongs to.
        number: Which of its sums.
        member: This member.
        secrets: What the epoch has prepared.
        codes: To confirm lists with.
    """

    def __init__(self, session: Session, number: int, member: str, secrets: SumSecrets, codes: Codes) -> None:
        self._session = session
        self._number = number
        self._codes = codes
        self._member = member
        self._secrets: SumSecrets | None = secrets
        self._question: bytes | None = None
        self._confirmed: tuple[str, ...] | None = None
        self._body = b""

    def mask(self, question: bytes, vector: RingVector) -> bytes:
        """Masks a vector; see :meth:`hanse.aggregation.MemberEpoch.mask`."""
        self.require_unanswered()
        secrets = self._kept()
        where = (self._session.digest, self._number, question)
        keys = {peer: pair_mask(pair, *where, (self._member, peer)) for peer, pair in secrets.pairs.items()}
        add = [key for peer, key in keys.items() if self._member < peer]
        subtract = [key for peer, key in keys.items() if peer < self._member]
        # Before the first masked element exists: a failure must not leave the masks usable a second time.
        self._question = question
        apply_masks(vector, [*add, self_mask(secrets.seed, *where, self._member)], subtract)
        message = pb.SumInput(
            session=self._session.digest, sum=self._number, question=question, vector=vector.tobytes()
        )
        del vector  # it is of megabytes, and the next copy can have its place
        return message.SerializeToString()

    def require_unanswered(self) -> None:
        """Checks that no vector was masked, and that it is not too late for one.

        Raises:
            ProtocolError: ``sum.repeated`` otherwise.
        """
        if self._question is not None or self._secrets is None:
            raise ProtocolError("sum.repeated", f"{_COORDINATOR}: sum {self._number} was answered before")

    def confirm(self, message: pb.SumSurvivors) -> bytes:
        """Confirms a list of survivors; see :meth:`hanse.aggregation.MemberEpoch.survivors`."""
        self._session.check(message.session, message.sum, self._number, _COORDINATOR)
        survivors = tuple(message.members)
        if self._confirmed is not None:
            code = "protocol.replayed" if survivors == self._confirmed else "sum.equivocation"
            raise ProtocolError(code, f"{_COORDINATOR}: a second list of survivors{self._differ(survivors)}")
        self._check_survivors(survivors)
        self._body = survivors_body(self._session.digest, self._number, self._asked(), survivors)
        self._confirmed = survivors
        codes = b"".join(self._codes.make(peer, self._body) for peer in survivors if peer != self._member)
        return pb.SumConfirmation(
            session=self._session.digest, sum=self._number, codes=codes
        ).SerializeToString()

    def reveal(self, message: pb.SumCertificate) -> bytes:
        """Gives up one share of each peer; see :meth:`hanse.aggregation.MemberEpoch.reveal`."""
        self._session.check(message.survivors.session, message.survivors.sum, self._number, _COORDINATOR)
        survivors = tuple(message.survivors.members)
        self._check_list(survivors)
        secrets = self._kept()
        if survivors != self._session.sharers:
            self._check_certificate(message, survivors)
        chosen = set(survivors)
        shares = [(secrets.shares[peer], peer in chosen) for peer in self._session.sharers]
        self._confirmed, self._secrets = survivors, None
        return pb.SumReveal(
            session=self._session.digest,
            sum=self._number,
            shares=b"".join(share.seed if alive else share.key for share, alive in shares),
        ).SerializeToString()

    def _kept(self) -> SumSecrets:
        if self._secrets is None:
            raise ProtocolError("protocol.replayed", f"{_COORDINATOR}: sum {self._number} has been revealed")
        return self._secrets

    def _asked(self) -> bytes:
        if self._question is None:
            raise ProtocolError(
                "protocol.unexpected-step", f"{_COORDINATOR}: sum {self._number} has no input of this member"
            )
        return self._question

    def _check_list(self, survivors: tuple[str, ...]) -> None:
        """The list that was confirmed, or the complete one if none was: then its shares confirm it."""
        if self._confirmed is None:
            self._asked()
            if survivors != self._session.sharers:
                raise ProtocolError("protocol.unexpected-step", f"{_COORDINATOR}: no list was confirmed yet")
        elif survivors != self._confirmed:
            named = self._differ(survivors)
            raise ProtocolError("sum.equivocation", f"{_COORDINATOR}: not the list that was confirmed{named}")

    def _check_survivors(self, survivors: tuple[str, ...]) -> None:
        if list(survivors) != sorted(set(survivors)) or not set(survivors) <= set(self._session.sharers):
            raise PolicyError(
                "sum.roster", f"{_COORDINATOR}: survivors who cannot be{self._differ(survivors)}"
            )
        if len(survivors) < self._session.terms.required:
            raise PolicyError("sum.too-few", f"{_COORDINATOR}: a sum of {len(survivors)} members")
        if self._member not in survivors:
            raise PolicyError(
                "sum.roster", f"{_COORDINATOR}: {self._member} is not in the sum that it shall open"
            )

    def _check_certificate(self, message: pb.SumCertificate, survivors: tuple[str, ...]) -> None:
        """So many members as no two lists can have have confirmed this one; this member is one of them."""
        confirmed, wrong = {self._member}, set[str]()
        for one in message.codes:
            if one.member not in survivors or one.member == self._member:
                raise PolicyError("sum.roster", f"{_COORDINATOR}: a code of nobody else who is left")
            genuine = self._codes.genuine(one.member, self._body, one.code)
            (confirmed if genuine else wrong).add(one.member)
        if len(confirmed) < self._session.terms.threshold:
            named = f"; not genuine: {', '.join(sorted(wrong))}" if wrong else ""
            raise PolicyError(
                "sum.too-few", f"{_COORDINATOR}: {len(confirmed)} have confirmed the list of survivors{named}"
            )

    def _differ(self, survivors: tuple[str, ...]) -> str:
        """Which members of the session the list and the expected one disagree about, for an error."""
        expected = set(self._confirmed or self._session.sharers)
        named = sorted(set(self._session.sharers) & (expected ^ set(survivors)))
        return f": {', '.join(named)}" if named else ""
