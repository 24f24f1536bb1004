"""The division of a population into parts with own budgets is fixed once, and for ever."""

from pathlib import Path

import pytest

from hanse.errors import PrivacyError
from hanse.privacy import LedgerKey, PrivacyLedger

WHOLE = LedgerKey("customers", "joint_modelling.propensity")


def test_the_same_division_passes_and_another_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "privacy.db"
    PrivacyLedger(path).fix_split(WHOLE, "key:0.2")
    ledger = PrivacyLedger(path)
    size = ledger.head().size
    ledger.fix_split(WHOLE, "key:0.2")
    assert ledger.head().size == size
    for other in ("key:0.3", "another:0.2"):
        with pytest.raises(PrivacyError) as error:
            ledger.fix_split(WHOLE, other)
        assert error.value.code == "privacy.unsupported"


def test_populations_and_purposes_are_divided_on_their_own(tmp_path: Path) -> None:
    ledger = PrivacyLedger(tmp_path / "privacy.db")
    ledger.fix_split(WHOLE, "key:0.2")
    ledger.fix_split(LedgerKey("prospects", WHOLE.purpose), "key:0.3")
    ledger.fix_split(LedgerKey(WHOLE.population, "joint_modelling"), "key:0.3")
