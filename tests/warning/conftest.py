"""The example agreement of the policy tests."""

from pathlib import Path

import pytest

from hanse.policies import Agreement, builtin_pack


@pytest.fixture(name="agreement")
def _agreement() -> Agreement:
    text = (Path(__file__).parent.parent / "policies" / "example_agreement.yaml").read_text()
    for name in ("pipl", "gdpr"):
        text = text.replace(f"@{name}@", builtin_pack(name).digest)
    return Agreement.from_yaml(text)
