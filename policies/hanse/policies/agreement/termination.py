"""The end of an agreement: any member ends it by a signed note, and an entrusted member attests what it did.

Both are signed notes (https://c2sp.org/signed-note) over one line of canonical JSON, by the key of the
member's approver. A note ends every version of the agreement, for all who hold it, for good: who wants to go
on agrees anew under another name.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self

from pydantic import ValidationError

from hanse.crypto import (
    SigningKey,
    VerifierKey,
    open_note,
    sign_note,
    unverified_text,
)
from hanse.errors import IdentityError, PolicyError, ProtocolError
from hanse.policies.agreement.document import Agreement
from hanse.policies.agreement.parties import Member
from hanse.policies.fields import Count, Name, Sha256Hex, Text, UtcTime, problems
from hanse.policies.identity import Identity
from hanse.policies.texts import SignedText

MAX_NOTE_BYTES = 1 << 16


class _MemberNote(SignedText):
    """A statement of one member about an agreement.

    Attributes:
        schema_version: Version of the form.
        agreement: Short name of the agreement.
        version: Its version, as the member knew it.
        digest: SHA-256 of that version's text.
        member: Short name of the member that states this.
    """

    schema_version: Literal[1] = 1
    agreement: Name
    version: Count
    digest: Sha256Hex
    member: Name

    def sign(self, key: SigningKey) -> bytes:
        """Signs the statement with the key of the member's approver."""
        return sign_note(self.text(), key)

    @classmethod
    def open(cls, data: bytes, trusted: Mapping[str, Identity]) -> Self:
        """Opens a statement that the approver of the member that it names has signed.

        Args:
            data: Bytes from anywhere.
            trusted: Identities that this site pinned, by name.

        Returns:
            The statement.

        Raises:
            PolicyError: ``policy.invalid`` if it is none, or was altered.
            IdentityError: ``identity.unknown-signer`` if the member is not pinned here, or its approver has
                not signed.
        """
        if len(data) > MAX_NOTE_BYTES:
            raise PolicyError(
                "policy.invalid", f"a {cls.__name__.casefold()} has at most {MAX_NOTE_BYTES} bytes"
            )
        try:
            statement = cls.from_text(unverified_text(data))
            identity = trusted.get(statement.member)
            if identity is None or identity.approver_key is None:
                raise IdentityError(
                    "identity.unknown-signer", f"member {statement.member} is not pinned here; enrol it first"
                )
            open_note(data, VerifierKey.decode(identity.approver_key))
        except ProtocolError as error:
            raise PolicyError("policy.invalid", f"not a signed note: {error.detail}") from error
        return statement


class Termination(_MemberNote):
    """A member ends an agreement, at once.

    Attributes:
        reason: Why.
        terminated_at: When.
    """

    header = "hanse termination v1\n"
    called = "a termination"
    reason: Text
    terminated_at: UtcTime


class Attestation(_MemberNote):
    """An entrusted member states that it has deleted or returned what it processed (PIPL 21, GDPR 28(3)(g)).

    Attributes:
        done: What it did, as its contract says.
        attested_at: When it stated so.
        attested_by: The person who states it.
    """

    header = "hanse attestation v1\n"
    called = "an attestation"
    done: Literal["delete", "return"]
    attested_at: UtcTime
    attested_by: Text


def terminate(agreement: Agreement, member: str, reason: str, now: datetime) -> Termination:
    """Ends an agreement for one of its members.

    Args:
        agreement: The agreement.
        member: Short name of the member.
        reason: Why; one line.
        now: The time, with time zone.

    Returns:
        The statement; sign it with the key of the member's approver.

    Raises:
        PolicyError: ``policy.denied`` (P20) if it is no member; ``policy.invalid`` if the reason is no line.
    """
    _require_member(agreement, member)
    try:
        return Termination(
            agreement=agreement.id,
            version=agreement.version,
            digest=agreement.digest,
            member=member,
            reason=reason,
            terminated_at=now,
        )
    except ValidationError as error:
        raise PolicyError("policy.invalid", "; ".join(problems(error))) from error


def attest(
    agreement: Agreement, member: str, now: datetime, terminations: tuple[Termination, ...] = ()
) -> Attestation:
    """States that an entrusted member has done with the data what its contract asks for.

    Args:
        agreement: The agreement, which has ended.
        member: Short name of the entrusted member.
        now: The time, with time zone.
        terminations: Notes that this site holds.

    Returns:
        The statement; sign it with the key of the member's approver.

    Raises:
        PolicyError: ``policy.denied`` (P20) if it is no entrusted member, or nothing has ended yet.
    """
    party = _require_member(agreement, member)
    if party.role != "entrusted" or party.contract is None:
        raise PolicyError("policy.denied", f"{member} is not entrusted by a contract", rule="P20")
    ended = any(ends(note, agreement) for note in terminations)
    if not ended and now < min(party.contract.until, agreement.valid_until):
        raise PolicyError(
            "policy.denied",
            "neither the agreement nor the contract has ended; there is nothing to attest",
            rule="P20",
        )
    return Attestation(
        agreement=agreement.id,
        version=agreement.version,
        digest=agreement.digest,
        member=member,
        done=party.contract.at_end,
        attested_at=now,
        attested_by=party.approver,
    )


def ends(termination: Termination, agreement: Agreement) -> bool:
    """Whether a note ends an agreement: the same short name, and one of its members has signed it."""
    return termination.agreement == agreement.id and agreement.member(termination.member) is not None


def _require_member(agreement: Agreement, name: str) -> Member:
    party = agreement.member(name)
    if party is None:
        raise PolicyError("policy.denied", "this site is no member of the agreement", rule="P20")
    return party
