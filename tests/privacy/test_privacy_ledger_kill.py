"""A process that is killed while it spends has lost nothing that it acknowledged, and exceeded nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hanse.errors import PrivacyError
from hanse.privacy import Budget, GaussianRelease, LedgerKey, PrivacyLedger, epsilon

KEY = LedgerKey("customers:training", "joint_modelling")
GRANT = Budget(3.0, 1e-5)
RESERVED = 40
# One byte per acknowledged release, written as a release would be: after the ledger has returned.
SPENDER = """
import os, sys
from pathlib import Path
from hanse.privacy import GaussianRelease, LedgerKey, PrivacyLedger
ledger = PrivacyLedger(Path(sys.argv[1]))
while True:
    ledger.spend(LedgerKey("customers:training", "joint_modelling"), "run", [GaussianRelease(10.0)])
    os.write(1, b".")
"""


def spend_until_killed(path: Path, acknowledgements: int) -> int:
    """Kills a spender (SIGKILL) after it has acknowledged that many releases; returns how many it made."""
    process = subprocess.Popen(
        [sys.executable, "-c", SPENDER, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    seen = process.stdout.read(acknowledgements)
    process.send_signal(signal.SIGKILL)
    seen += process.stdout.read()
    process.wait()
    return len(seen)


def test_killed_spenders_lose_no_acknowledged_spending_and_exceed_no_grant(tmp_path: Path) -> None:
    path = tmp_path / "privacy.db"
    PrivacyLedger(path).plan(KEY, "run", [GaussianRelease(10.0, RESERVED)], GRANT)
    ledger = PrivacyLedger(path)
    released = 0
    for acknowledgements in (1, 9):
        released += spend_until_killed(path, acknowledgements)
        ledger = PrivacyLedger(path)
        (spent,) = ledger.spent_events(KEY)
        assert isinstance(spent, GaussianRelease)
        # Each kill may have cost one release that was paid for and never made.
        assert released <= spent.count <= released + 2
        assert spent.count <= RESERVED
        assert ledger.spent(KEY, GRANT.delta) <= GRANT.epsilon
    with pytest.raises(PrivacyError):
        ledger.plan(KEY, "another", [GaussianRelease(10.0, RESERVED)], GRANT)
    assert epsilon([GaussianRelease(10.0, RESERVED)], GRANT.delta) <= GRANT.epsilon
