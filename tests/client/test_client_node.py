"""What a node answers, and what it refuses; every refusal is in its log and carries no detail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import EventType, RefusalKind, WitnessRefusal, check_consistency, root_hash, verify_log
from hanse.audit.completeness import check_member
from hanse.audit.statement import check_statement, read_statement
from hanse.client.data import DataSource
from hanse.client.kept import Kept
from hanse.client.main import make_site
from hanse.client.refusals import keep, require_none_open, review
from hanse.client.session import Session
from hanse.client.wire import open_command
from hanse.crypto import SigningKey, sha256_hex
from hanse.errors import CATALOGUE, ConfigurationError, HanseError, PrivacyError, ProtocolError
from hanse.learning import Predictor, Transform, weights_from_bytes, weights_to_bytes
from hanse.policies import Column, Identity
from hanse.server.wire import sign_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from tests.client.conftest import World

    from hanse.client.data import Hidden
    from hanse.enforcement import Columns


def transform_of(columns: Sequence[Column]) -> Transform:
    return Transform.fit(columns, None, 0)


def model(world: World, columns: Sequence[Column] | None = None) -> dict[str, bytes]:
    """Weights of zero and the preprocessing, as the coordinator sends them."""
    transform = transform_of(columns or world.signed.agreement.columns)
    weights = np.zeros(transform.n_features + 1, dtype=np.float32)
    return {"state": weights_to_bytes(weights), "transform": transform.to_json()}


def train(world: World, number: int = 1, **changes: Any) -> pb.Command:
    return world.command(train=pb.Train(round=number, **(model(world) | changes)))


@pytest.fixture
def prepared(world: World) -> World:
    assert world.ask(world.prepare()).WhichOneof("outcome") == "prepared"
    return world


def test_a_whole_run(world: World) -> None:
    prepared = world.ask(world.prepare()).prepared
    assert prepared.training.rows + prepared.holdout.rows == 140
    assert prepared.training.considered == 160
    assert dict(prepared.training.excluded_by_rule) == {"P01": 20}
    assert len(prepared.cell_counts) == 7
    assert sum(prepared.cell_counts) == 2 * prepared.training.rows
    for number in (1, 2):
        reply = world.ask(train(world, number))
        assert reply.trained.round == number
        delta = weights_from_bytes(reply.trained.delta)
        assert delta.shape == (8,)
        assert np.any(delta)
        histogram = reply.trained.histogram
        assert sum(histogram.positives) + sum(histogram.negatives) == reply.trained.holdout.rows
    evaluated = world.ask(world.command(evaluate=pb.Evaluate(**model(world)))).evaluated
    assert evaluated.holdout.rows == prepared.holdout.rows
    finish = pb.Finish(model="test@1", manifest_digest="ab" * 32)
    assert world.ask(world.command(finish=finish)).WhichOneof("outcome") == "finished"
    names = [entry.type.value for entry in world.entries()][1:]
    assert names == [
        *("agreement.accepted", "budget.planned", "round.admitted", "run.prepared"),
        *("round.admitted", "round.trained", "round.admitted", "round.trained"),
        *("round.admitted", "run.evaluated", "run.finished"),
    ]
    last = world.entries()[-1]
    assert last.model_out == "ab" * 32
    trained = [entry for entry in world.entries() if entry.type == "round.trained"]
    assert trained[0].model_in == sha256_hex(model(world)["state"])
    assert trained[0].privacy is None


def test_a_run_that_failed_is_told_so(prepared: World) -> None:
    command = prepared.command(finish=pb.Finish(error_code="run.cancelled"))
    assert prepared.ask(command).WhichOneof("outcome") == "finished"
    last = prepared.entries()[-1]
    assert (last.type, last.reasons) == ("run.failed", ("run.cancelled",))


# --- what is stated in the shared log before anything of a step leaves


def test_a_step_is_stated_before_it_is_answered(world: World) -> None:
    world.shared.size = 1
    reply = world.ask(world.prepare())
    [(statement, old_size, proof)] = world.shared.taken
    event = read_statement(statement)
    checkpoint = check_statement(event, world.key.verifier)
    assert (event.peer, event.detail, event.round) == ("brand", "prepared", None)
    rows = reply.prepared.training.rows + reply.prepared.holdout.rows
    assert event.rows_used == event.subject_set_size == rows == 140
    admitted = next(entry for entry in world.entries() if entry.type == "round.admitted")
    assert (event.subject_set_root, event.subject_epoch) == (
        admitted.subject_set_root,
        admitted.subject_epoch,
    )
    verified = verify_log(world.home.log, world.key.verifier, since=str(event.member_checkpoint).encode())
    old_root = root_hash([world.entries()[0].canonical()])
    check_consistency(old_size, old_root, checkpoint.size, checkpoint.root, proof)
    assert verified.size == checkpoint.size


def test_nothing_is_answered_that_could_not_be_stated(world: World) -> None:
    world.shared.failure = HanseError("run.engine", "the coordinator did not answer")
    assert world.refused(world.prepare()).code == "run.engine"


def test_a_coordinator_that_claims_a_longer_log_is_refused(world: World) -> None:
    world.shared.size = 1000
    assert world.refused(world.prepare()).code == "audit.integrity"
    assert not world.shared.taken


def test_a_site_whose_witness_refused_takes_no_part(world: World) -> None:
    refusal = WitnessRefusal(RefusalKind.FORK, "two trees", b"submitted")
    keep(world.home, "hub", refusal, world.now)
    world.trusted = lambda: require_none_open(world.home)
    world.node = world.make_node()
    assert world.refused(world.prepare()).code == "audit.witness-refused"
    review(world.home, "Berta Brand", world.now)
    assert world.ask(world.prepare(run="run-2")).WhichOneof("outcome") == "prepared"


# --- commands that are not for this node, or not from its coordinator


def refused_unsigned(world: World, data: bytes, code: str) -> None:
    """Nothing is signed in answer; the log says why."""
    before = world.entries()
    with pytest.raises(HanseError) as caught:
        world.node.handle(data)
    assert caught.value.code == code
    [entry] = world.entries()[len(before) :]
    assert (entry.type, entry.decision, entry.reasons) == ("message.refused", "deny", (code,))


def test_another_members_command(world: World) -> None:
    command = world.prepare(member="insurer")
    refused_unsigned(world, sign_command(command, world.coordinator), "protocol.unexpected-step")


def test_a_command_signed_by_a_stranger(world: World) -> None:
    data = sign_command(world.prepare(), SigningKey.generate("stranger"))
    refused_unsigned(world, data, "identity.unknown-signer")


def test_a_command_signed_by_a_namesake(world: World) -> None:
    data = sign_command(world.prepare(), SigningKey.generate("hub"))
    refused_unsigned(world, data, "identity.bad-signature")


def test_a_command_that_was_altered(world: World) -> None:
    signed = pb.SignedMessage.FromString(sign_command(world.prepare(), world.coordinator))
    signed.body = world.prepare(run="run-2").SerializeToString()
    refused_unsigned(world, signed.SerializeToString(), "identity.bad-signature")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"protocol": 2}, "protocol.version"),
        ({"prepare": None}, "protocol.malformed"),
        ({"run": ""}, "protocol.malformed"),
        ({"run": "Erika Mustermann"}, "protocol.malformed"),
    ],
)
def test_a_command_out_of_form(world: World, fields: dict[str, Any], code: str) -> None:
    refused_unsigned(world, sign_command(world.prepare(**fields), world.coordinator), code)


def test_a_signature_over_no_command(world: World) -> None:
    body = b"\xff\xff"
    signature = world.coordinator.sign("hanse.round.v1", body)
    data = pb.SignedMessage(body=body, signer="hub", signature=signature).SerializeToString()
    refused_unsigned(world, data, "protocol.malformed")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_opening_commands_is_total(shared: World, data: bytes) -> None:
    with pytest.raises(HanseError):
        open_command(data, "brand", shared.coordinator.verifier)


# --- replays


def test_a_replayed_command_is_refused(prepared: World) -> None:
    command = train(prepared)
    first = prepared.ask(command)
    assert first.WhichOneof("outcome") == "trained"
    assert prepared.refused(command).code == "protocol.replayed"
    assert prepared.ask(train(prepared, 2)).WhichOneof("outcome") == "trained"


def test_an_older_command_is_refused(prepared: World) -> None:
    late = train(prepared)
    assert prepared.ask(train(prepared)).WhichOneof("outcome") == "trained"
    assert prepared.refused(late).code == "protocol.replayed"


def test_a_run_begins_once(prepared: World) -> None:
    assert prepared.ask(prepared.prepare()).prepared == prepared.ask(prepared.prepare()).prepared
    assert [entry.type for entry in prepared.entries()].count(EventType.RUN_PREPARED) == 1
    prepared.ask(prepared.command(finish=pb.Finish(error_code="run.cancelled")))
    assert prepared.refused(prepared.prepare()).code == "protocol.replayed"


def test_an_old_beginning_does_not_end_the_run_in_hand(prepared: World) -> None:
    old = prepared.prepare()
    prepared.ask(prepared.command(finish=pb.Finish(error_code="run.cancelled")))
    assert prepared.ask(prepared.prepare(run="run-2")).WhichOneof("outcome") == "prepared"
    assert prepared.refused(old).code == "protocol.replayed"
    step = pb.Train(round=1, **model(prepared))
    assert prepared.ask(prepared.command(run="run-2", train=step)).WhichOneof("outcome") == "trained"


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_round_out_of_order_is_refused_before_anything_is_read(prepared: World, number: int) -> None:
    if number == 1:  # who came late begins with a later round, and does not go back
        prepared.ask(train(prepared, 2))
    before = len(prepared.entries())
    assert prepared.refused(train(prepared, number)).code == "protocol.unexpected-step"
    assert len(prepared.entries()) == before + 1


def test_a_run_that_never_began(world: World) -> None:
    assert world.refused(train(world)).code == "protocol.unexpected-step"


def test_a_run_under_another_agreement(prepared: World) -> None:
    step = pb.Train(round=1, **model(prepared))
    command = prepared.command(agreement_digest="0" * 64, train=step)
    assert prepared.refused(command).code == "protocol.unexpected-step"


# --- agreements


def refused_agreement(world: World, note: bytes, digest: str | None = None) -> pb.Refused:
    command = world.prepare(prepare=pb.Prepare(agreement=note))
    if digest is not None:
        command.agreement_digest = digest
    refusal = world.refused(command)
    assert "agreement.accepted" not in [entry.type for entry in world.entries()]
    return refusal


def test_an_altered_agreement(world: World) -> None:
    note = world.signed.note
    altered = note.replace(b'"minimum_rows":100', b'"minimum_rows":101')
    assert altered != note
    assert refused_agreement(world, altered).code == "policy.invalid"


@pytest.mark.parametrize(
    ("trial", "code"),
    [
        (("run-1", 1, 2), "policy.denied"),  # the agreement has no trials
        (("run-0", 1, 2), "protocol.malformed"),
        (("run-1", 2, 2), "protocol.malformed"),
        (("run-1", 0, 2), "protocol.malformed"),
        (("../1", 2, 2), "protocol.malformed"),
    ],
)
def test_a_trial_that_is_not_agreed(world: World, trial: tuple[str, int, int], code: str) -> None:
    named = pb.Trial(sweep=trial[0], number=trial[1], of=trial[2])
    command = world.prepare(prepare=pb.Prepare(agreement=world.signed.note, trial=named))
    assert world.refused(command).code == code
    assert "agreement.accepted" not in [entry.type for entry in world.entries()]


def test_an_agreement_that_lacks_a_signature(world: World) -> None:
    note = world.signed.note.rsplit(b"\n", 2)[0] + b"\n"
    assert refused_agreement(world, note).code == "policy.unsigned"


def test_another_agreement_than_the_command_names(world: World) -> None:
    assert refused_agreement(world, world.signed.note, "0" * 64).code == "policy.invalid"


def test_other_software(world: World) -> None:
    other = world.agree({"software": {"version": "0.1.0", "digest": "0" * 64}})
    refusal = refused_agreement(world, other.note, other.digest)
    assert (refusal.code, refusal.rule) == ("policy.software", "P20")


def test_a_member_with_other_keys_than_enrolled(world: World) -> None:
    path = world.home.peers / "insurer.json"
    stranger = SigningKey.generate("insurer").verifier.encode()
    Identity.load(path).model_copy(update={"node_key": stranger}).save(path)
    world.node = world.make_node()
    assert refused_agreement(world, world.signed.note).code == "identity.unknown-signer"


def test_a_member_that_is_not_enrolled(world: World) -> None:
    (world.home.peers / "insurer.json").unlink()
    world.node = world.make_node()
    assert refused_agreement(world, world.signed.note).code == "identity.unknown-signer"


def test_an_agreement_among_others(world: World) -> None:
    """The same agreement, at a site that is enrolled but no member of it."""
    site = make_site(world.home, "elsewhere", world.key)
    object.__setattr__(world.node._site, "name", site.name)
    command = world.prepare(member="elsewhere")
    body = world.node.handle(sign_command(command, world.coordinator))
    reply = pb.Reply.FromString(pb.SignedMessage.FromString(body).body)
    assert (reply.refused.code, reply.refused.rule) == ("policy.denied", "P20")


def test_another_coordinator(world: World) -> None:
    """Enrolled under its own name, and named in the agreement, but not the one that this node obeys."""
    other = SigningKey.generate("rival")
    identity = Identity.load(world.home.peers / "hub.json")
    update = {"name": "rival", "node_key": other.verifier.encode()}
    rival = identity.model_copy(update=update)
    agreed = world.agree(
        {"coordinator": {"name": "rival", "jurisdiction": "DE", "key": other.verifier.encode()}}
    )
    trusted = {**world.node._site.trusted, "rival": rival}
    object.__setattr__(world.node._site, "trusted", trusted)
    refusal = refused_agreement(world, agreed.note, agreed.digest)
    assert (refusal.code, refusal.rule) == ("policy.denied", "P20")


def test_an_agreement_that_ran_out(prepared: World) -> None:
    prepared.now += timedelta(days=91)
    assert prepared.refused(train(prepared)).code == "policy.denied"


# --- what the coordinator sends to train on


def test_a_transform_with_other_edges(prepared: World) -> None:
    age, job = prepared.signed.agreement.columns
    other = model(prepared, [age.model_copy(update={"edges": (31.0, 50.0)}), job])
    refusal = prepared.refused(train(prepared, 1, **other))
    assert (refusal.code, refusal.rule) == ("policy.column", "P13")


def test_a_transform_of_other_columns(prepared: World) -> None:
    age, job = prepared.signed.agreement.columns
    for columns in ([job, age], [age], [age, job.model_copy(update={"name": "secret"})]):
        assert prepared.refused(train(prepared, 1, **model(prepared, columns))).rule == "P13"


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros(9),
        np.zeros(7),
        np.full(8, 1e30),
        np.full(8, np.nan),
        np.full(8, np.inf),
    ],
    ids=["long", "short", "huge", "nan", "inf"],
)
def test_weights_that_do_not_fit(prepared: World, weights: npt.NDArray[np.float64]) -> None:
    body = weights_to_bytes(weights.astype(np.float32))
    before = len(prepared.entries())
    assert prepared.refused(train(prepared, state=body)).code == "protocol.malformed"
    command = prepared.command(evaluate=pb.Evaluate(**(model(prepared) | {"state": body})))
    assert prepared.refused(command).code == "protocol.malformed"
    assert len(prepared.entries()) == before + 2


def test_bytes_that_are_no_weights_or_transform(prepared: World) -> None:
    assert prepared.refused(train(prepared, state=b"123")).code == "protocol.malformed"
    assert prepared.refused(train(prepared, transform=b"{}")).code == "protocol.malformed"


@pytest.mark.parametrize("finish", [{"manifest_digest": "Erika"}, {"error_code": "Erika Mustermann"}, {}])
def test_an_end_that_the_log_cannot_hold(prepared: World, finish: dict[str, str]) -> None:
    command = prepared.command(finish=pb.Finish(**finish))
    assert prepared.refused(command).code == "protocol.malformed"
    assert prepared.ask(train(prepared)).WhichOneof("outcome") == "trained"


# --- refusals give nothing away


def test_a_refusal_carries_no_detail(prepared: World) -> None:
    for number in range(60):
        prepared.ledger.withdraw(prepared.ref(f"person-{number:04}"), "joint_modelling", prepared.now)
    command = train(prepared)
    reply = prepared.ask(command)
    assert (reply.refused.code, reply.refused.rule) == ("policy.cohort", "P15")
    assert (
        reply.refused.public_message
        == f"{CATALOGUE['policy.cohort'].public_message} (policy.cohort, rule P15)"
    )
    fields = [field.name for field, _ in reply.ListFields()]
    assert fields == [*("protocol", "agreement_digest", "run", "member", "sequence", "refused")]
    assert [entry.type for entry in prepared.entries()][-2:] == ["round.denied", "run.refused"]


def test_a_fault_of_ours_is_a_logged_refusal_without_detail(world: World) -> None:
    class Broken(DataSource):
        @override
        def read(
            self, columns: Sequence[str], subject_ids: Sequence[str], hidden: Hidden
        ) -> tuple[Columns, npt.NDArray[np.str_]]:
            raise ZeroDivisionError(f"Erika Mustermann {columns} {subject_ids} {hidden}")

    world.node = world.make_node(world.gate(Broken(world.source().manifest)))
    refusal = world.refused(world.prepare())
    assert refusal.code == "internal.error"
    assert "Erika" not in str(refusal)
    assert b"Erika" not in b"".join(verify_log(world.home.log, world.key.verifier).leaves)


def test_data_that_is_not_as_declared_is_a_refusal_without_detail(world: World) -> None:
    world.write([(f"person-{n:04}", "Erika Mustermann", "a", "x", "yes") for n in range(160)])
    refusal = world.refused(world.prepare())
    assert refusal.code == "config.bad-data"
    assert "data.csv" not in str(refusal)
    assert b"Erika" not in b"".join(verify_log(world.home.log, world.key.verifier).leaves)


def test_small_counts_stay_at_home(world: World) -> None:
    for number in range(3):
        world.ledger.withdraw(world.ref(f"person-{number:04}"), "joint_modelling", world.now)
    rows = world.ask(world.prepare()).prepared.training
    assert dict(rows.excluded_by_rule) == {"P01": 20}
    assert rows.considered == 0
    [entry] = [entry for entry in world.entries() if entry.type == "round.admitted"]
    assert entry.counts is not None
    assert dict(entry.counts.by_rule) == {"P01": 20, "P10": 3}


def test_a_refused_bundle_is_logged(world: World) -> None:
    world.node.bundle_refused(ProtocolError("protocol.code-in-bundle", "Erika"))
    last = world.entries()[-1]
    assert (last.type, last.decision, last.reasons) == (
        "bundle.refused",
        "deny",
        ("protocol.code-in-bundle",),
    )


def test_one_coordinator_must_be_enrolled(world: World) -> None:
    (world.home.peers / "hub.json").unlink()
    with pytest.raises(ConfigurationError, match="0 coordinators"):
        make_site(world.home, "brand", world.key)


# --- privacy


@pytest.fixture(scope="module")
def private(make_world: Callable[[float], World]) -> World:
    return make_world(3.0)


def test_the_budget_is_planned_paid_and_refused(private: World) -> None:
    """One story, because the budget is one: a run that ends early, one that is cut off, one too many."""
    reply = private.ask(private.prepare())
    planned = reply.prepared.planned_epsilon
    assert 2.0 < planned <= 3.0
    assert reply.prepared.noise_std > 0
    assert any(count != int(count) for count in reply.prepared.cell_counts)
    trained = private.ask(train(private)).trained
    assert 0 < trained.epsilon < planned
    assert trained.histogram.noise_std > 0
    entry = private.entries()[-1]
    assert entry.privacy is not None
    assert entry.privacy.epsilon == pytest.approx(trained.epsilon)
    assert private.ask(train(private, 2)).WhichOneof("outcome") == "trained"
    evaluate = pb.Evaluate(**model(private))
    assert private.ask(private.command(evaluate=evaluate)).WhichOneof("outcome") == "evaluated"
    # The same is told again as it was, at no further cost; one release more than was planned is none.
    spent = private.entries()[-1].privacy
    assert spent is not None
    again = private.ask(private.command(evaluate=evaluate))
    assert again.evaluated.epsilon == spent.epsilon
    other = pb.Evaluate(**model(private, private.signed.agreement.columns))
    other.state = np.full(len(other.state) // 4, 0.5, "<f4").tobytes()
    assert private.refused(private.command(evaluate=other)).code == "protocol.unexpected-step"
    private.ask(private.command(finish=pb.Finish(model="test@1", manifest_digest="ab" * 32)))

    # The first run has spent the budget: there is no second, with noise or without.
    assert private.refused(private.prepare(run="run-2")).code == "privacy.exhausted"
    step = pb.Train(round=1, **model(private))
    assert private.refused(private.command(run="run-2", train=step)).code == "protocol.unexpected-step"

    # A node that starts again knows of no session, and the ledger still knows what was spent.
    private.node = private.make_node()
    assert private.refused(private.prepare(run="run-3")).code == "privacy.exhausted"


def test_nothing_is_released_of_a_run_that_was_not_planned(private: World) -> None:
    """Where the agreement has a budget, no plan is no reason to leave the noise out."""
    tools = private.node._tools
    kept = Kept(run="run-9", note="", policy="0" * 64)
    session = Session("run-9", private.signed, private.step().policy, "brand", tools, kept)
    admitted = private.gate().open(private.step(1))
    transform = transform_of(private.signed.agreement.columns)
    weights = np.zeros(transform.n_features + 1, dtype=np.float32)
    predictor = Predictor(private.signed.agreement.training, transform.n_features, weights)
    for release in (
        lambda: session.count(admitted.training),
        lambda: session.train(1, weights, transform, admitted.training),
        lambda: session.histogram(predictor, transform, admitted.holdout),
    ):
        with pytest.raises(PrivacyError) as caught:
            release()
        assert caught.value.code == "privacy.run-state"


def test_a_run_that_was_cut_off_does_not_lock_the_budget(make_world: Callable[[float], World]) -> None:
    world = make_world(3.0)
    text = world.home.settings.read_text()
    world.home.settings.write_text(text.replace('label_column = "bought"', 'label_column = "secret"'))
    world.node = world.make_node()
    assert world.refused(world.prepare()).rule == "P13"
    world.home.settings.write_text(text)
    world.node = world.make_node()
    assert world.ask(world.prepare(run="run-2")).WhichOneof("outcome") == "prepared"
    ended = [entry for entry in world.entries() if entry.type == "run.failed"]
    assert [(entry.run, entry.reasons) for entry in ended] == [("run-1", ("run.interrupted",))]


def ends(world: World) -> list[tuple[str | None, tuple[str, ...]]]:
    """Runs that failed by the member's log, and why."""
    return [(entry.run, entry.reasons) for entry in world.entries() if entry.type == "run.failed"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_without_a_budget_that_was_abandoned_ends_when_another_begins(
    world: World, *, restarted: bool
) -> None:
    world.ask(world.prepare())
    if restarted:
        world.node = world.make_node()
    assert ends(world) == [], "nobody knows yet that it is over"
    assert world.ask(world.prepare(run="run-2")).WhichOneof("outcome") == "prepared"
    assert ends(world) == [("run-1", ("run.interrupted",))]
    found = check_member(world.entries(), "brand")
    assert {finding.kind for finding in found} & {"run-unended", "run-after-end"} == set()
    world.ask(world.prepare(run="run-3"))
    assert [run for run, _ in ends(world)] == ["run-1", "run-2"]


def test_a_run_that_ended_or_was_refused_before_it_began_is_not_ended_again(prepared: World) -> None:
    prepared.ask(prepared.command(finish=pb.Finish(error_code="run.cancelled")))
    assert ends(prepared) == [("run-1", ("run.cancelled",))]
    altered = prepared.prepare(run="run-2")
    altered.prepare.agreement = altered.prepare.agreement.replace(b"AG", b"SE")
    prepared.refused(altered)
    prepared.ask(prepared.prepare(run="run-3"))
    assert ends(prepared) == [("run-1", ("run.cancelled",))]
