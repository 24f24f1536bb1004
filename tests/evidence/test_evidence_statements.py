"""The log of logs: which statements of members the coordinator takes, and what they prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.evidence.conftest import MEMBERS, utc_now

from hanse.audit import Counts, Entry, Event, EventType, consistency_proof, verify_log
from hanse.audit.entry import Actor, Frame, format_time, write_entry
from hanse.audit.statement import check_statement, read_statement, sign_statement
from hanse.client.statements import shown_counts
from hanse.crypto import SigningKey, canonical_json, parse_canonical_json
from hanse.errors import HanseError, IdentityError, ProtocolError
from hanse.policies import SignedAgreement
from hanse.server.statements import Statements, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evidence.conftest import Hub

    from hanse.audit import AuditLog

DIGEST = "ab" * 32
RUN = "run-1"
PURPOSE = "joint_modelling.propensity"


@dataclass
class Party:
    name: str
    node_key: str


@dataclass
class Terms:
    """As much of an agreement as statements are held against."""

    members: dict[str, Party]
    columns: tuple[str, ...] = ("age",)
    purpose: str = PURPOSE

    def member(self, name: str) -> Party | None:
        return self.members.get(name)


@dataclass
class Due:
    """Statements that are due from both members, and the members' own logs."""

    hub: Hub
    statements: Statements
    log: AuditLog

    def expect(self, name: str = "trained", number: int | None = 1) -> None:
        terms = Terms({name: Party(name, self.key(name).verifier.encode()) for name in MEMBERS})
        signed = SignedAgreement(cast("Any", terms), DIGEST, MEMBERS, b"")
        self.statements.expect(Step(RUN, signed, name, number, frozenset(MEMBERS)))

    def key(self, member: str) -> SigningKey:
        return SigningKey.load(self.hub.site(member).node_key)

    def event(self, member: str, **changes: object) -> Event:
        with self.hub.own_log(member).reader() as reader:
            note = reader.note
        fields: dict[str, object] = {
            "type": EventType.ROUND_SUBMITTED,
            "agreement": DIGEST,
            "run": RUN,
            "round": 1,
            "purpose": PURPOSE,
            "peer": member,
            "counts": Counts(rows_in=100, rows_out=90, by_rule={"P10": 10}),
            "subject_set_root": "cd" * 32,
            "subject_set_size": 90,
            "subject_epoch": 1,
            "rows_used": 90,
            "member_checkpoint": note.decode(),
            "detail": "trained",
        }
        return Event.model_validate({**fields, **changes})

    def proof(self, member: str, old_size: int) -> tuple[bytes, ...]:
        with self.hub.own_log(member).reader() as reader:
            return consistency_proof(old_size, reader.size, reader.hashes) if old_size else ()

    def submit(self, member: str, caller: str = "", **changes: object) -> int:
        old_size = self.statements.submitted(member)
        statement = sign_statement(self.event(member, **changes), self.key(member))
        return self.statements.submit(statement, old_size, self.proof(member, old_size), caller or member)

    def grow(self, member: str, entries: int = 1) -> None:
        self.hub.own_log(member).append(*[Event(type=EventType.ROUND_TRAINED)] * entries)


@pytest.fixture
def due(hub: Hub) -> Due:
    log = hub.open_log()
    made = Due(hub, Statements(log), log)
    made.expect()
    return made


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(HanseError) as caught:
        call()
    return caught.value.code


def test_a_statement_is_in_the_shared_log_and_its_signature_can_be_checked_there(due: Due) -> None:
    due.grow("brand", 3)
    index = due.submit("brand")
    entry = verify_log(due.hub.home.log, due.hub.key.verifier).entries[index]
    assert (entry.type, entry.peer, entry.actor.organisation) == ("round.submitted", "brand", "hub")
    checkpoint = check_statement(entry, due.key("brand").verifier)
    assert (checkpoint.origin, checkpoint.size) == ("brand", due.hub.own_log("brand").size)
    assert due.statements.taken("brand") == due.event("brand", statement_signature=entry.statement_signature)
    assert due.statements.taken("insurer") is None
    for field, value in (("rows_used", 89), ("peer", "insurer"), ("round", 2), ("run", "run-2")):
        altered = Entry.model_validate({**entry.model_dump(), field: value})
        with pytest.raises(IdentityError):
            check_statement(altered, due.key("brand").verifier)
    with pytest.raises(IdentityError):
        check_statement(entry, due.key("insurer").verifier)


def test_the_next_statement_goes_on_from_the_last_also_after_a_restart(due: Due) -> None:
    due.submit("brand")
    first = due.hub.own_log("brand").size
    assert due.statements.submitted("brand") == first
    due.grow("brand", 5)
    again = Due(due.hub, Statements(due.hub.open_log()), due.log)
    again.expect("trained", 2)
    assert (again.statements.submitted("brand"), again.statements.submitted("insurer")) == (first, 0)
    again.submit("brand", round=2)
    assert again.statements.submitted("brand") == first + 5


