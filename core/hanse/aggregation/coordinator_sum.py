"""One secure sum at the coordinator: it collects, and learns the total of those whose inputs came."""

import hashlib
import os
from collections.abc import Callable, Container, Mapping
from typing import Final, TypeAlias

import numpy as np

from hanse.aggregation.channels import KEY_BYTES, KeyPair
from hanse.aggregation.codes import CODE_BYTES
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.masks import apply_masks
from hanse.aggregation.member_sum import Session, pair_mask, self_mask
from hanse.aggregation.messages import DIGEST_BYTES, read
from hanse.aggregation.shamir import SHARE_BYTES, combine
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.errors import ProtocolError, TrainingError

_THREADS: Final = min(4, os.cpu_count() or 1)

Ask: TypeAlias = Callable[[Mapping[str, bytes]], None]
"""Sends each member its message, and hands the answers of those who answer to the sum."""


class CoordinatorSum:
    """The state of one sum at the coordinator.

    Every member is asked for an input, :meth:`take_input`; :meth:`close_inputs` says to whom the list of
    survivors goes, nobody if it is complete; their answers go to :meth:`take_confirmation`;
    :meth:`certify` says to whom the certificate goes; their answers go to :meth:`take_reveal`;
    :meth:`total` ends it. :func:`ask_enough` does all of it between inputs and total. Who does not answer has
    vanished from this sum, and may take part in the next. What is refused is raised and names the member; the
    others go on.

    Args:
        session: The epoch.
        keys: Everybody's advertised keys, by member.
        number: Which of its sums.
        question: Digest of what is asked, 32 bytes.
        empty: Ring elements, all zero; the total is made in it.
    """

    def __init__(
        self,
        session: Session,
        keys: Mapping[str, pb.SumAdvertisement],
        number: int,
        question: bytes,
        empty: RingVector,
    ) -> None:
        self._session = session
        self._keys = keys
        self._number = number
        self._question = question
        self._total = empty
        self._inputs: set[str] = set()
        self._survivors: tuple[str, ...] | None = None
        self._codes: dict[str, dict[str, bytes]] = {}
        self._certified: set[str] = set()
        self._shares: dict[str, bytes] = {}

    def take_input(self, member: str, data: bytes) -> None:
        """Adds a member's masked vector.

        Args:
            member: From whom.
            data: A ``SumInput``.

        Raises:
            ProtocolError: ``sum.foreign``, ``protocol.malformed``, ``protocol.replayed`` for a second one,
                ``protocol.unexpected-step`` for one that is late.
        """
        expect(member, self._session.sharers, self._inputs, due=self._survivors is None)
        message = read(pb.SumInput, data, member)
        self._session.check(message.session, message.sum, self._number, member)
        if message.question != self._question:
            raise ProtocolError("sum.foreign", f"{member}: an answer to another question")
        vector = message.vector  # a copy each time
        if len(vector) != self._total.nbytes:
            raise ProtocolError("protocol.malformed", f"{member}: a vector of another length")
        np.add(self._total, np.frombuffer(vector, self._total.dtype), out=self._total)
        self._inputs.add(member)

    def close_inputs(self) -> dict[str, bytes]:
        """Ends the wait for inputs.

        Returns:
            A ``SumSurvivors`` for each survivor; none if nobody is missing, because then nobody confirms it.
            As many as :attr:`unconfirmed` says need it, and another whenever one of them does not answer.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few inputs have come.
        """
        survivors = tuple(sorted(self._inputs))
        self._require(len(survivors), self._session.terms.required, "sent an input")
        self._survivors = survivors
        if self._complete:
            return {}
        message = self._list(survivors).SerializeToString()
        return dict.fromkeys(survivors, message)

    def take_confirmation(self, member: str, data: bytes) -> None:
        """Takes a survivor's codes for the others; whether they are genuine only the others can tell.

        Args:
            member: From whom.
            data: A ``SumConfirmation``.

        Raises:
            ProtocolError: As :meth:`take_input`.
        """
        survivors = () if self._complete else self._survivors or ()
        expect(member, survivors, self._codes, due=bool(survivors))
        message = read(pb.SumConfirmation, data, member)
        self._session.check(message.session, message.sum, self._number, member)
        others = [peer for peer in survivors if peer != member]
        if len(message.codes) != CODE_BYTES * len(others):
            raise ProtocolError("protocol.malformed", f"{member}: codes for another number of members")
        codes = message.codes
        self._codes[member] = {
            peer: codes[place * CODE_BYTES : (place + 1) * CODE_BYTES] for place, peer in enumerate(others)
        }

    def certify(self) -> dict[str, bytes]:
        """Shows who may reveal that enough have confirmed the list.

        Returns:
            A ``SumCertificate`` for each member that has confirmed since the last call, or for everybody if
            nobody is missing. As many as :attr:`missing` says need it, and another whenever one of them does
            not answer.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few have confirmed.
        """
        if not self._complete:
            self._require(len(self._codes), self._session.terms.threshold, "confirmed the list of survivors")
        survivors, fresh = self._list(self._survivors or ()), self._revealing - self._certified
        self._certified |= fresh
        return {
            member: pb.SumCertificate(survivors=survivors, codes=self._codes_for(member)).SerializeToString()
            for member in sorted(fresh)
        }

    def take_reveal(self, member: str, data: bytes) -> None:
        """Takes a member's shares.

        Args:
            member: From whom.
            data: A ``SumReveal``.

        Raises:
            ProtocolError: As :meth:`take_input`.
        """
        expect(member, self._certified, self._shares, due=True)
        message = read(pb.SumReveal, data, member)
        self._session.check(message.session, message.sum, self._number, member)
        if len(message.shares) != SHARE_BYTES * len(self._session.sharers):
            raise ProtocolError("protocol.malformed", f"{member}: shares of another number of members")
        self._shares[member] = message.shares

    @property
    def unconfirmed(self) -> int:
        """How many more members must confirm the list, so that enough have and enough may reveal."""
        if self._complete:
            return 0
        unasked = len(self._codes) - len(self._certified)
        return max(0, self._session.terms.threshold - len(self._codes), self.missing - unasked)

    @property
    def missing(self) -> int:
        """From how many more members shares are needed; asking further ones gains nothing."""
        return max(0, self._session.terms.threshold - len(self._shares))

    def total(self) -> tuple[RingVector, tuple[str, ...]]:
        """Takes the masks off.

        Returns:
            The sum in the ring, and whose inputs are in it, sorted.

        Raises:
            TrainingError: ``run.insufficient-members`` if too few shares have come.
            ProtocolError: ``sum.bad-share`` if shares do not give what a member has committed to.
        """
        self._require(len(self._shares), self._session.terms.threshold, "revealed shares")
        survivors = self._survivors or ()
        secrets = {peer: self._secret(place, peer) for place, peer in enumerate(self._session.sharers)}
        where = (self._session.digest, self._number, self._question)
        subtract = [self_mask(secrets[member], *where, member) for member in survivors]
        add: list[bytes] = []
        neighbours = {} if self._complete else self._session.neighbours()
        for vanished in sorted(set(self._session.sharers) - set(survivors)):
            pair = KeyPair(secrets[vanished])
            for member in sorted(set(neighbours[vanished]) & set(survivors)):
                common = pair.agree(self._public(member), member)
                key = pair_mask(common, *where, (member, vanished))
                (subtract if member < vanished else add).append(key)
        # Members wait for it, and nothing else is done meanwhile.
        apply_masks(self._total, add, subtract, _THREADS)
        return self._total, survivors

    @property
    def _complete(self) -> bool:
        """Whether nobody is missing."""
        return self._survivors == self._session.sharers

    @property
    def _revealing(self) -> set[str]:
        """Who may be asked for shares."""
        return set(self._session.sharers if self._complete else self._codes)

    def _codes_for(self, member: str) -> list[pb.SumCode]:
        return [
            pb.SumCode(member=peer, code=codes[member])
            for peer, codes in sorted(self._codes.items())
            if peer != member
        ]

    def _secret(self, place: int, peer: str) -> bytes:
        """A survivor's seed or a vanished member's private key, compared with what it has advertised."""
        part = slice(place * SHARE_BYTES, (place + 1) * SHARE_BYTES)
        numbers = self._session.terms.numbers
        chosen = sorted(self._shares.items())[: self._session.terms.threshold]
        try:
            secret = combine({numbers[holder]: shares[part] for holder, shares in chosen})
        except ProtocolError as error:
            raise ProtocolError(error.code, f"{peer}: {error.detail}") from error
        if peer in (self._survivors or ()):
            digests = self._keys[peer].seed_digests
            stated = digests[self._number * DIGEST_BYTES : (self._number + 1) * DIGEST_BYTES]
            genuine = hashlib.sha256(secret).digest() == stated
        else:
            genuine = KeyPair(secret).public == self._public(peer)
        if not genuine:
            raise ProtocolError("sum.bad-share", f"{peer}: the shares do not give what it has advertised")
        return secret

    def _public(self, member: str) -> bytes:
        return self._keys[member].mask_keys[self._number * KEY_BYTES : (self._number + 1) * KEY_BYTES]

    def _list(self, survivors: tuple[str, ...]) -> pb.SumSurvivors:
        return pb.SumSurvivors(session=self._session.digest, sum=self._number, members=survivors)

    def _require(self, count: int, needed: int, what: str) -> None:
        require_members(count, needed, f"members of sum {self._number} have {what}")


