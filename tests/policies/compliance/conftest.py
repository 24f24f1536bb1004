"""The example agreement of examples/deal, and what documents are generated from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanse.policies import BUILTIN, Agreement, merge, resolve
from hanse.policies.compliance import Configuration

DEAL = Path(__file__).resolve().parents[3] / "examples" / "deal" / "deal.yaml"


@pytest.fixture(scope="session")
def deal() -> Agreement:
    """The example under the packs as they are; whether it names them is one test's matter."""
    agreement = Agreement.from_yaml(DEAL.read_text(encoding="utf-8"))
    packs = tuple(BUILTIN[pack.id].reference for pack in agreement.packs)
    return agreement.model_copy(update={"packs": packs})


@pytest.fixture(scope="session")
def configured(deal: Agreement) -> Callable[..., Configuration]:
    """The example's configuration, with some values replaced: ``configured({"privacy": None}, answers)``."""

    def build(changes: dict[str, Any] | None = None, answers: dict[str, str] | None = None) -> Configuration:
        document: Any = deal.model_dump(mode="json")
        for path, value in (changes or {}).items():
            *parents, last = path.split(".")
            place = document
            for parent in parents:
                place = place[int(parent)] if isinstance(place, list) else place[parent]
            place[int(last) if isinstance(place, list) else last] = value
        policy = merge(resolve(deal.packs, tuple(BUILTIN.values())))
        return Configuration(Agreement.model_validate(document), policy, answers or {})

    return build
