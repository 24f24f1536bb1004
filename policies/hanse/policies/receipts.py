"""Receipts: what a subject takes home of a consent.

A receipt is a signed note over the record of one event, in the field names of ISO/IEC TS 27560
(field-compatible; conformance is not claimed), by the member's node key. With it comes the subject's secret,
which the member and the subject have and nobody else; the record holds a digest of it. The subject's traces
in the member's log are made with that secret (:mod:`hanse.audit.subject_set`): the subject can test the log
with it, and the member cannot answer with the traces of somebody else. Whoever shows the secret is who got
the receipt. Once the member has forgotten it, nothing but the subject's own copy leads from the receipt to
the log.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from hanse.crypto import SigningKey, VerifierKey, open_note, sign_note
from hanse.errors import IdentityError, PolicyError, ProtocolError
from hanse.policies.consent import Act, LegalBasis, Method, Terms
from hanse.policies.fields import (
    Classification,
    Country,
    Document,
    EventId,
    Many,
    PurposeKey,
    Sha256Hex,
    SubjectRef,
    Text,
    UtcTime,
    from_ms,
    to_ms,
)
from hanse.policies.ledger import ConsentLedger
from hanse.policies.purposes import PURPOSES
from hanse.policies.texts import SignedText

_COMMITMENT: Final = b"hanse/receipt-secret/v1\0"


class ReceiptPurpose(Document):
    """What the record was about; ``purpose_type`` are terms of other vocabularies."""

    purpose: PurposeKey
    purpose_type: Many[Text]


class Receipt(SignedText):
    """The record of one event.

    Attributes:
        schema_version: 1.
        record_id: Identifier of the event.
        pii_principal_id: Pseudonym of the subject.
        event_seq: Number of the event in the member's ledger.
        event_type: Always ``consent``.
        event_state: What happened.
        event_time: When the subject acted.
        recorded_time: When the controller learned of it.
        validity_end: When the grant ends by itself.
        purposes: What it was about.
        lawful_basis: What the controller rests the use on.
        pii_controllers: Who asked.
        recipient_third_parties: Who was named as recipient.
        pii_type: Classes of data that were named.
        privacy_notice_version: Version of the notice that the subject saw.
        privacy_notice_sha256: Its digest.
        collection_method: How the subject acted.
        withdrawal_method: How the subject can withdraw.
        jurisdiction: Law that the subject is under.
        storage_locations: Where the data is kept.
        receipt_secret_sha256: Digest of the secret that came with the receipt.
    """

    header = "hanse consent receipt v1\n"
    called = "a consent receipt"

    schema_version: Literal[1]
    record_id: EventId
    pii_principal_id: SubjectRef
    event_seq: Annotated[int, Field(ge=1)]
    event_type: Literal["consent"]
    event_state: Literal["given", "refused", "withdrawn", "expired", "invalidated", "objected"]
    event_time: UtcTime | None
    recorded_time: UtcTime
    validity_end: UtcTime | None
    purposes: Annotated[Many[ReceiptPurpose], Field(min_length=1)]
    lawful_basis: LegalBasis | None
    pii_controllers: Many[Text]
    recipient_third_parties: Many[Text]
    pii_type: Many[Classification]
    privacy_notice_version: Text | None
    privacy_notice_sha256: Sha256Hex | None
    collection_method: Method | None
    withdrawal_method: Text | None
    jurisdiction: Country | None
    storage_locations: Many[Country]
    receipt_secret_sha256: Sha256Hex

    def is_for(self, secret: bytes) -> bool:
        """Whether this is the secret that came with the receipt."""
        return hmac.compare_digest(commitment(secret), self.receipt_secret_sha256)


@dataclass(frozen=True, slots=True)
class ReceiptStatus:
    """What a ledger says now about a receipt.

    Attributes:
        recorded: Whether the ledger has the event as the receipt has it.
        states: What stands for each purpose of the receipt; ``expired`` where the grant has ended by itself,
            ``nothing`` where nothing was decided.
        decided_by_it: Purposes for which the event of the receipt is the one that decides still.
    """

    recorded: bool
    states: Mapping[str, str]
    decided_by_it: frozenset[str]


def commitment(secret: bytes) -> str:
    """Digest of a receipt's secret, 64 hex digits; tells nothing about it."""
    return hashlib.sha256(_COMMITMENT + secret).hexdigest()


