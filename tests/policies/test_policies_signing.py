"""An agreement that was altered, or lacks a signature, opens nowhere."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanse.crypto import SigningKey, sign_note
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import IdentityError, PolicyError
from hanse.policies import (
    Agreement,
    Identity,
    missing_signers,
    open_agreement,
    read_unverified,
    require_known,
    sign_agreement,
)

Keys = tuple[SigningKey, SigningKey]


@pytest.fixture(scope="session")
def signed(signable: Agreement, approver_keys: Keys) -> bytes:
    return sign_agreement(sign_agreement(signable, approver_keys[0]), approver_keys[1])


def test_signed_by_all_opens(signable: Agreement, signed: bytes) -> None:
    opened = open_agreement(signed)
    assert opened.agreement == signable
    assert opened.digest == signable.digest
    assert opened.signers == ("brand", "insurer")
    assert opened.note == signed
    assert missing_signers(signed) == ()


def test_the_order_of_signatures_does_not_matter(signable: Agreement, approver_keys: Keys) -> None:
    first, second = approver_keys
    assert open_agreement(sign_agreement(sign_agreement(signable, second), first)).digest == signable.digest


def test_one_missing_signature_does_not_open(signable: Agreement, approver_keys: Keys) -> None:
    note = sign_agreement(signable, approver_keys[0])
    with pytest.raises(PolicyError, match="not signed by insurer") as refusal:
        open_agreement(note)
    assert (refusal.value.code, refusal.value.rule) == ("policy.unsigned", "P20")
    assert missing_signers(note) == ("insurer",)


def test_signed_by_strangers_only_does_not_open(signable: Agreement) -> None:
    note = sign_note(signable.text(), SigningKey.generate("brand-dpo"), SigningKey.generate("insurer-dpo"))
    with pytest.raises(PolicyError) as refusal:
        open_agreement(note)
    assert refusal.value.code == "policy.unsigned"
    assert missing_signers(note) == ("brand", "insurer")


def test_unsigned_text_does_not_open(signable: Agreement) -> None:
    for data in (signable.text().encode(), signable.to_yaml().encode(), b""):
        with pytest.raises(PolicyError) as refusal:
            open_agreement(data)
        assert refusal.value.code == "policy.invalid"


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 1 << 16), bit=st.integers(0, 7))
@example(position=0, bit=0)
def test_any_flipped_bit_does_not_open(signed: bytes, position: int, bit: int) -> None:
    altered = bytearray(signed)
    altered[position % len(signed)] ^= 1 << bit
    with pytest.raises(PolicyError) as refusal:
        open_agreement(bytes(altered))
    assert refusal.value.code in {"policy.invalid", "policy.unsigned"}


def test_any_flipped_byte_does_not_open(signed: bytes) -> None:
    for position in range(len(signed)):
        altered = signed[:position] + bytes([signed[position] ^ 0x01]) + signed[position + 1 :]
        with pytest.raises(PolicyError):
            open_agreement(altered)


@settings(deadline=None)
@given(cut=st.integers(0, 1 << 16))
def test_no_prefix_opens(signed: bytes, cut: int) -> None:
    with pytest.raises(PolicyError):
        open_agreement(signed[: cut % len(signed)])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_opening_is_total(data: bytes) -> None:
    with pytest.raises(PolicyError):
        open_agreement(data)


def test_altered_after_signing_does_not_open(signable: Agreement, signed: bytes) -> None:
    for old, new in ((b'"epsilon":3.0', b'"epsilon":9.0'), (b"Nordwagen AG", b"Nordwagen SE")):
        assert old in signed
        with pytest.raises(PolicyError) as refusal:
            open_agreement(signed.replace(old, new))
        assert refusal.value.code == "policy.invalid"
    assert signable.digest == open_agreement(signed).digest


def test_a_signature_of_another_version_does_not_count(
    changed: Callable[..., Agreement], signable: Agreement, approver_keys: Keys
) -> None:
    newer = changed(
        {
            "version": 2,
            "supersedes": "0" * 64,
            **{f"members.{i}.approver_key": key.verifier.encode() for i, key in enumerate(approver_keys)},
        }
    )
    old_line = sign_agreement(signable, approver_keys[1]).splitlines(keepends=True)[-1]
    with pytest.raises(PolicyError) as refusal:
        open_agreement(sign_agreement(newer, approver_keys[0]) + old_line)
    assert refusal.value.code == "policy.invalid"


def test_a_strangers_line_is_refused(signable: Agreement, signed: bytes) -> None:
    line = sign_note(signable.text(), SigningKey.generate("stranger")).splitlines(keepends=True)[-1]
    with pytest.raises(PolicyError, match="somebody else"):
        open_agreement(signed + line)


def test_keys_decide_not_their_names(changed: Callable[..., Agreement]) -> None:
    keys = SigningKey.generate("dpo"), SigningKey.generate("dpo")
    agreement = changed({f"members.{i}.approver_key": key.verifier.encode() for i, key in enumerate(keys)})
    one = sign_agreement(agreement, keys[1])
    assert missing_signers(one) == ("brand",)
    with pytest.raises(PolicyError, match="not signed by brand"):
        open_agreement(one)
    assert open_agreement(sign_agreement(one, keys[0])).signers == ("brand", "insurer")


def test_only_named_approvers_sign(signable: Agreement, approver_keys: Keys) -> None:
    impostor = SigningKey.generate("insurer-dpo")  # the right name with another key
    for document in (signable, sign_agreement(signable, approver_keys[0])):
        with pytest.raises(IdentityError) as refusal:
            sign_agreement(document, impostor)
        assert refusal.value.code == "identity.unknown-signer"


def test_nobody_signs_twice(signable: Agreement, approver_keys: Keys) -> None:
    with pytest.raises(PolicyError, match="signed already"):
        sign_agreement(sign_agreement(signable, approver_keys[0]), approver_keys[0])


def test_nobody_signs_what_is_no_agreement(approver_keys: Keys) -> None:
    with pytest.raises(PolicyError):
        sign_agreement(sign_note("pay 1000\n", approver_keys[0]), approver_keys[1])


def test_an_auditor_has_to_be_pinned_as_well(
    changed: Callable[..., Agreement], witness_key: Callable[[str], str]
) -> None:
    key = witness_key("watchdog-witness")
    entry = {"name": "watchdog", "organisation": "Wachhund KG", "witness_key": key}
    agreement = changed({"evidence.auditors": [entry]})
    trusted = _trusted(agreement)
    with pytest.raises(IdentityError, match="auditor watchdog is not as pinned"):
        require_known(agreement, trusted)
    node = SigningKey.generate("watchdog").verifier.encode()
    identity = trusted["brand"].model_copy(
        update={**entry, "role": "auditor", "node_key": node, "approver_key": None}
    )
    require_known(agreement, {**trusted, "watchdog": identity})
    other = identity.model_copy(update={"witness_key": witness_key("watchdog-witness")})
    with pytest.raises(IdentityError, match="auditor watchdog is not as pinned"):
        require_known(agreement, {**trusted, "watchdog": other})


def _trusted(agreement: Agreement) -> dict[str, Identity]:
    parties = {
        member.name: Identity(
            name=member.name,
            organisation=member.organisation,
            jurisdiction=member.jurisdiction,
            storage_country=member.jurisdiction,
            role="member",
            node_key=member.node_key,
            approver_key=member.approver_key,
            witness_key=member.witness_key,
        )
        for member in agreement.members
    }
    coordinator = agreement.coordinator
    parties[coordinator.name] = Identity(
        name=coordinator.name,
        organisation="Coordination GmbH",
        jurisdiction=coordinator.jurisdiction,
        storage_country=coordinator.jurisdiction,
        role="coordinator",
        node_key=coordinator.key,
    )
    return parties


def test_pinned_parties_are_accepted(signed: bytes) -> None:
    agreement = open_agreement(signed).agreement
    require_known(agreement, _trusted(agreement))


@pytest.mark.parametrize(
    ("party", "field", "value"),
    [
        ("brand", "organisation", "Someone else"),
        ("brand", "jurisdiction", "CN"),
        ("insurer", "node_key", SigningKey.generate("insurer-node").verifier.encode()),
        ("insurer", "approver_key", SigningKey.generate("insurer-dpo").verifier.encode()),
        ("insurer", "witness_key", CosignerKey.generate("insurer-witness", "ed25519").verifier.encode()),
        ("coordinator", "jurisdiction", "US"),
        ("coordinator", "node_key", SigningKey.generate("coordinator").verifier.encode()),
    ],
    ids=[
        *("organisation", "jurisdiction", "node", "approver", "witness"),
        *("coordinator-jurisdiction", "coordinator-node"),
    ],
)
def test_a_party_that_is_not_as_pinned_is_refused(
    signable: Agreement, party: str, field: str, value: str
) -> None:
    trusted = _trusted(signable)
    trusted[party] = trusted[party].model_copy(update={field: value})
    with pytest.raises(IdentityError, match=f"{party} is not as pinned") as refusal:
        require_known(signable, trusted)
    assert refusal.value.code == "identity.unknown-signer"
    del trusted[party]
    with pytest.raises(IdentityError, match=f"{party} is not as pinned"):
        require_known(signable, trusted)


def test_a_self_made_agreement_opens_but_is_not_known(
    signable: Agreement, approver_keys: Keys, agreement: Agreement
) -> None:
    """Anybody can write an agreement with keys of their own: pinning is what stops it."""
    forged = sign_agreement(sign_agreement(signable, approver_keys[0]), approver_keys[1])
    assert read_unverified(forged) == open_agreement(forged).agreement
    with pytest.raises(IdentityError):
        require_known(open_agreement(forged).agreement, _trusted(agreement))
