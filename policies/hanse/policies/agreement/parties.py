"""Who takes part in an agreement, in which role, where, and on which notices its consents rest."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from hanse.policies.fields import (
    Count,
    Country,
    Document,
    Many,
    Name,
    PublicKey,
    PurposeKey,
    Sha256Hex,
    Text,
    UtcTime,
    WitnessKey,
    check_form,
)

LegalBasis: TypeAlias = Literal[
    "consent", "contract", "legal_obligation", "vital_interest", "public_task", "legitimate_interest"
]
"""The bases of GDPR 6(1); those of PIPL 13 have counterparts among them."""

NoticeVersion: TypeAlias = Annotated[
    str, check_form(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}", "write a version of up to three numbers, as 2.1")
]
"""Version of a notice. Its first number changes when purposes, methods or classes of data do (P05)."""


class Notice(Document):
    """A privacy notice that a member's subjects were shown.

    Attributes:
        version: Its version; a new first number asks for new consent.
        sha256: Digest of its exact text.
        published_at: When it was published; no consent can be older.
    """

    version: NoticeVersion
    sha256: Sha256Hex
    published_at: UtcTime


class Contract(Document):
    """What an entrusted member has been told to do, and nothing else (PIPL 21, GDPR 28).

    Attributes:
        reference: Where the contract is filed.
        purposes: Purposes for which it may process.
        until: When it ends.
        sub_processors: Whether it may entrust others.
        at_end: What becomes of the data then.
    """

    reference: Text
    purposes: Many[PurposeKey]
    until: UtcTime
    sub_processors: bool
    at_end: Literal["delete", "return"]


class Member(Document):
    """One organisation that takes part.

    Attributes:
        name: Short name, used in messages and logs.
        organisation: Legal name, as consents name it.
        jurisdiction: Law that it processes under.
        storage_country: Where its data is kept.
        role: ``joint`` controller, ``provider`` of data to the others, or ``entrusted`` processor. Which of
            them a collaboration is, is for the members to say; ``provider`` is the strictest.
        contract: What an entrusted member is entrusted with; null for the others.
        approver: The person who approves for it (its data protection officer).
        notices: The notices that its subjects' consents may rest on; without one, none counts.
        node_key: Key of its node.
        approver_key: Key of the approver; never on the node.
        witness_key: Key with which its node co-signs the coordinator's log.
    """

    name: Name
    organisation: Text
    jurisdiction: Country
    storage_country: Country
    role: Literal["joint", "provider", "entrusted"]
    contract: Contract | None
    approver: Text
    notices: Many[Notice]
    node_key: PublicKey
    approver_key: PublicKey
    witness_key: WitnessKey


class Coordinator(Document):
    """Who runs the rounds; sees no row."""

    name: Name
    jurisdiction: Country
    key: PublicKey


class Auditor(Document):
    """Somebody outside who watches the coordinator's log as a witness; reads the log and nothing else.

    Attributes:
        name: Short name.
        organisation: Legal name.
        witness_key: Key with which it co-signs the coordinator's log.
    """

    name: Name
    organisation: Text
    witness_key: WitnessKey


class Evidence(Document):
    """Whom the members trust together to have seen one history of the coordinator's log.

    Every member is a witness. Two histories of a log each need a quorum; with more than half of all
    witnesses as the quorum, both have a witness in common, and an honest one co-signs only one of them.

    Attributes:
        quorum: Witnesses that have to co-sign the log before a model counts.
        auditors: Witnesses beside the members.
    """

    quorum: Annotated[int, Field(ge=0, le=1000)]
    auditors: Annotated[Many[Auditor], Field(max_length=20)]


class PackReference(Document):
    """A rule pack that every member has adopted, in exactly this text."""

    id: Name
    version: Count
    digest: Sha256Hex


class Override(Document):
    """A member's records may rest on another legal basis than consent; every member signs it."""

    member: Name
    basis: LegalBasis
    reason: Text


class Software(Document):
    """What every member's node must run."""

    version: Text
    digest: Sha256Hex
