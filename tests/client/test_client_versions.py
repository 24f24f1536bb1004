"""Which version of an agreement a node runs: the accepted one, its successor, and nothing that has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hanse.api.v1 import round_pb2 as pb
from hanse.client.drafting import known_identities
from hanse.client.home import MemberHome
from hanse.client.versions import AgreementBook
from hanse.crypto import SigningKey
from hanse.errors import HanseError
from hanse.learning import Transform, weights_to_bytes
from hanse.policies import Agreement, open_agreement, sign_agreement
from hanse.policies.agreement.amendment import amend
from hanse.policies.agreement.termination import terminate

if TYPE_CHECKING:
    from tests.client.conftest import World

    from hanse.policies import SignedAgreement


def book(world: World) -> AgreementBook:
    return AgreementBook(world.home, {identity.name: identity for identity in known_identities(world.home)})


def signed(world: World, agreement: Agreement) -> SignedAgreement:
    note: Agreement | bytes = agreement
    for member in agreement.members:
        note = sign_agreement(note, SigningKey.load(MemberHome(world.folder / member.name).approver_key))
    assert isinstance(note, bytes)
    return open_agreement(note)


def next_version(world: World, **changes: Any) -> SignedAgreement:
    return signed(world, amend(world.signed.agreement).model_copy(update=changes))


def prepare(world: World, agreement: SignedAgreement, run: str) -> pb.Command:
    prepared = pb.Prepare(agreement=agreement.note)
    return world.command(run=run, agreement_digest=agreement.digest, prepare=prepared)


def train(world: World, **fields: Any) -> pb.Command:
    transform = Transform.fit(world.signed.agreement.columns, None, 0)
    weights = weights_to_bytes(np.zeros(transform.n_features + 1, dtype=np.float32))
    step = pb.Train(round=1, state=weights, transform=transform.to_json())
    return world.command(train=step, **fields)


def end(world: World, member: str = "insurer", **changes: Any) -> bytes:
    agreement = world.signed.agreement.model_copy(update=changes)
    key = SigningKey.load(MemberHome(world.folder / member).approver_key)
    return terminate(agreement, member, "Over", world.now).sign(key)


def test_a_run_accepts_its_version(world: World) -> None:
    assert book(world).accepted("test") is None
    world.ask(world.prepare())
    accepted = book(world).accepted("test")
    assert accepted is not None
    assert (accepted.version, accepted.digest) == (1, world.signed.digest)


@pytest.mark.parametrize("identifier", ["lock", "accepted.lock", "test"])
def test_no_name_of_an_agreement_is_taken(world: World, identifier: str) -> None:
    agreement = world.signed.agreement.model_copy(update={"id": identifier})
    for _ in range(2):
        book(world).accept(agreement)
    accepted = book(world).accepted(identifier)
    assert accepted is not None
    assert (accepted.id, accepted.digest) == (identifier, agreement.digest)


def test_a_refused_run_accepts_nothing(world: World) -> None:
    expired = next_version(world, valid_until=world.now - timedelta(seconds=1))
    assert world.refused(prepare(world, expired, "run-1")).rule == "P20"
    assert book(world).accepted("test") is None


def test_the_next_version_runs_and_the_one_before_no_longer_does(world: World) -> None:
    world.ask(world.prepare())
    second = next_version(world)
    assert world.ask(prepare(world, second, "run-2")).WhichOneof("outcome") == "prepared"
    refused = world.refused(prepare(world, world.signed, "run-3"))
    assert (refused.code, refused.rule) == ("policy.denied", "P31")
    assert world.ask(prepare(world, second, "run-4")).WhichOneof("outcome") == "prepared"


def test_what_does_not_follow_the_accepted_version(world: World) -> None:
    world.ask(world.prepare())
    other = signed(world, world.signed.agreement.model_copy(update={"title": "Another text"}))
    assert world.refused(prepare(world, other, "run-2")).rule == "P31"
    stray = next_version(world, supersedes="ab" * 32)
    assert world.refused(prepare(world, stray, "run-3")).rule == "P20"
    assert world.ask(prepare(world, world.signed, "run-4")).WhichOneof("outcome") == "prepared"


def test_an_amendment_that_is_accepted_meanwhile_does_not_change_a_running_run(world: World) -> None:
    world.ask(world.prepare())
    stricter = next_version(
        world, cohort=world.signed.agreement.cohort.model_copy(update={"minimum_rows": 100_000})
    )
    book(world).accept(stricter.agreement)
    # The command that is sent next is answered under the version that the run began with.
    trained = world.ask(train(world)).trained
    assert trained.training.rows > 0
    entry = world.entries()[-1]
    assert (entry.type, entry.agreement) == ("round.trained", world.signed.digest)
    # A command cannot move the run to the other version either.
    assert world.refused(train(world, agreement_digest=stricter.digest)).code == "protocol.unexpected-step"
    # From the next run on the amendment counts.
    assert world.refused(prepare(world, world.signed, "run-2")).rule == "P31"


def test_an_agreement_that_a_member_ended_does_not_run(world: World) -> None:
    book(world).keep_termination(end(world))
    assert world.refused(world.prepare()).rule == "P20"
    assert world.refused(prepare(world, next_version(world), "run-2")).rule == "P20"


def test_a_running_run_stops_when_its_agreement_ends(world: World) -> None:
    world.ask(world.prepare())
    book(world).keep_termination(end(world))
    assert world.refused(train(world)).rule == "P20"


def test_the_end_of_another_agreement_is_nothing_to_this_one(world: World) -> None:
    book(world).keep_termination(end(world, id="another"))
    assert world.ask(world.prepare()).WhichOneof("outcome") == "prepared"


def test_a_second_note_does_not_move_the_first(world: World) -> None:
    kept = book(world)
    kept.keep_termination(end(world))
    world.now += timedelta(days=1)
    kept.keep_termination(end(world))
    [note] = kept.terminations()
    assert note.terminated_at < world.now - timedelta(hours=23)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"id":"other"}'], ids=str)
def test_a_broken_record_lets_nothing_run(world: World, content: bytes) -> None:
    world.home.accepted.mkdir(parents=True)
    (world.home.accepted / "test").write_bytes(content)
    assert world.refused(world.prepare()).code == "policy.invalid"


def test_a_record_of_another_agreement_lets_nothing_run(world: World) -> None:
    book(world).accept(world.signed.agreement)
    record = world.home.accepted / "test"
    record.write_bytes(record.read_bytes().replace(b'"test"', b'"best"'))
    assert world.refused(world.prepare()).code == "policy.invalid"


def test_a_broken_note_lets_nothing_run(world: World) -> None:
    world.home.terminations.mkdir(parents=True)
    (world.home.terminations / "x.note").write_bytes(end(world)[:-3])
    assert world.refused(world.prepare()).code in ("policy.invalid", "identity.bad-signature")


def test_a_note_of_a_stranger_is_not_kept(world: World) -> None:
    note = terminate(world.signed.agreement, "insurer", "Over", world.now).sign(
        SigningKey.generate("stranger")
    )
    with pytest.raises(HanseError):
        book(world).keep_termination(note)
    assert book(world).terminations() == ()
