"""Public identity documents."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerKey
from hanse.errors import ConfigurationError, HanseError
from hanse.policies import Identity

NODE = SigningKey.generate("brand-node").verifier
APPROVER = SigningKey.generate("brand-dpo").verifier
WITNESS = CosignerKey.generate("brand-witness", "ml-dsa-44").verifier.encode()
MEMBER = Identity(
    name="brand",
    organisation="Nordwagen AG",
    jurisdiction="DE",
    storage_country="DE",
    role="member",
    node_key=NODE.encode(),
    approver_key=APPROVER.encode(),
    witness_key=WITNESS,
    tls_certificate="-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
    flower_key="ecdsa-sha2-nistp384 AAAA",
)


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "brand.json"
    MEMBER.save(path)
    assert Identity.load(path) == MEMBER
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"approver_key": None}, "give approver_key to a member"),
        ({"role": "caller", "witness_key": None}, "give approver_key to a member"),
        ({"role": "coordinator", "witness_key": None}, "give approver_key to a member"),
        ({"role": "auditor"}, "give approver_key to a member"),
        ({"witness_key": None}, "give witness_key to members and auditors"),
        ({"role": "auditor", "approver_key": None, "witness_key": None}, "give witness_key to members and"),
        ({"role": "coordinator", "approver_key": None}, "give witness_key to members and auditors"),
        ({"witness_key": NODE.encode()}, "witness_key: write the public key of a witness"),
        ({"approver_key": NODE.encode()}, "another key for the approver"),
        ({"role": "king"}, "role: "),
        ({"name": "Brand Ltd"}, "name: write a name"),
        ({"node_key": "x"}, "node_key: write a public key"),
        ({"jurisdiction": "de"}, "jurisdiction: "),
    ],
)
def test_a_mistake_names_the_field(fields: dict[str, str | None], advice: str) -> None:
    data = MEMBER.model_copy(update=fields).model_dump_json().encode()
    with pytest.raises(ConfigurationError, match=advice) as refusal:
        Identity.parse(data)
    assert refusal.value.code == "config.invalid"


def test_an_auditor_has_a_witness_key_and_no_approver() -> None:
    auditor = MEMBER.model_copy(update={"role": "auditor", "approver_key": None, "flower_key": None})
    assert Identity.parse(auditor.model_dump_json().encode()) == auditor


def test_one_key_under_two_names_is_one_key() -> None:
    same = SigningKey.decode(SigningKey.generate("a").encode()).verifier
    renamed = type(same)("b", same.public_bytes)
    data = MEMBER.model_copy(update={"node_key": same.encode(), "approver_key": renamed.encode()})
    with pytest.raises(ConfigurationError, match="another key"):
        Identity.parse(data.model_dump_json().encode())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_parsing_is_total(data: bytes) -> None:
    with pytest.raises(HanseError):
        Identity.parse(data)


def test_too_long_or_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_bytes(b" " * 100_000)
    with pytest.raises(ConfigurationError, match="at most"):
        Identity.load(path)
    with pytest.raises(ConfigurationError) as refusal:
        Identity.load(tmp_path / "nothing.json")
    assert refusal.value.code == "config.missing-file"
