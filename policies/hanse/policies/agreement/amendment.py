"""Versions of an agreement: what the next one is called, and which one may follow the accepted one."""

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import ValidationError

from hanse.crypto import canonical_json
from hanse.errors import PolicyError
from hanse.policies.agreement.document import Agreement
from hanse.policies.fields import Count, Document, Name, Sha256Hex, problems
from hanse.policies.identity import Identity

MAX_ACCEPTED_BYTES = 1 << 12
_MEMBER_KEYS: Final = ("node_key", "approver_key", "witness_key")


class Accepted(Document):
    """The version of an agreement that a site has accepted.

    Attributes:
        schema_version: Version of the form.
        id: Short name of the agreement.
        version: Its version.
        digest: SHA-256 of its text.
    """

    schema_version: Literal[1] = 1
    id: Name
    version: Count
    digest: Sha256Hex

    @classmethod
    def of(cls, agreement: Agreement) -> Self:
        """What is remembered of an agreement."""
        return cls(id=agreement.id, version=agreement.version, digest=agreement.digest)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what a site has remembered.

        Args:
            data: Bytes from anywhere.

        Returns:
            The accepted version.

        Raises:
            PolicyError: ``policy.invalid`` naming the field.
        """
        try:
            return cls.model_validate_json(data[: MAX_ACCEPTED_BYTES + 1])
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error

    def encode(self) -> bytes:
        """The bytes that :meth:`parse` reads."""
        return canonical_json(self.model_dump(mode="json"))


def amend(agreement: Agreement) -> Agreement:
    """The next version of an agreement, with the same content; change it, and have everybody sign it.

    Args:
        agreement: The version that is in force.

    Returns:
        A version that names the one before by its digest.
    """
    return agreement.model_copy(update={"version": agreement.version + 1, "supersedes": agreement.digest})


def with_keys(agreement: Agreement, identities: Mapping[str, Identity]) -> Agreement:
    """An agreement that names the keys that its parties have now.

    Args:
        agreement: A version that nobody has signed.
        identities: The parties as they are pinned, by name; the keys of others stay.

    Returns:
        The same agreement with these keys.
    """
    members = tuple(
        member.model_copy(update={field: getattr(known, field) for field in _MEMBER_KEYS})
        if (known := identities.get(member.name))
        else member
        for member in agreement.members
    )
    auditors = tuple(
        auditor.model_copy(update={"witness_key": known.witness_key})
        if (known := identities.get(auditor.name))
        else auditor
        for auditor in agreement.evidence.auditors
    )
    coordinator = agreement.coordinator
    if hub := identities.get(coordinator.name):
        coordinator = coordinator.model_copy(update={"key": hub.node_key})
    evidence = agreement.evidence.model_copy(update={"auditors": auditors})
    return agreement.model_copy(update={"members": members, "coordinator": coordinator, "evidence": evidence})


def require_successor(agreement: Agreement, accepted: Accepted | None) -> None:
    """Refuses a version that is not the accepted one, and does not follow it.

    Args:
        agreement: The version that is asked for.
        accepted: The version of the same agreement that the site has accepted; None if it has accepted none.

    Raises:
        PolicyError: ``policy.denied`` (P31) when it is older than the accepted version or another text of it;
            (P20) when it follows another text than the accepted one.
    """
    if accepted is None or agreement.digest == accepted.digest:
        return
    known = f"version {accepted.version} of agreement {accepted.id} is accepted here"
    if agreement.version < accepted.version:
        detail = f"{known}, and version {agreement.version} is older; run the accepted one"
        raise PolicyError("policy.denied", detail, rule="P31")
    if agreement.version == accepted.version:
        detail = f"{known} with another text; amend it, so that the change has a version of its own"
        raise PolicyError("policy.denied", detail, rule="P31")
    if agreement.supersedes != accepted.digest:
        detail = (
            f"{known}, and version {agreement.version} does not follow it; accept the versions between first"
        )
        raise PolicyError("policy.denied", detail, rule="P20")