def test_a_members_log_never_goes_back(due: Due, hub: Hub) -> None:
    due.grow("brand", 5)
    earlier = due.event("brand", round=2)
    due.grow("brand", 5)
    due.submit("brand")
    due.expect("trained", 2)
    size, sizes = due.statements.submitted("brand"), due.log.size
    statement = sign_statement(earlier, due.key("brand"))
    assert refused(lambda: due.statements.submit(statement, size, (), "brand")) == "audit.integrity"
    later = sign_statement(due.event("brand", round=2), due.key("brand"))
    assert refused(lambda: due.statements.submit(later, 0, (), "brand")) == "protocol.unexpected-step"
    due.grow("brand")
    grown = sign_statement(due.event("brand", round=2), due.key("brand"))
    assert refused(lambda: due.statements.submit(grown, size, (), "brand")) == "audit.integrity"
    wrong = (bytes(32),) * len(due.proof("brand", size))
    assert refused(lambda: due.statements.submit(grown, size, wrong, "brand")) == "audit.integrity"
    # A rewritten log of the member's own: longer, signed by its key, and not an extension.
    home = hub.site("brand")
    home.log.rename(home.log.with_suffix(".old"))
    for path in home.log.parent.glob("audit.db-*"):
        path.unlink()
    type(due.log).create(home.log, "brand", due.key("brand"))
    due.grow("brand", size + 9)
    assert refused(lambda: due.submit("brand", round=2)) == "audit.integrity"
    assert due.log.size == sizes


@pytest.mark.parametrize(
    ("changes", "caller", "expected"),
    [
        ({}, "insurer", "protocol.unexpected-step"),
        ({"peer": "insurer"}, "brand", "protocol.unexpected-step"),
        ({"run": "run-2"}, "brand", "protocol.unexpected-step"),
        ({"round": 2}, "brand", "protocol.unexpected-step"),
        ({"detail": "evaluated"}, "brand", "protocol.unexpected-step"),
        ({"agreement": "cd" * 32}, "brand", "protocol.unexpected-step"),
        ({"purpose": "scoring"}, "brand", "protocol.unexpected-step"),
        ({"detail": "something"}, "brand", "protocol.malformed"),
        ({"type": EventType.RUN_FINISHED}, "brand", "protocol.malformed"),
        ({"reasons": ("P10",)}, "brand", "protocol.malformed"),
        ({"model_out": DIGEST}, "brand", "protocol.malformed"),
        ({"member_checkpoint": None}, "brand", "protocol.malformed"),
        ({"counts": Counts(rows_in=1, rows_out=1, by_rule={"P99": 1})}, "brand", "protocol.malformed"),
        ({"counts": Counts(rows_in=1, rows_out=1, hidden={"1": 1})}, "brand", "protocol.malformed"),
    ],
    ids=str,
)
def test_what_is_not_due_is_not_taken(
    due: Due, changes: dict[str, object], caller: str, expected: str
) -> None:
    size = due.log.size
    assert refused(lambda: due.submit("brand", caller, **changes)) == expected
    assert due.log.size == size


def test_each_step_is_stated_once_and_only_while_it_is_due(due: Due) -> None:
    first = due.submit("brand")
    size = due.log.size
    assert due.submit("brand") == first  # who was restarted says the same again, and it is there already
    assert due.log.size == size
    other = Counts(rows_in=2, rows_out=1)
    assert refused(lambda: due.submit("brand", counts=other)) == "protocol.replayed"
    due.expect("trained", 2)
    assert due.statements.taken("brand") is None
    due.submit("brand", round=2)
    due.statements.expect(None)
    assert refused(lambda: due.submit("insurer", round=2)) == "protocol.unexpected-step"


def test_another_key_or_another_log_does_not_count(due: Due) -> None:
    event = due.event("brand")
    foreign = sign_statement(event, due.key("insurer"))
    assert refused(lambda: due.statements.submit(foreign, 0, (), "brand")) == "identity.bad-signature"
    with due.hub.own_log("insurer").reader() as reader:
        note = reader.note.decode()
    assert refused(lambda: due.submit("brand", member_checkpoint=note)) == "identity.unknown-signer"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.binary(max_size=300))
def test_reading_a_statement_is_total(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_statement(data)


def test_a_statement_has_one_form(due: Due) -> None:
    statement = sign_statement(due.event("brand"), due.key("brand"))
    assert read_statement(statement).peer == "brand"
    value: Any = parse_canonical_json(statement)
    for changed in (
        statement + b"\n",
        statement.replace(b'"peer":', b'"peer": '),
        canonical_json({**value, "counts": None}),
        canonical_json({name: v for name, v in value.items() if name != "statement_signature"}),
        canonical_json({**value, "statement_signature": "x"}),
    ):
        with pytest.raises(ProtocolError):
            read_statement(changed)


def test_an_entry_without_statement_is_none() -> None:
    key = SigningKey.generate("brand")
    actor = Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
    leaf = write_entry(Event(type=EventType.RUN_STARTED), Frame(actor.canonical(), 0, format_time(utc_now())))
    with pytest.raises(ProtocolError):
        check_statement(Entry.parse(leaf), key.verifier)


# --- counts that leave the member


def test_no_small_count_and_no_total_that_gives_it_away() -> None:
    exact = Counts(rows_in=100, rows_out=60, by_rule={"P10": 37, "P08": 3})
    shown = shown_counts(exact, 10)
    assert shown.by_rule == {"P10": 37, "P08": "<10"}
    assert (shown.rows_in, shown.rows_out) == (97, 60)
    assert shown_counts(exact, 3) == exact


def test_hidden_values_are_told_by_column_only_if_all_are_large() -> None:
    exact = Counts(rows_in=100, rows_out=100, hidden={"0": 50, "1": 4}, hidden_by_rule={"P07": 50, "P09": 4})
    shown = shown_counts(exact, 10)
    assert shown.hidden == {}
    assert shown.hidden_by_rule == {"P07": 50, "P09": "<10"}
    assert shown_counts(exact, 4) == exact