def make_receipt(
    ledger: ConsentLedger, subject_ref: str, purpose: str, key: SigningKey, now: datetime
) -> tuple[bytes, bytes]:
    """Makes a receipt of the event that decides what stands for a subject and a purpose.

    Args:
        ledger: The ledger; the subject gets a secret there if it has none.
        subject_ref: Pseudonym of the subject.
        purpose: The purpose.
        key: The member's node key.
        now: Now.

    Returns:
        A signed note, and the secret that goes with it.

    Raises:
        PolicyError: ``policy.invalid`` if nothing was ever decided.
    """
    decision = ledger.decision(subject_ref, purpose)
    if decision is None:
        raise PolicyError("policy.invalid", "nothing is recorded for this subject and purpose")
    [secret] = ledger.secrets_of([subject_ref], now)
    record = _record(*decision, commitment(secret))
    return sign_note(record.text(), key), secret


def open_receipt(data: bytes, *keys: VerifierKey) -> Receipt:
    """Opens a receipt.

    Args:
        data: Bytes from anywhere.
        *keys: The member's node key, or those that it has had, known from elsewhere.

    Returns:
        The record that the member signed.

    Raises:
        PolicyError: ``policy.invalid`` if it is not a receipt that the member signed.
    """
    try:
        return Receipt.from_text(open_note(data, *keys).text)
    except (ProtocolError, IdentityError) as error:
        raise PolicyError("policy.invalid", "not a consent receipt that this member signed") from error


def check_receipt(ledger: ConsentLedger, receipt: Receipt, now: datetime) -> ReceiptStatus:
    """Says what stands now of what a receipt records.

    Args:
        ledger: The member's ledger.
        receipt: An opened receipt.
        now: Now.

    Returns:
        Its status.

    Raises:
        PolicyError: ``policy.ledger`` if the ledger cannot be read.
    """
    event = ledger.event(receipt.event_seq)
    recorded = (
        event is not None and _record(receipt.event_seq, *event, receipt.receipt_secret_sha256) == receipt
    )
    standings = ledger.subject(receipt.pii_principal_id)
    states: dict[str, str] = {}
    deciding: set[str] = set()
    for item in receipt.purposes:
        standing = standings.get(item.purpose)
        state = "nothing" if standing is None else standing.state
        if standing is not None and standing.has_ended(to_ms(now)):
            state = "expired"
        states[item.purpose] = state
        decision = ledger.decision(receipt.pii_principal_id, item.purpose)
        if recorded and decision is not None and decision[0] == receipt.event_seq:
            deciding.add(item.purpose)
    return ReceiptStatus(recorded, states, frozenset(deciding))


def _record(seq: int, act: Act, terms: Terms, secret_sha256: str) -> Receipt:
    """The record of an event of the ledger."""
    return Receipt.model_validate(
        {
            "schema_version": 1,
            "record_id": act.event_id,
            "pii_principal_id": act.subject_ref,
            "event_seq": seq,
            "event_type": "consent",
            "event_state": act.state,
            "event_time": None if act.given_ms is None else from_ms(act.given_ms),
            "recorded_time": from_ms(act.recorded_ms),
            "validity_end": None if act.expires_ms is None else from_ms(act.expires_ms),
            "purposes": [_purpose(key) for key in terms.purposes],
            "lawful_basis": terms.legal_basis,
            "pii_controllers": () if terms.controller is None else (terms.controller,),
            "recipient_third_parties": terms.recipients,
            "pii_type": terms.categories,
            "privacy_notice_version": terms.notice_version,
            "privacy_notice_sha256": terms.notice_sha256,
            "collection_method": terms.method,
            "withdrawal_method": terms.withdrawal_method,
            "jurisdiction": terms.jurisdiction,
            "storage_locations": () if terms.storage_country is None else (terms.storage_country,),
            "receipt_secret_sha256": secret_sha256,
        }
    )


def _purpose(key: str) -> ReceiptPurpose:
    purpose = PURPOSES[key]
    terms = (purpose.dpv,) if purpose.fideslang is None else (purpose.dpv, f"fideslang:{purpose.fideslang}")
    return ReceiptPurpose(purpose=key, purpose_type=terms)
