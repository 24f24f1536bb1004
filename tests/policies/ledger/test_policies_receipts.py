"""Receipts: signed, checked against the ledger, and nobody's without their secret."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import SigningKey
from hanse.errors import PolicyError
from hanse.policies import ConsentEvent, ConsentLedger
from hanse.policies.receipts import check_receipt, make_receipt, open_receipt

Grant = Callable[..., ConsentEvent]
REF = "0" * 32
USE = "joint_modelling.propensity"
KEY = SigningKey.generate("brand")


def test_a_receipt_says_what_was_recorded_and_what_stands_now(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    ledger.record([grant(purposes=(USE, "scoring.marketing"), withdrawal_method="a link in every message")])
    note, secret = make_receipt(ledger, REF, USE, KEY, now)
    receipt = open_receipt(note, KEY.verifier)
    assert (receipt.record_id, receipt.pii_principal_id, receipt.event_seq) == ("grant-1", REF, 1)
    assert (receipt.event_state, receipt.lawful_basis) == ("given", "consent")
    assert receipt.pii_controllers == ("Nordwagen AG",)
    assert receipt.recipient_third_parties == ("Hanse Versicherung Süd",)
    assert receipt.storage_locations == ("DE",)
    assert receipt.purposes[0].purpose_type == (
        "https://w3id.org/dpv#CommercialResearch",
        "fideslang:train_ai_system",
    )
    assert receipt.is_for(secret)
    assert not receipt.is_for(bytes(32))
    status = check_receipt(ledger, receipt, now)
    assert status.recorded
    assert status.states == {USE: "given", "scoring.marketing": "given"}
    assert status.decided_by_it == {USE, "scoring.marketing"}
    assert check_receipt(ledger, receipt, now + timedelta(days=999)).states[USE] == "expired"
    ledger.withdraw(REF, USE, now)
    status = check_receipt(ledger, receipt, now)
    assert status.recorded
    assert status.states == {USE: "withdrawn", "scoring.marketing": "given"}
    assert status.decided_by_it == {"scoring.marketing"}
    note, again = make_receipt(ledger, REF, USE, KEY, now)
    withdrawn = open_receipt(note, KEY.verifier)
    assert again == secret  # one secret for all receipts of a subject
    assert (withdrawn.event_state, withdrawn.event_seq) == ("withdrawn", 2)


def test_a_receipt_of_another_ledger_is_not_recorded(
    file_ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    file_ledger.record([grant()])
    receipt = open_receipt(make_receipt(file_ledger, REF, USE, KEY, now)[0], KEY.verifier)
    for change in ({"event_seq": 2}, {"event_state": "refused"}, {"pii_principal_id": "1" * 32}):
        assert not check_receipt(file_ledger, receipt.model_copy(update=change), now).recorded


def test_what_nobody_decided_has_no_receipt(file_ledger: ConsentLedger, now: datetime) -> None:
    for ref in (REF, "someone@example.org"):
        with pytest.raises(PolicyError, match="nothing is recorded"):
            make_receipt(file_ledger, ref, USE, KEY, now)
    assert file_ledger.secret_of(REF) is None


def test_a_changed_receipt_does_not_open(file_ledger: ConsentLedger, grant: Grant, now: datetime) -> None:
    file_ledger.record([grant()])
    note, secret = make_receipt(file_ledger, REF, USE, KEY, now)
    assert secret.hex().encode() not in note
    for changed in (note.replace(b"given", b"refused"), note[:-2], note[1:], note + b"\n", b""):
        with pytest.raises(PolicyError) as refusal:
            open_receipt(changed, KEY.verifier)
        assert refusal.value.code == "policy.invalid"
    with pytest.raises(PolicyError):
        open_receipt(note, SigningKey.generate("brand").verifier)


@given(st.binary(max_size=400))
def test_opening_a_receipt_is_total(data: bytes) -> None:
    with pytest.raises(PolicyError):
        open_receipt(data, KEY.verifier)
