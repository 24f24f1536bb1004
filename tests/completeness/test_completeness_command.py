"""``hanse audit verify`` as a reviewer calls it: what is complete, what is not, and with which exit code."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.command import Result, command_for
from tests.completeness.conftest import Story

from hanse.audit import Actor, AuditLog, Event, EventType
from hanse.client.home import MemberHome
from hanse.client.setup import DatasetHints, Organisation, init_member
from hanse.crypto import SigningKey


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    invoke = command_for(monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "250")
    return partial(invoke, "audit", "verify")


@pytest.fixture
def site(tmp_path: Path) -> MemberHome:
    """A member that trained what it had not admitted, in a run that it never ended."""
    home, now = MemberHome(tmp_path / "brand"), datetime.now(UTC)
    organisation = Organisation("brand", "Brand AG", "DE", "DE")
    init_member(home.root, organisation, DatasetHints(None, "subject_id", "y"), now)
    key = SigningKey.load(home.node_key)
    actor = Actor(organisation="brand", key_id=key.verifier.key_id, role="member")
    run: dict[str, Any] = {"agreement": "a" * 64, "run": "run-1"}
    AuditLog.open(home.log, key, actor).append(
        Event(type=EventType.AGREEMENT_SIGNED, agreement="a" * 64),
        Event(type=EventType.AGREEMENT_ACCEPTED, **run),
        Event(type=EventType.ROUND_ADMITTED, **run),
        Event(type=EventType.RUN_PREPARED, **run),
        Event(type=EventType.ROUND_TRAINED, round=1, **run),
    )
    return home


def log_of(story: Story, name: str) -> Path:
    return story.folder / name / "state" / "audit.db"


def test_complete_logs(stories: Callable[[str], Story], verify: Callable[..., Result]) -> None:
    story = stories("withdrawal")
    member = verify("--home", story.folder / "brand", "--shared", log_of(story, "hub"))
    assert member.code == 0
    assert "verified hub" in member.out
    assert "complete, as far as entries can tell" in member.out
    logs = [word for name in ("brand", "insurer") for word in ("--member", log_of(story, name))]
    shared = verify("--home", story.folder / "hub", *logs, "--json")
    assert shared.code == 0
    assert shared.json["findings"] == []
    assert shared.json["held_against"] == ["brand", "insurer"]


def test_a_reviewer_elsewhere_gives_the_keys(
    stories: Callable[[str], Story], verify: Callable[..., Result], tmp_path: Path
) -> None:
    story = stories("withdrawal")
    keys = {name: SigningKey.load(story.folder / name / "keys" / "node.key") for name in ("hub", "brand")}
    hub, brand = (keys[name].verifier.encode() for name in ("hub", "brand"))
    words = ("--home", tmp_path, "--log", log_of(story, "hub"), "--key", hub)
    compared = (*words, "--member", log_of(story, "brand"))
    assert verify(*compared, "--trust", brand).code == 0
    unknown = verify(*compared)
    assert unknown.code == 3
    assert "--trust" in unknown.err
    twice = verify(*words, "--shared", log_of(story, "hub"), "--trust", hub)
    assert twice.code == 3
    assert "two shared logs" in twice.err


def test_findings_as_a_table_and_as_json(site: MemberHome, verify: Callable[..., Result]) -> None:
    people = verify("--home", site.root)
    assert people.code == 6
    assert "1 findings and 1 notes" in people.out
    assert "step-unadmitted" in people.out
    assert "Ask the member what its node did then" in people.out
    found = {finding["kind"]: finding for finding in verify("--home", site.root, "--json").json["findings"]}
    assert set(found) == {"step-unadmitted", "run-open"}
    assert found["step-unadmitted"] == {
        "kind": "step-unadmitted",
        "entry": 5,
        "log": "brand",
        "detail": "trained without a decision before it",
        "run": "run-1",
        "round": 1,
        "meaning": "A step was done without a decision that admitted its rows.",
        "remedy": "Ask the member what its node did then; do not rely on the run until it is explained.",
        "note": False,
    }


def test_notes_alone_are_no_failure(verify: Callable[..., Result], tmp_path: Path) -> None:
    home, now = MemberHome(tmp_path / "media"), datetime.now(UTC)
    init_member(
        home.root, Organisation("media", "Media", "DE", "DE"), DatasetHints(None, "subject_id", "y"), now
    )
    key = SigningKey.load(home.node_key)
    actor = Actor(organisation="media", key_id=key.verifier.key_id, role="member")
    event = Event(type=EventType.AGREEMENT_ACCEPTED, agreement="a" * 64, run="run-1")
    AuditLog.open(home.log, key, actor).append(event)
    noted = verify("--home", home.root)
    assert noted.code == 0
    assert "0 findings and 2 notes" in noted.out


def test_another_members_log_is_found_out(
    stories: Callable[[str], Story], site: MemberHome, verify: Callable[..., Result]
) -> None:
    """A brand that shows a log it made up afterwards: not the one of which it stated checkpoints."""
    story = stories("withdrawal")
    (site.peers / "hub.json").write_bytes((story.folder / "hub" / "identity.json").read_bytes())
    told = verify("--home", site.root, "--shared", log_of(story, "hub"), "--json")
    assert told.code == 6
    kinds = {finding["kind"] for finding in told.json["findings"]}
    assert {"checkpoint-beyond", "checkpoint-foreign", "step-unlogged", "run-unshared"} <= kinds