def ask_enough(state: CoordinatorSum, confirm: Ask, reveal: Ask) -> None:
    """From inputs to shares: asks as many members as are needed, and another for each that does not answer.

    Args:
        state: A sum whose inputs have come.
        confirm: Asks for confirmations of the list of survivors.
        reveal: Asks for shares.

    Raises:
        TrainingError: ``run.insufficient-members`` if too few inputs or confirmations have come.
    """
    lists = state.close_inputs()
    while True:
        while (needed := state.unconfirmed) and lists:
            confirm(_taken(lists, needed))
        certificates = state.certify()
        while (needed := state.missing) and certificates:
            reveal(_taken(certificates, needed))
        # Somebody has confirmed and does not reveal: others must confirm before they may.
        if not state.missing or not lists:
            return


def _taken(messages: dict[str, bytes], count: int) -> dict[str, bytes]:
    """The first few of some messages, which are no longer among them."""
    return {member: messages.pop(member) for member in list(messages)[:count]}


def require_members(count: int, needed: int, what: str) -> None:
    """Ends a sum that too few members are left for.

    Raises:
        TrainingError: ``run.insufficient-members`` if it is so.
    """
    if count < needed:
        raise TrainingError("run.insufficient-members", f"{count} of at least {needed} {what}")


def expect(member: str, among: Container[str], seen: Container[str], *, due: bool) -> None:
    """Checks that a message of a member is due now.

    Args:
        member: From whom.
        among: Who is to send one.
        seen: Who has.
        due: Whether it is the time for it.

    Raises:
        ProtocolError: ``protocol.unexpected-step`` or, for a second one, ``protocol.replayed``.
    """
    if not due or member not in among:
        raise ProtocolError("protocol.unexpected-step", f"{member}: a message that is not due")
    if member in seen:
        raise ProtocolError("protocol.replayed", f"{member}: a second message")
