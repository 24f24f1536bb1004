"""Builders for the documents that the tests change one field of."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerKey
from hanse.policies import Agreement, ConsentEvent, Policy, builtin_pack, merge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parent / "example_agreement.yaml"

# A grant that satisfies every rule for the example agreement at NOW.
GRANT: dict[str, Any] = {
    "event_id": "grant-1",
    "recorded_at": "2026-01-21T10:00:00Z",
    "subject_ref": "0" * 32,
    "state": "given",
    "purposes": ("joint_modelling.propensity",),
    "given_at": "2026-01-20T10:00:00Z",
    "expires_at": "2027-01-20T10:00:00Z",
    "controller": "Nordwagen AG",
    "recipients": ("Hanse Versicherung Süd",),
    "categories": ("basic", "behavioural"),
    "notice_version": "2.1",
    "notice_sha256": "ab" * 32,
    "notice_published_at": "2026-01-01T00:00:00Z",
    "method": "active_click",
    "preticked": False,
    "bundled": False,
    "jurisdiction": "DE",
    "storage_country": "DE",
    "legal_basis": "consent",
    "conditional": False,
    "age_at_least": 18,
}


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def example_yaml() -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    for name in ("pipl", "gdpr"):
        text = text.replace(f"@{name}@", builtin_pack(name).digest)
    return text


@pytest.fixture(scope="session")
def agreement(example_yaml: str) -> Agreement:
    return Agreement.from_yaml(example_yaml)


@pytest.fixture(scope="session")
def policy(agreement: Agreement) -> Policy:
    """What the example's rule packs come to."""
    return merge([builtin_pack(reference.id) for reference in agreement.packs])


@pytest.fixture(scope="session")
def changed(agreement: Agreement) -> Callable[..., Agreement]:
    """The example with some values replaced: ``changed({"cohort.minimum_rows": 5})``."""

    def change(values: dict[str, Any]) -> Agreement:
        document: Any = agreement.model_dump(mode="json")
        for path, value in values.items():
            *parents, last = path.split(".")
            place = document
            for parent in parents:
                place = place[int(parent)] if isinstance(place, list) else place[parent]
            place[int(last) if isinstance(place, list) else last] = value
        return Agreement.model_validate(document)

    return change


@pytest.fixture(scope="session")
def grant() -> Callable[..., ConsentEvent]:
    """A grant that every rule is satisfied with, except for the fields that are given."""

    def make(**fields: object) -> ConsentEvent:
        return ConsentEvent.model_validate({**GRANT, **fields})

    return make


@pytest.fixture(scope="session")
def approver_keys() -> tuple[SigningKey, SigningKey]:
    return SigningKey.generate("brand-dpo"), SigningKey.generate("insurer-dpo")


@pytest.fixture(scope="session")
def witness_key() -> Callable[[str], str]:
    """The public half of a new witness's key: ``witness_key("name")``."""
    return lambda name: CosignerKey.generate(name, "ed25519").verifier.encode()


@pytest.fixture(scope="session")
def signable(changed: Callable[..., Agreement], approver_keys: tuple[SigningKey, SigningKey]) -> Agreement:
    """The example with approver keys whose private halves the tests have."""
    return changed(
        {f"members.{i}.approver_key": key.verifier.encode() for i, key in enumerate(approver_keys)}
    )
