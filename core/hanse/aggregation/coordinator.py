"""The coordinator's half of an epoch of secure sums. It relays, and keeps nothing that opens an input."""

from hanse.aggregation.coordinator_sum import CoordinatorSum, expect, require_members
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.member_sum import Session
from hanse.aggregation.messages import check_advertisement, keys_digest, read, session_digest
from hanse.aggregation.terms import SumTerms
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.errors import ProtocolError


class CoordinatorEpoch:
    """The state of one epoch at the coordinator.

    :meth:`SumTerms.opening` goes to every member; answers go to :meth:`take_advertisement`;
    :meth:`close_advertisements` says what to send to whom; answers go to :meth:`take_shares`;
    :meth:`close_shares` says what to send to whom, without answers; then :meth:`sum`, in any order, each
    number once. A member that did not share in time cannot take part in this epoch.

    Args:
        terms: Of the epoch.
    """

    def __init__(self, terms: SumTerms) -> None:
        self._terms = terms
        self._advertised: dict[str, pb.SumAdvertisement] = {}
        self._keys = b""
        self._shared: dict[str, dict[str, bytes]] = {}
        self._session: Session | None = None
        self._started: set[int] = set()

    def take_advertisement(self, member: str, data: bytes) -> None:
        """Takes a member's keys.

        Args:
            member: From whom.
            data: A ``SumAdvertisement``.

        Raises:
            HanseError: ``identity.bad-signature``, ``sum.foreign``, ``protocol.malformed``,
                ``protocol.replayed``, ``protocol.unexpected-step``.
        """
        expect(member, self._terms.roster, self._advertised, due=not self._keys)
        message = read(pb.SumAdvertisement, data, member)
        if message.member != member:
            raise ProtocolError("sum.foreign", f"{member}: keys of somebody else")
        check_advertisement(message, self._terms)
        self._advertised[member] = message

    def close_advertisements(self) -> dict[str, bytes]:
        """Ends the wait for keys.

        Returns:
            A ``SumAdvertisements`` for everybody who has advertised.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few have.
        """
        self._require(len(self._advertised), "have advertised keys")
        members = sorted(self._advertised)
        shown = [self._advertised[member] for member in members]
        self._keys = keys_digest(self._terms, shown)
        return dict.fromkeys(members, pb.SumAdvertisements(members=shown).SerializeToString())

    def take_shares(self, member: str, data: bytes) -> None:
        """Takes what a member has sealed for the others.

        Args:
            member: From whom.
            data: A ``SumShares``.

        Raises:
            ProtocolError: ``sum.foreign``, ``protocol.malformed``, ``protocol.replayed``,
                ``protocol.unexpected-step``.
        """
        due = bool(self._keys) and self._session is None
        expect(member, self._advertised, self._shared, due=due)
        message = read(pb.SumShares, data, member)
        if message.keys != self._keys:
            raise ProtocolError("sum.foreign", f"{member}: shares of another epoch")
        sealed = {one.member: one.sealed for one in message.members}
        if set(sealed) != set(self._advertised) - {member}:
            raise ProtocolError("protocol.malformed", f"{member}: not shares for every other member")
        self._shared[member] = sealed

    def close_shares(self) -> dict[str, bytes]:
        """Ends the wait for shares.

        Returns:
            A ``SumShares`` for everybody who has shared.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few have.
        """
        self._require(len(self._shared), "have shared secrets")
        sharers = tuple(sorted(self._shared))
        self._session = Session(self._terms, session_digest(self._keys, sharers), sharers)
        messages = {member: self._for(member, sharers).SerializeToString() for member in sharers}
        self._shared = {}
        return messages

    def sum(self, number: int, question: bytes, empty: RingVector) -> CoordinatorSum:
        """Begins a sum.

        Args:
            number: Which of the epoch, from 0.
            question: Digest of what is asked, 32 bytes.
            empty: Ring elements, all zero, as many as every answer has.

        Raises:
            ProtocolError: ``sum.repeated`` for a number that was used, ``sum.foreign`` for one that was not
                prepared, ``protocol.unexpected-step`` before :meth:`close_shares`.
        """
        if self._session is None:
            raise ProtocolError("protocol.unexpected-step", "the epoch is not prepared")
        if not 0 <= number < self._terms.sums:
            raise ProtocolError("sum.foreign", f"the epoch has no sum {number}")
        if number in self._started:
            raise ProtocolError("sum.repeated", f"sum {number} was begun before")
        self._started.add(number)
        return CoordinatorSum(self._session, self._advertised, number, question, empty)

    @property
    def sharers(self) -> tuple[str, ...]:
        """Who can take part in the sums, sorted; nobody before :meth:`close_shares`."""
        return () if self._session is None else self._session.sharers

    def _for(self, member: str, sharers: tuple[str, ...]) -> pb.SumShares:
        sealed = [
            pb.SumSealed(member=peer, sealed=self._shared[peer][member]) for peer in sharers if peer != member
        ]
        return pb.SumShares(keys=self._keys, members=sealed)

    def _require(self, count: int, what: str) -> None:
        require_members(count, self._terms.required, f"members of epoch {self._terms.epoch} {what}")
