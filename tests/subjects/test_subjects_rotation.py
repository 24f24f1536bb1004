"""A member changes its key between a receipt and the question what became of the row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.command import command_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from tests.subjects.conftest import Asking

    from hanse.client.receipt_files import ReceiptFile


def test_receipt_and_proofs_outlive_the_key(
    asking: Asking,
    write_receipt_file: Callable[[ReceiptFile], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    hanse = command_for(monkeypatch, capsys)
    receipt = str(write_receipt_file(asking.receipts["left"]))
    prove = ("subject", "prove", "--home", "home", "--receipt", receipt, "--out")
    assert hanse(*prove, "early.json").code == 0
    rotated = [hanse("audit", "rotate-key", "--home", "home", "--json").json["new_key"] for _ in range(2)]
    told = hanse(*prove, "late.json")
    assert told.code == 0
    for key in (asking.key, *rotated):
        assert f"--key {key}" in told.out
    check = ("subject", "verify", "--receipt", receipt, "--json")
    keys = ("--key", asking.key, "--key", rotated[1])
    for bundle, known in (("early.json", keys[:2]), ("early.json", keys), ("late.json", keys)):
        found = hanse(*check, bundle, *known)
        assert [run["verdict"] for run in found.json["runs"]] == ["used", "not used"]
    refused = hanse(*check, "late.json", "--key", asking.key)
    assert (refused.code, json.loads(refused.out)["error"]["code"]) == (8, "identity.unknown-signer")
    genuine = hanse("consent", "check-receipt", receipt, "--home", "home", "--json")
    assert (genuine.code, genuine.json["recorded"]) == (0, True)
