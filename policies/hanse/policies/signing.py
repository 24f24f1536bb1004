"""Signatures under agreements: one document, one line per member, and nothing else opens.

A signed agreement is a signed note (https://c2sp.org/signed-note) over the exact text of the agreement. The
keys that must sign are named in it, so a reader finds out in two steps: :func:`open_agreement` (all who are
named have signed exactly this), then :func:`require_known` (those who are named are those whom this site
knows).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hanse.crypto import SigningKey, VerifierKey, sign_note, unverified_text
from hanse.errors import IdentityError, PolicyError, ProtocolError
from hanse.policies.agreement import Agreement
from hanse.policies.identity import Identity
from hanse.policies.texts import has_strangers, sign_again, signers_of

_MEMBER: Final = ("organisation", "jurisdiction", "node_key", "approver_key", "witness_key")
"""What an agreement and an identity both say of a member."""


@dataclass(frozen=True, slots=True)
class SignedAgreement:
    """An agreement that every member's approver has signed.

    Attributes:
        agreement: The agreement.
        digest: SHA-256 of its text, 64 hex digits.
        signers: Names of the members whose approvers signed, in the order of the agreement: all of them.
        note: The exact bytes that were opened.
    """

    agreement: Agreement
    digest: str
    signers: tuple[str, ...]
    note: bytes


def sign_agreement(document: Agreement | bytes, key: SigningKey) -> bytes:
    """Signs an agreement for one member.

    Args:
        document: The agreement, or what others have signed of it.
        key: Key of an approver that the agreement names.

    Returns:
        A signed note with one more signature.

    Raises:
        PolicyError: ``policy.invalid`` if the bytes are not an agreement, or the key has signed already.
        IdentityError: ``identity.unknown-signer`` if the agreement does not name the key.
    """
    agreement = document if isinstance(document, Agreement) else read_unverified(document)
    if key.verifier not in _approvers(agreement):
        raise IdentityError("identity.unknown-signer", "the key is not an approver_key of the agreement")
    if isinstance(document, Agreement):
        return sign_note(agreement.text(), key)
    return sign_again(document, key)


def read_unverified(data: bytes) -> Agreement:
    """Reads an agreement that nobody may have signed: to show it, or to sign it.

    Args:
        data: Bytes from anywhere.

    Returns:
        The agreement.

    Raises:
        PolicyError: ``policy.invalid`` if it is not a signed note of an agreement.
    """
    try:
        return Agreement.from_text(unverified_text(data))
    except ProtocolError as error:
        raise PolicyError("policy.invalid", f"not a signed agreement: {error.detail}") from error


def missing_signers(data: bytes) -> tuple[str, ...]:
    """Names of the members who have not signed yet.

    Args:
        data: Bytes from anywhere.

    Returns:
        Names in the order of the agreement; empty if all have signed.

    Raises:
        PolicyError: ``policy.invalid`` if it is not a signed agreement, or a signature in it is wrong.
    """
    return _missing(read_unverified(data), data)


def open_agreement(data: bytes) -> SignedAgreement:
    """Opens an agreement that every member has signed.

    Args:
        data: Bytes from anywhere.

    Returns:
        The agreement. Its keys are those that it names itself: call :func:`require_known` next.

    Raises:
        PolicyError: ``policy.invalid`` if it was altered, or holds anything beside the members' signatures;
            ``policy.unsigned`` (P20) if a member's signature is missing.
    """
    agreement = read_unverified(data)
    missing = _missing(agreement, data)
    if missing:
        who = ", ".join(missing)
        raise PolicyError("policy.unsigned", f"not signed by {who}; have each sign it", rule="P20")
    if has_strangers(data, agreement.text(), len(agreement.members)):
        raise PolicyError("policy.invalid", "the agreement carries a signature of somebody else; remove it")
    names = tuple(member.name for member in agreement.members)
    return SignedAgreement(agreement=agreement, digest=agreement.digest, signers=names, note=data)


def require_known(agreement: Agreement, trusted: Mapping[str, Identity]) -> None:
    """Refuses an agreement whose parties are not those whom this site has pinned.

    Args:
        agreement: An opened agreement.
        trusted: Identities that this site pinned, by name.

    Raises:
        IdentityError: ``identity.unknown-signer`` naming the first party that is unknown or has other keys,
            organisation or jurisdiction than pinned.
    """
    for member in agreement.members:
        named: dict[str, object] = {field: getattr(member, field) for field in _MEMBER}
        _require_pinned("member", member.name, named, trusted)
    for auditor in agreement.evidence.auditors:
        named = {"organisation": auditor.organisation, "witness_key": auditor.witness_key}
        _require_pinned("auditor", auditor.name, named, trusted)
    coordinator = agreement.coordinator
    named = {"jurisdiction": coordinator.jurisdiction, "node_key": coordinator.key}
    _require_pinned("coordinator", coordinator.name, named, trusted)


def _require_pinned(
    role: str, name: str, named: Mapping[str, object], trusted: Mapping[str, Identity]
) -> None:
    """Compares what an agreement says of a party with its pinned identity; names the field that differs."""
    identity = trusted.get(name)
    if identity is None or identity.role != role:
        raise IdentityError("identity.unknown-signer", f"{role} {name} is not as pinned here: enrol it")
    for field, value in named.items():
        if getattr(identity, field) != value:
            hint = ""
            if field.endswith("_key"):
                hint = (
                    "; if it changed its key, enrol its new identity (hanse enrol --replace) and run an "
                    "amended agreement (hanse agreement amend --home)"
                )
            raise IdentityError(
                "identity.unknown-signer", f"{role} {name} is not as pinned here: another {field}{hint}"
            )


def _approvers(agreement: Agreement) -> tuple[VerifierKey, ...]:
    return tuple(VerifierKey.decode(member.approver_key) for member in agreement.members)


def _missing(agreement: Agreement, data: bytes) -> tuple[str, ...]:
    """Members whose valid signature the note does not carry."""
    approvers = _approvers(agreement)
    signed = signers_of(data, approvers, rule="P20")
    members = zip(agreement.members, approvers, strict=True)
    return tuple(member.name for member, key in members if key not in signed)
