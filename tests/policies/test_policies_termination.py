"""How agreements end: notes of one member, signed by its approver, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.crypto import SigningKey, sign_note
from hanse.errors import HanseError, PolicyError
from hanse.policies import Identity
from hanse.policies.agreement.amendment import amend
from hanse.policies.agreement.termination import Attestation, Termination, attest, ends, terminate

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanse.policies import Agreement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = datetime(2027, 3, 1, 12, tzinfo=UTC)
CONTRACT = {
    "reference": "C-1",
    "purposes": ["joint_modelling"],
    "until": "2026-12-31T00:00:00Z",
    "sub_processors": False,
    "at_end": "return",
}


@pytest.fixture(scope="module")
def trusted(signable: Agreement) -> dict[str, Identity]:
    return {
        member.name: Identity(
            name=member.name,
            organisation=member.organisation,
            jurisdiction=member.jurisdiction,
            storage_country=member.storage_country,
            role="member",
            node_key=member.node_key,
            approver_key=member.approver_key,
            witness_key=member.witness_key,
        )
        for member in signable.members
    }


def test_a_note_of_a_member(
    signable: Agreement, approver_keys: tuple[SigningKey, SigningKey], trusted: dict[str, Identity]
) -> None:
    note = terminate(signable, "brand", "Over", NOW).sign(approver_keys[0])
    opened = Termination.open(note, trusted)
    assert (opened.agreement, opened.member, opened.reason) == (signable.id, "brand", "Over")
    assert opened.terminated_at == NOW
    assert ends(opened, signable)
    assert ends(opened, amend(signable))
    assert not ends(opened, signable.model_copy(update={"id": "another"}))
    assert not ends(opened, signable.model_copy(update={"members": signable.members[1:]}))


def test_a_note_of_nobody_here(
    signable: Agreement, approver_keys: tuple[SigningKey, SigningKey], trusted: dict[str, Identity]
) -> None:
    statement = terminate(signable, "brand", "Over", NOW)
    for note in (statement.sign(approver_keys[1]), statement.sign(SigningKey.generate("brand-dpo"))):
        with pytest.raises(HanseError) as caught:
            Termination.open(note, trusted)
        assert caught.value.code in ("identity.unknown-signer", "identity.bad-signature")
    with pytest.raises(HanseError) as caught:
        Termination.open(statement.sign(approver_keys[0]), {})
    assert caught.value.code == "identity.unknown-signer"


def test_any_flipped_byte_does_not_open(
    signable: Agreement, approver_keys: tuple[SigningKey, SigningKey], trusted: dict[str, Identity]
) -> None:
    note = terminate(signable, "brand", "Over", NOW).sign(approver_keys[0])
    for place in range(len(note)):
        altered = bytearray(note)
        altered[place] ^= 1
        with pytest.raises(HanseError):
            Termination.open(bytes(altered), trusted)


def test_only_members_end_it(signable: Agreement) -> None:
    with pytest.raises(PolicyError) as caught:
        terminate(signable, "stranger", "Over", NOW)
    assert caught.value.rule == "P20"
    with pytest.raises(PolicyError, match="reason"):
        terminate(signable, "brand", "two\nlines", NOW)


def test_an_entrusted_member_attests(changed: Callable[..., Agreement]) -> None:
    agreement = changed({"members.1.role": "entrusted", "members.1.contract": CONTRACT})
    statement = attest(agreement, "insurer", LATE)
    assert (statement.done, statement.attested_by) == ("return", agreement.members[1].approver)
    early = terminate(agreement, "brand", "Over", NOW)
    assert attest(agreement, "insurer", NOW, (early,)).done == "return"
    opened = Attestation.from_text(statement.text())
    assert opened == statement
    with pytest.raises(PolicyError, match="first line"):
        Termination.from_text(statement.text())


@pytest.mark.parametrize(
    ("member", "when", "told"),
    [("brand", LATE, "not entrusted"), ("insurer", NOW, "has ended"), ("other", LATE, "no member")],
    ids=["a controller", "too early", "a stranger"],
)
def test_what_cannot_be_attested(
    member: str, when: datetime, told: str, changed: Callable[..., Agreement]
) -> None:
    agreement = changed({"members.1.role": "entrusted", "members.1.contract": CONTRACT})
    with pytest.raises(PolicyError, match=told) as caught:
        attest(agreement, member, when)
    assert caught.value.rule == "P20"


@pytest.mark.parametrize("kind", [Termination, Attestation])
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_reading_is_total(kind: type[Termination | Attestation], data: bytes) -> None:
    with pytest.raises(HanseError):
        kind.open(data, {})
    with pytest.raises(PolicyError):
        kind.from_text(f"{kind.header}{data.decode(errors='replace')}\n")


def test_a_signed_note_of_something_else_is_none(signable: Agreement) -> None:
    key = SigningKey.generate("x")
    with pytest.raises(PolicyError, match="first line"):
        Termination.open(sign_note(signable.text(), key), {})
