"""Coordinator, node and witness change their keys: the agreement stops with a name, its amendment goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.command import command_for
from tests.conftest import open_federation

from hanse.errors import IdentityError
from hanse.policies import open_agreement
from hanse.policies.signing import require_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LocalFederation


def close(built: LocalFederation) -> None:
    """Ends what real processes would end by ending."""
    built.shared_log.close()
    for node in built.nodes.values():
        node._log.close()


@pytest.mark.slow
def test_an_amended_agreement_runs_under_the_new_keys(
    federation: Callable[..., LocalFederation],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    built = federation(2, 3.0, rounds=1)
    rounds, _ = built.rounds(built.transport())
    rounds.conduct()
    rounds.finish("", "", "run.cancelled")
    close(built)

    folder = built.federation.folder
    monkeypatch.chdir(folder)
    hanse = command_for(monkeypatch, capsys)
    brand, other = (site.data.name for site in built.federation.sites)
    hub = built.federation.hub.name
    Path("deal.agreement").write_bytes(built.signed.note)
    for name in (hub, brand):
        agreements = folder / name / ("state/agreements" if name == hub else "agreements")
        agreements.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("deal.agreement", agreements / f"{built.signed.digest}.agreement")
        told = hanse("audit", "rotate-key", "--home", name)
        assert (told.code, built.agreement.id in told.out) == (0, True)
    assert hanse("audit", "new-witness-key", "--home", brand).code == 0

    # Who has changed a key runs nothing under the agreement that names the old one, and says what to do.
    with pytest.raises(IdentityError, match=f"member {brand} is not as pinned here: another node_key; if it"):
        require_known(
            built.agreement, open_federation(built.federation, built.signed.note).nodes[brand]._site.trusted
        )
    refused = hanse("agreement", "accept", "deal.agreement", "--home", brand)
    assert (refused.code, "hanse agreement amend --home" in refused.err) == (8, True)

    for home, names in ((hub, [brand]), (brand, [hub]), (other, [hub, brand])):
        files = [f"{name}/identity.json" for name in names]
        assert hanse("enrol", "--replace", "--home", home, *files).code == 0
    made = hanse("agreement", "amend", "deal.agreement", "--home", brand, "--json")
    assert made.json["version"] == 2
    assert hanse("agreement", "sign", "next.yaml", "--home", brand).code == 0
    assert hanse("agreement", "sign", "next.agreement", "--home", other).code == 0
    note = Path("next.agreement").read_bytes()
    assert open_agreement(note).agreement.supersedes == built.signed.digest

    for site in built.federation.sites:  # a run may cost the whole budget; this is a new one
        for path in site.home.privacy.parent.glob("privacy.db*"):
            path.unlink()
    again = open_federation(built.federation, note)
    rounds, _ = again.rounds(again.transport())
    rounds.conduct()
    rounds.finish("", "", "run.cancelled")
    close(again)
    logs = ("--member", folder / brand / "state/audit.db", "--member", folder / other / "state/audit.db")
    found = hanse("audit", "verify", "--home", hub, *logs, "--json").json
    assert [
        finding["kind"] for finding in found["findings"] if finding["kind"].startswith("checkpoint")
    ] == []
    assert {brand, other} == set(found["held_against"])
