"""A member's half of an epoch of secure sums: messages in, messages out, no input or output of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hanse.aggregation.channels import KEY_BYTES, derive, seal, unseal
from hanse.aggregation.codes import Codes
from hanse.aggregation.epoch_secrets import EpochSecrets
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.member_sum import MemberSum, Session, Shares, SumSecrets
from hanse.aggregation.messages import (
    KEYS_CONTEXT,
    advertisement_body,
    check_advertisement,
    keys_digest,
    read,
    session_digest,
)
from hanse.aggregation.queries import Contributor, Query
from hanse.aggregation.shamir import SHARE_BYTES
from hanse.aggregation.terms import AgreedTerms, SumHistory, SumTerms, asked_digest, question_digest
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.crypto import SigningKey
from hanse.errors import IdentityError, PolicyError, ProtocolError

_COORDINATOR: Final = "coordinator"
_CHANNEL: Final = "hanse secure sum 1 channel"


class MemberEpoch:
    """The state of one epoch at one member.

    The steps are :meth:`open`, :meth:`advertised`, :meth:`shared`, then for each sum :meth:`mask` (or
    :meth:`answer`), :meth:`survivors` if somebody is missing, :meth:`reveal`; sums may overlap. Every step
    takes a message of the coordinator and gives the answer to send. Whatever is refused is raised as a
    :class:`~hanse.errors.HanseError` that names who is at fault: nothing leaves then, and what was prepared
    stays as it was. Log the error; a refusal is a reason to leave the run.

    Args:
        agreed: What this member knows of the run.
        key: Its identity key, the one that the agreement names.
        member: This member.
        history: Of the run; the same object for all its epochs.
        entropy: Gives so many bytes that nobody can guess: ``os.urandom``, except in tests.

    Raises:
        IdentityError: ``identity.bad-key`` if the key is not the agreement's.
    """

    def __init__(
        self,
        agreed: AgreedTerms,
        key: SigningKey,
        member: str,
        history: SumHistory,
        entropy: Callable[[int], bytes],
    ) -> None:
        if agreed.members.get(member) != key.verifier:
            raise IdentityError("identity.bad-key", f"not the key that the agreement has for {member}")
        self._agreed = agreed
        self._key = key
        self._member = member
        self._history = history
        self._entropy = entropy
        self._terms: SumTerms | None = None
        self._own: EpochSecrets | None = None
        self._peers: dict[str, pb.SumAdvertisement] = {}
        self._keys = b""
        self._commons: dict[str, bytes] = {}
        self._kept_shares: list[Shares] = []
        self._session: Session | None = None
        self._sums: list[MemberSum] = []
        self._asked: dict[int, bytes] = {}

    def open(self, data: bytes) -> bytes:
        """Takes the coordinator's opening, and makes fresh keys for every sum.

        Args:
            data: A ``SumOpening``.

        Returns:
            A ``SumAdvertisement``.

        Raises:
            HanseError: As :meth:`AgreedTerms.accept` and :meth:`SumHistory.enter`;
                ``protocol.unexpected-step`` after the first.
        """
        if self._terms is not None:
            raise ProtocolError("protocol.unexpected-step", f"{_COORDINATOR}: the epoch is open")
        terms = self._agreed.accept(read(pb.SumOpening, data, _COORDINATOR))
        self._history.enter(terms.epoch)
        self._terms = terms
        self._own = EpochSecrets.generate(terms.sums, self._entropy)
        advertisement = self._own.advertise(self._member, terms)
        advertisement.signature = self._key.sign(KEYS_CONTEXT, advertisement_body(advertisement))
        self._peers = {self._member: advertisement}
        return advertisement.SerializeToString()

    def advertised(self, data: bytes) -> bytes:
        """Takes everybody's keys, and seals shares of this member's secrets to each.

        Args:
            data: A ``SumAdvertisements``.

        Returns:
            A ``SumShares``.

        Raises:
            HanseError: ``sum.changed-keys`` for other keys than before, of anybody; ``sum.too-few``;
                as :func:`check_advertisement`; ``protocol.unexpected-step`` before :meth:`open`.
        """
        terms, own = self._opened()
        message = read(pb.SumAdvertisements, data, _COORDINATOR)
        shown = {one.member: one for one in message.members}
        if list(shown) != sorted(shown) or len(shown) != len(message.members):
            raise ProtocolError("protocol.malformed", f"{_COORDINATOR}: keys that are not in order")
        self._check_unchanged(shown)
        self._require(len(shown), "have advertised keys")
        for member, advertisement in shown.items():
            if member != self._member:
                check_advertisement(advertisement, terms)
        keys = keys_digest(terms, list(message.members))
        self._peers, self._keys = shown, keys
        return self._seal_shares(terms, own)

    def shared(self, data: bytes) -> None:
        """Takes the shares that others have sealed to this member; sums can be made afterwards.

        Args:
            data: A ``SumShares``.

        Raises:
            HanseError: ``sum.bad-share`` for what does not open, ``sum.foreign`` for shares under other keys,
                ``sum.roster``, ``sum.too-few``, ``protocol.unexpected-step``.
        """
        terms, own = self._opened()
        if not self._keys or self._session is not None:
            raise ProtocolError("protocol.unexpected-step", f"{_COORDINATOR}: shares are not due")
        message = read(pb.SumShares, data, _COORDINATOR)
        if message.keys != self._keys:
            raise ProtocolError("sum.foreign", f"{_COORDINATOR}: shares of another epoch")
        sealed = {one.member: one.sealed for one in message.members}
        strangers = set(sealed) - (set(self._peers) - {self._member})
        if strangers or len(sealed) != len(message.members):
            raise PolicyError("sum.roster", f"{_COORDINATOR}: shares of somebody who has not advertised")
        self._require(len(sealed) + 1, "have shared secrets")
        opened = {peer: self._unseal(terms, own, peer, box) for peer, box in sealed.items()}
        opened[self._member] = self._kept_shares
        self._prepare(terms, own, opened)

    def mask(self, number: int, question: bytes, vector: RingVector) -> bytes:
        """Masks this member's vector for one sum, in place.

        Args:
            number: Which sum of the epoch, from 0.
            question: Digest of what the vector answers, 32 bytes; others answer the same, or nothing adds up.
            vector: Ring elements; masked afterwards.

        Returns:
            A ``SumInput``.

        Raises:
            ProtocolError: ``sum.repeated`` for a second vector, for one after the sum was opened, or for a
                question that was answered before; ``protocol.unexpected-step`` before :meth:`shared`.
        """
        state = self._sum(number)
        state.require_unanswered()
        self._note(number, question)
        return state.mask(question, vector)

    def answer(self, number: int, query: Query, contributor: Contributor) -> bytes:
        """Lets a contributor answer a query, and masks the answer.

        Args:
            number: Which sum of the epoch, from 0.
            query: What is asked.
            contributor: This member's half of the algorithm.

        Returns:
            A ``SumInput``.

        Raises:
            HanseError: As :meth:`mask`; as the contributor; ``protocol.malformed`` if the answer does not fit
                the query, or the sum of all members could leave the ring.
        """
        state = self._sum(number)
        state.require_unanswered()
        if self._session is None or len(self._session.sharers) > query.encoding.contributors:
            raise ProtocolError("protocol.malformed", f"{_COORDINATOR}: an encoding for fewer members")
        # Before the data are touched: asking for the same again is refused, even if this attempt fails.
        self._note(number, asked_digest(query))
        values = contributor.contribute(query)
        if values.shape != (query.length,):
            raise ProtocolError("protocol.malformed", f"{self._member}: an answer of another length")
        return state.mask(question_digest(query), query.encoding.encode(values))

    def survivors(self, data: bytes) -> bytes:
        """Confirms the list of those whose inputs have come; one list in a sum.

        Args:
            data: A ``SumSurvivors``.

        Returns:
            A ``SumConfirmation``.

        Raises:
            HanseError: ``sum.equivocation`` for a second list, ``sum.too-few``, ``sum.roster``,
                ``sum.foreign``, ``protocol.replayed``, ``protocol.unexpected-step`` before :meth:`mask`.
        """
        message = read(pb.SumSurvivors, data, _COORDINATOR)
        return self._sum(message.sum).confirm(message)

    def reveal(self, data: bytes) -> bytes:
        """Gives up a share of each survivor's seed, and of each vanished member's key, and forgets the rest.

        Args:
            data: A ``SumCertificate``; without codes if nobody is missing from the list.

        Returns:
            A ``SumReveal``.

        Raises:
            HanseError: ``sum.equivocation`` for another list than was confirmed, ``sum.too-few`` if too few
                have confirmed it, ``sum.roster``, ``sum.foreign``, ``protocol.replayed`` for a second time,
                ``protocol.unexpected-step`` before :meth:`mask` and, for a list from which somebody is
                missing, before :meth:`survivors`.
        """
        message = read(pb.SumCertificate, data, _COORDINATOR)
        number = message.survivors.sum
        revealed = self._sum(number).reveal(message)
        # There is an answer, or nothing would have been revealed.
        self._history.open(self._asked[number])
        return revealed

    def _note(self, number: int, asked: bytes) -> None:
        """Notes what a sum answers, unless it was answered before."""
        self._history.answer(asked)
        self._asked[number] = asked

    def _opened(self) -> tuple[SumTerms, EpochSecrets]:
        if self._terms is None or self._own is None:
            raise ProtocolError("protocol.unexpected-step", f"{_COORDINATOR}: the epoch is not open")
        return self._terms, self._own

    def _sum(self, number: int) -> MemberSum:
        if self._session is None:
            raise ProtocolError("protocol.unexpected-step", f"{_COORDINATOR}: the epoch is not prepared")
        if not 0 <= number < len(self._sums):
            raise ProtocolError("sum.foreign", f"{_COORDINATOR}: the epoch has no sum {number}")
        return self._sums[number]

    def _require(self, count: int, what: str) -> None:
        required = self._opened()[0].required
        if count < required:
            raise PolicyError("sum.too-few", f"{_COORDINATOR}: {count} of at least {required} members {what}")

    def _check_unchanged(self, shown: Mapping[str, pb.SumAdvertisement]) -> None:
        """This member's own keys always, everybody's once they were shown."""
        known = self._peers
        for member in sorted(known if self._keys else {self._member}):
            if member not in shown or shown[member] != known[member]:
                raise ProtocolError("sum.changed-keys", f"{_COORDINATOR}: other keys of {member} than before")
        if self._keys:
            raise ProtocolError("protocol.replayed", f"{_COORDINATOR}: keys that were shown before")

    def _seal_shares(self, terms: SumTerms, own: EpochSecrets) -> bytes:
        made = own.split(terms, self._entropy)
        self._kept_shares = [
            Shares(keys[terms.numbers[self._member] - 1], seeds[terms.numbers[self._member] - 1])
            for keys, seeds in made
        ]
        sealed = []
        for peer in sorted(set(self._peers) - {self._member}):
            place = terms.numbers[peer] - 1
            plaintext = b"".join(keys[place] + seeds[place] for keys, seeds in made)
            box = seal(self._channel(own, self._member, peer), plaintext, self._keys)
            sealed.append(pb.SumSealed(member=peer, sealed=box))
        return pb.SumShares(keys=self._keys, members=sealed).SerializeToString()

    def _channel(self, own: EpochSecrets, sender: str, recipient: str) -> bytes:
        """The key for what one of this member and a peer seals to the other, once."""
        common = self._common(own, recipient if sender == self._member else sender)
        return derive(common, self._keys, f"{_CHANNEL} {sender} {recipient}".encode())

    def _common(self, own: EpochSecrets, peer: str) -> bytes:
        """What the channel keys of this member and a peer have in common: for two seals and two codes."""
        if peer not in self._commons:
            self._commons[peer] = own.channel.agree(self._peers[peer].channel_key, peer)
        return self._commons[peer]

    def _unseal(self, terms: SumTerms, own: EpochSecrets, peer: str, box: bytes) -> list[Shares]:
        plaintext = unseal(self._channel(own, peer, self._member), box, self._keys, peer)
        if len(plaintext) != 2 * SHARE_BYTES * terms.sums:
            raise ProtocolError("sum.bad-share", f"{peer}: shares of another number of sums")
        parts = [plaintext[at : at + SHARE_BYTES] for at in range(0, len(plaintext), SHARE_BYTES)]
        return [Shares(key, seed) for key, seed in zip(parts[::2], parts[1::2], strict=True)]

    def _prepare(self, terms: SumTerms, own: EpochSecrets, shares: Mapping[str, Sequence[Shares]]) -> None:
        """Agrees on all masks at once, and forgets the keys that did it."""
        sharers = tuple(sorted(shares))
        session = Session(terms, session_digest(self._keys, sharers), sharers)
        peers = [peer for peer in sharers if peer != self._member]
        near = session.neighbours()[self._member]
        codes = Codes(self._member, session.digest, {peer: self._common(own, peer) for peer in peers})
        sums = []
        for number in range(terms.sums):
            place = slice(number * KEY_BYTES, (number + 1) * KEY_BYTES)
            pair = own.pairs[number]
            secrets = SumSecrets(
                seed=own.seeds[number],
                pairs={peer: pair.agree(self._peers[peer].mask_keys[place], peer) for peer in near},
                shares={peer: kept[number] for peer, kept in shares.items()},
            )
            sums.append(MemberSum(session, number, self._member, secrets, codes))
        self._session, self._sums = session, sums
        own.forget()
        self._commons, self._kept_shares = {}, []
