"""Agreements that can be rehearsed: the example of the policy tests, in force, with all that kinds need."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.client.software import software_digest, software_version
from hanse.policies import Agreement, builtin_pack
from hanse.policies.documents import yaml_to_json

EXAMPLE = Path(__file__).parent.parent / "policies" / "example_agreement.yaml"
BALANCE: dict[str, Any] = {
    "name": "balance",
    "kind": "numeric",
    "classification": "sensitive",
    "special": "financial_account",
    "necessity": "Who cannot pay is not to be called",
    "edges": [0, 1000, 5000],
    "disclosure": [{"to": "members", "form": "model"}],
}


def rehearsable(
    now: datetime,
    *,
    role: str = "joint",
    storage_country: str = "DE",
    required: bool = True,
    rounds: int = 10,
    may_contain_minors: bool = False,
) -> Agreement:
    """The example, in force, with a sensitive column and two main versions of the brand's notice."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for name in ("pipl", "gdpr"):
        text = text.replace(f"@{name}@", builtin_pack(name).digest)
    terms: dict[str, Any] = json.loads(yaml_to_json(text))
    brand = terms["members"][0]
    brand |= {"role": role, "storage_country": storage_country}
    older = {"version": "1.4", "sha256": "ef" * 32, "published_at": _text(now - timedelta(days=500))}
    brand["notices"] = [older, brand["notices"][0] | {"published_at": _text(now - timedelta(days=60))}]
    terms["members"][1]["notices"][0]["published_at"] = _text(now - timedelta(days=60))
    terms["columns"].append(BALANCE | {"required": required})
    terms["columns"][2]["required"] = False
    terms["may_contain_minors"] = may_contain_minors
    terms["training"] |= {"rounds": rounds, "learning_rate": 4, "sample_rate": 0.2}
    terms["assessment"] |= {
        "approved_at": _text(now - timedelta(days=20)),
        "expires_at": _text(now + timedelta(days=300)),
        "classifications": ["basic", "behavioural", "sensitive"],
    }
    terms["valid_from"], terms["valid_until"] = (
        _text(now - timedelta(days=5)),
        _text(now + timedelta(days=60)),
    )
    if storage_country != "DE":
        terms["border"] |= {"mechanism": "standard_contract", "reference": "SCC 12"}
    terms["software"] = {"version": software_version(), "digest": software_digest()}
    return Agreement.model_validate_json(json.dumps(terms))


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture(name="rehearsable", scope="session")
def _rehearsable() -> Callable[..., Agreement]:
    return rehearsable
