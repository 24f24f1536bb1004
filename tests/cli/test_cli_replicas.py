"""A member whose scorers are several: its log in a database, and what callers have had of their quotas."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.command import Command, command_for

from hanse.audit import Event, EventType
from hanse.cli.common import member_log
from hanse.client.home import MemberHome
from hanse.client.peers import own_keys
from hanse.server.scoring.lease_store import LeaseStore
from hanse.server.scoring.leases import Account


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_for(monkeypatch, capsys)


def init(hanse: Command, *more: str) -> MemberHome:
    words = ("init", "member", "--home", "brand", "--name", "brand", "--organisation", "Brand AG")
    assert hanse(*words, "--jurisdiction", "DE", *more, "--json").code == 0
    return MemberHome(Path("brand"))


def test_quotas_are_shown_per_caller(hanse: Command) -> None:
    home = init(hanse)
    assert "nobody" not in hanse("quota", "--home", home.root).err
    assert hanse("quota", "--home", home.root, "--json").json == []
    store, today = LeaseStore(home.quotas), datetime.now(UTC).date()
    lease = store.take(Account("propensity", "crm"), 500, 20, today, replica="north")
    assert lease is not None
    lease.spent = 15
    store.give_back([lease])
    store.take(Account("propensity", "crm"), 500, 1, today)
    (shown,) = hanse("quota", "--home", home.root, "--json").json
    assert shown == {
        "day": today.isoformat(),
        "agreement": "propensity",
        "caller": "crm",
        "quota": 500,
        "used": 20,
        "left": 480,
        "with_scorers": 5,
    }
    assert "480" in hanse("quota", "--home", home.root).out


def test_the_log_of_a_member_can_be_in_a_database(hanse: Command, database: str) -> None:
    home = init(hanse, "--audit-url", database)
    assert not home.log.exists(), "the log is in the database and nowhere else"
    member_log(home, "scorer.north").append(Event(type=EventType.SCORER_STARTED))
    member_log(home, "scorer.south").append(Event(type=EventType.SCORER_STARTED))
    assert hanse("audit", "verify", "--home", home.root, "--json").json["entries"] == 3
    shown = hanse("audit", "show", "--home", home.root, "--json").json
    assert [(entry["actor"]["role"], entry["seq"]) for entry in shown] == [
        ("operator", 0),
        ("scorer.north", 0),
        ("scorer.south", 0),
    ]
    assert hanse("audit", "export", "--home", home.root, "--out", "p.zip", "--json").code == 0
    assert len(own_keys(home)) == 1
