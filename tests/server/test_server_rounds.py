"""The rounds over real nodes in one process: what is aggregated, what is not, and what the log says of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import verify_log
from hanse.crypto import SigningKey
from hanse.errors import AuditError, TrainingError
from hanse.learning import weights_to_bytes

Federation = Callable[..., Any]


def entries(local: Any) -> list[Any]:
    return list(verify_log(local.home.log, local.key.verifier).entries)


def types(local: Any) -> list[str]:
    return [entry.type.value for entry in entries(local)]


def left(record: Any) -> dict[str, str]:
    return {e.facts["member"]: e.facts["code"] for e in record._events if e.type == "member.left"}


def rewrite(local: Any, name: str, change: Callable[[pb.Reply], object]) -> Callable[[str, bytes], bytes]:
    """A member that changes its reply and signs what it changed, as a dishonest one would."""
    site = next(site for site in local.federation.sites if site.data.name == name)
    key = SigningKey.load(site.home.node_key)

    def tamper(member: str, body: bytes) -> bytes:
        if member != name:
            return body
        reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
        change(reply)
        changed = reply.SerializeToString()
        return pb.SignedMessage(
            body=changed, signer=key.name, signature=key.sign("hanse.round.v1", changed)
        ).SerializeToString()

    return tamper


def test_a_run_from_start_to_finish(federation: Federation) -> None:
    local = federation(members=3, rounds=2)
    transport = local.transport()
    rounds, record = local.rounds(transport)

    outcome = rounds.conduct()
    rounds.finish("propensity@1", "0" * 64, "")

    assert outcome.members == ("brand", "insurer", "media")
    assert all(0 < epsilon <= 3.0 for epsilon in outcome.epsilon.values())
    assert np.isfinite(load(outcome.model_file)["weights"]).all()
    assert types(local) == [
        "run.started",
        *["round.submitted"] * 3,
        "run.prepared",
        *(["round.submitted"] * 3 + ["round.aggregated"]) * 2,
        *["round.submitted"] * 3,
        "run.evaluated",
    ]
    files = sorted(path.name for path in (local.home.runs / record.run).glob("round-*"))
    assert files == [f"round-{number:04d}.state" for number in range(3)]
    for site in local.federation.sites:
        verified = verify_log(site.home.log, SigningKey.load(site.home.node_key).verifier)
        assert verified.entries[-1].type.value == "run.finished"


def test_the_aggregate_is_the_mean_of_the_updates_by_rows(federation: Federation) -> None:
    local = federation(members=2, rounds=1)
    transport = local.transport()
    rounds, _ = local.rounds(transport)
    deltas: dict[str, tuple[Any, int]] = {}

    def listen(member: str, body: bytes) -> bytes:
        reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
        if reply.HasField("trained"):
            deltas[member] = (np.frombuffer(reply.trained.delta, "<f4"), reply.trained.training.rows)
        return body

    transport.tamper = listen
    outcome = rounds.conduct()

    total = sum(rows for _, rows in deltas.values())
    expected = sum(delta.astype(np.float64) * rows for delta, rows in deltas.values()) / total
    np.testing.assert_allclose(load(outcome.model_file)["weights"], expected, atol=1e-6)


def test_a_withdrawn_subject_is_out_of_the_next_round_and_its_row_is_not_read(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(members=2, rounds=3)
    site = local.federation.sites[1]
    withdrawn = str(site.written.subject_ids[site.written.consenting][0])
    source = local.nodes[site.data.name]._tools.gate._source
    read: list[set[str]] = []
    original = source.read

    def spy(columns: Any, subjects: Any, hidden: Any) -> Any:
        read.append(set(subjects))
        return original(columns, subjects, hidden)

    monkeypatch.setattr(source, "read", spy)
    transport = local.transport()
    rounds, record = local.rounds(transport)

    def withdraw(_: Any) -> None:
        if len(read) == 2:  # the preparation and the first round are over
            local.federation.withdraw(site, withdrawn, "joint_modelling", datetime.now(UTC))

    transport.before = withdraw
    rounds.conduct()

    assert [withdrawn in subjects for subjects in read] == [True, True, False, False, False]
    assert [len(subjects) for subjects in read] == [n := len(read[0]), n, n - 1, n - 1, n - 1]
    facts = [e.facts["rows"][site.data.name] for e in record._events if e.type == "round.aggregated"]
    totals = [rows["training"] + rows["holdout"] for rows in facts]
    assert totals == [n, n - 1, n - 1]


def test_no_aggregate_of_a_single_member(federation: Federation) -> None:
    local = federation(members=2, rounds=3)
    transport = local.transport()
    rounds, record = local.rounds(transport)
    transport.before = lambda _: transport.silent.add("insurer") if len(transport.sent) == 2 else None

    with pytest.raises(TrainingError) as error:
        rounds.conduct()

    assert (error.value.code, error.value.rule) == ("run.insufficient-members", "P17")
    assert left(record) == {"insurer": "run.insufficient-members"}
    assert types(local).count("round.aggregated") == 1
    assert len(list((local.home.runs / record.run).glob("round-*"))) == 2


def test_an_absent_member_is_not_waited_for_and_two_of_three_go_on(federation: Federation) -> None:
    local = federation(members=3, rounds=1)
    transport = local.transport()
    transport.silent.add("media")
    rounds, record = local.rounds(transport)
    assert rounds.conduct().members == ("brand", "insurer")
    assert left(record) == {"media": "run.absent"}


LIES: tuple[tuple[str, Callable[[pb.Reply], object]], ...] = (
    (
        "run.update-rejected",
        lambda r: setattr(r.trained, "delta", b"\x00\x00\xc0\x7f" * (len(r.trained.delta) // 4)),
    ),
    ("run.update-rejected", lambda r: setattr(r.trained, "delta", r.trained.delta[:-4])),
    ("protocol.malformed", lambda r: setattr(r.trained, "delta", r.trained.delta[:-1])),
    (
        "run.update-rejected",
        lambda r: setattr(
            r.trained, "delta", weights_to_bytes(np.full(len(r.trained.delta) // 4, 1e6, dtype=np.float32))
        ),
    ),
    ("run.update-rejected", lambda r: setattr(r.trained.training, "rows", 0)),
    ("run.update-rejected", lambda r: setattr(r.trained, "epsilon", 99.0)),
    ("run.update-rejected", lambda r: r.trained.histogram.positives.pop()),
    ("run.update-rejected", lambda r: r.trained.histogram.negatives.__setitem__(0, float("nan"))),
    ("protocol.replayed", lambda r: setattr(r, "sequence", 1)),
    ("protocol.replayed", lambda r: setattr(r, "run", "another")),
    ("protocol.unexpected-step", lambda r: r.evaluated.SetInParent()),
)
"""What a member may change in its reply to a round, and what it is turned away for."""


def test_a_reply_that_does_not_check_costs_the_member_its_place(federation: Federation) -> None:
    local = federation(members=len(LIES) + 2, rounds=1)
    honest = ("brand", "insurer")
    liars = [site.data.name for site in local.federation.sites if site.data.name not in honest]
    transport = local.transport()
    rounds, record = local.rounds(transport)
    tampers = [rewrite(local, liar, change) for liar, (_, change) in zip(liars, LIES, strict=True)]

    def tamper(member: str, body: bytes) -> bytes:
        if len(transport.sent) != 2:
            return body
        for change in tampers:
            body = change(member, body)
        return body

    transport.tamper = tamper
    outcome = rounds.conduct()

    assert outcome.members == honest
    assert left(record) == {liar: code for liar, (code, _) in zip(liars, LIES, strict=True)}


def test_garbage_and_foreign_signatures_are_refused(federation: Federation) -> None:
    local = federation(members=5, rounds=1)
    liars = [site.data.name for site in local.federation.sites if site.data.name not in {"brand", "insurer"}]
    garbage = dict(zip(liars, (b"", b"\xff" * 40, b"\x0a\x00"), strict=True))
    transport = local.transport()
    rounds, record = local.rounds(transport)
    transport.tamper = garbage.get
    assert rounds.conduct().members == ("brand", "insurer")
    assert set(left(record)) == set(liars)
    assert set(left(record).values()) <= {"protocol.malformed", "identity.bad-signature"}


def test_without_a_log_the_run_stops(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    local = federation(members=2, rounds=1)
    transport = local.transport()
    rounds, _ = local.rounds(transport)

    def refuse(*_: Any) -> None:
        raise AuditError("audit.unavailable", "disk full")

    monkeypatch.setattr(local.shared_log, "append", refuse)
    with pytest.raises(AuditError):
        rounds.conduct()
    assert not transport.sent


# --- P32: what is used is what was admitted and stated


def test_a_result_over_other_rows_than_were_stated_is_not_taken(federation: Federation) -> None:
    local = federation(members=3, rounds=1)
    transport = local.transport()

    def add_rows(reply: pb.Reply) -> None:
        if reply.HasField("trained"):
            reply.trained.training.rows += 1

    transport.tamper = rewrite(local, "media", add_rows)
    rounds, record = local.rounds(transport)
    outcome = rounds.conduct()
    assert outcome.members == ("brand", "insurer")
    assert left(record) == {"media": "run.update-rejected"}
    reasons = [entry.reasons for entry in entries(local) if entry.type == "member.left"]
    assert reasons == [("run.update-rejected", "P32")]


def test_a_result_of_which_nothing_was_stated_is_not_taken(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(members=3, rounds=1)
    silent = local.nodes["media"]._statements
    monkeypatch.setattr(silent, "state", lambda *_: 0)
    rounds, record = local.rounds(local.transport())
    assert rounds.conduct().members == ("brand", "insurer")
    assert left(record) == {"media": "run.update-rejected"}
    submitted = [entry.peer for entry in entries(local) if entry.type == "round.submitted"]
    assert set(submitted) == {"brand", "insurer"}


def test_a_statement_about_fewer_rows_than_are_used_is_found(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = federation(members=3, rounds=1)
    statements = local.nodes["media"]._statements
    honest = statements.state

    def understate(name: str, admitted: Any, below: int) -> int:
        changed = admitted.model_copy(update={"subject_set_size": admitted.subject_set_size - 1})
        return int(honest(name, changed, below))

    monkeypatch.setattr(statements, "state", understate)
    rounds, record = local.rounds(local.transport())
    assert rounds.conduct().members == ("brand", "insurer")
    assert left(record) == {"media": "run.update-rejected"}
