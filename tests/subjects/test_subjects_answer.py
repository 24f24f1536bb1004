"""A subject asks, at a member whose runs are over; what is shown, and what a member cannot pretend."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import utc_now
from tests.subjects.conftest import PURPOSE

from hanse.audit import Entry
from hanse.audit.subject_set import parse_proof
from hanse.client.receipt_files import ReceiptFile
from hanse.client.subject_answer import Answer, answer
from hanse.client.subject_bundle import Bundle, format_bundle, parse_bundle
from hanse.client.subject_proofs import Proved, prove
from hanse.crypto import SigningKey, VerifierKey
from hanse.errors import AuditError, HanseError, IdentityError, PolicyError, ProtocolError
from hanse.policies import ConsentLedger
from hanse.policies.receipts import make_receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.subjects.conftest import Asking

USED, NOT, UNKNOWN = "used", "not used", "cannot tell"


def asked(asking: Asking, name: str, *, own_secret: bool = True) -> Proved:
    receipt = asking.receipts[name]
    return prove(asking.home, receipt if own_secret else receipt._replace(secret=None), None, utc_now())


def check(asking: Asking, name: str, bundle: Bundle | bytes) -> Answer:
    """As the subject does: with nothing of the member but its key."""
    receipt = asking.receipts[name]
    assert receipt.secret is not None
    read = parse_bundle(bundle) if isinstance(bundle, bytes) else bundle
    return answer(read, receipt.note, receipt.secret, [VerifierKey.decode(asking.key)])


def verdicts(shown: Answer) -> list[dict[str, str]]:
    return [{step.name: step.verdict for step in run.steps} for run in shown.runs]


def test_who_stayed_who_left_and_who_never_was(conducted: Asking) -> None:
    everything = {"preparation": USED, "round 1": USED, "round 2": USED, "evaluation": USED}
    nothing = dict.fromkeys(everything, NOT)
    expected = {
        "stayed": ([everything, everything], [USED, USED]),
        "left": ([everything | {"round 2": NOT, "evaluation": NOT}, nothing], [USED, NOT]),
        "never": ([nothing, nothing], [NOT, NOT]),
    }
    for name, (steps, runs) in expected.items():
        proved = asked(conducted, name)
        shown = check(conducted, name, proved.bundle)
        assert shown == proved.answer
        assert verdicts(shown) == steps
        assert [run.verdict for run in shown.runs] == runs
        assert [run.run for run in shown.runs] == list(conducted.runs)
        assert [run.ended for run in shown.runs] == ["finished", "finished"]
        models = [run.model for run in shown.runs]
        assert [model.reference for model in models if model] == ["propensity@1", "propensity@2"]
        assert shown.warnings == ()
        assert asked(conducted, name, own_secret=False).answer == shown  # the ledger has the same secret
        secret = conducted.receipts[name].secret
        assert secret is not None
        for hidden in (
            secret.hex(),
            base64.b64encode(secret).decode(),
            conducted.ref(conducted.receipts[name]),
        ):
            assert hidden.encode() not in proved.bundle
    first, _ = check(conducted, "left", asked(conducted, "left").bundle).runs
    assert [step.epoch for step in first.steps] == [1, 1, 2, 2]
    sizes = [step.size or 0 for step in first.steps]
    assert sizes == [sizes[0], sizes[0], sizes[0] - 1, sizes[0] - 1]


def test_another_persons_secret_or_receipt_does_not_open_the_answer(conducted: Asking) -> None:
    bundle = parse_bundle(asked(conducted, "stayed").bundle)
    stayed, left = conducted.receipts["stayed"], conducted.receipts["left"]
    assert stayed.secret is not None
    assert left.secret is not None
    keys = [VerifierKey.decode(conducted.key)]
    for note, secret in ((stayed.note, left.secret), (left.note, stayed.secret), (stayed.note, bytes(32))):
        with pytest.raises(PolicyError, match="not the one"):
            answer(bundle, note, secret, keys)
    # With their own, another person is told about themselves, or the proofs do not hold.
    with pytest.raises(AuditError) as caught:
        answer(bundle, left.note, left.secret, keys)
    assert caught.value.code == "audit.subject-proof"
    with pytest.raises(PolicyError):
        answer(bundle, stayed.note, stayed.secret, [SigningKey.generate("other").verifier])


def changed(bundle: Bundle, **fields: Any) -> Bundle:
    return Bundle.model_validate({**dict(bundle), **fields})


def test_what_is_left_out_is_missed(conducted: Asking) -> None:
    bundle = parse_bundle(asked(conducted, "left").bundle)

    def without(unwanted: Callable[[Entry], bool]) -> Answer:
        kept = [own for own in bundle.entries if not unwanted(Entry.parse(own.entry.encode()))]
        assert len(kept) < len(bundle.entries)
        return check(conducted, "left", changed(bundle, entries=tuple(kept)))

    second = conducted.runs[1]
    gaps = {
        "round 1": lambda e: (e.type, e.run, e.round) == ("round.admitted", second, 1),
        "round 2": lambda e: (e.type, e.run, e.round) == ("round.admitted", second, 2),
        "preparation": lambda e: (
            (e.type, e.run, e.subject_epoch) == ("round.admitted", second, 1) and not e.round
        ),
    }
    for name, unwanted in gaps.items():
        shown = without(unwanted).runs[1]
        assert shown.verdict == UNKNOWN
        assert UNKNOWN in [step.verdict for step in shown.steps if step.name in (name, "evaluation")]
    ended = without(lambda e: e.type == "run.finished")
    assert [run.model for run in ended.runs] == [None, None]
    none = check(conducted, "left", changed(bundle, sets=()))
    assert {run.verdict for run in none.runs} == {UNKNOWN}
    unnamed = check(conducted, "left", changed(bundle, manifests=()))
    assert [run.model.reference for run in unnamed.runs if run.model] == [None, None]


def test_what_is_changed_is_refused(conducted: Asking) -> None:
    bundle = parse_bundle(asked(conducted, "left").bundle)
    entries, sets = list(bundle.entries), list(bundle.sets)
    first = entries[0]
    proofs = [own.proof for own in sets]
    assert all(proofs)
    moved = [sets[0].model_copy(update={"proof": proofs[1]}), *sets[1:]]
    reworded = first.model_copy(update={"entry": first.entry.replace("round.admitted", "round.denied")})
    for fields in (
        {"entries": (reworded, *entries[1:])},
        {"entries": (first.model_copy(update={"index": first.index + 1}), *entries[1:])},
        {"entries": (first, first, *entries[1:])},
        {"entries": tuple(entries[::-1])},
        {"entries": (first.model_copy(update={"path": first.path[1:]}), *entries[1:])},
        {"sets": tuple(moved)},
    ):
        with pytest.raises(AuditError):
            check(conducted, "left", changed(bundle, **fields))
    note = bundle.checkpoint.replace("\n", "\n", 1)
    other = SigningKey.generate(VerifierKey.decode(conducted.key).name)
    assert note == bundle.checkpoint
    receipt = conducted.receipts["left"]
    assert receipt.secret is not None
    with pytest.raises((IdentityError, PolicyError)):
        answer(bundle, receipt.note, receipt.secret, [other.verifier])


def test_a_bundle_says_the_same_in_one_form_only(conducted: Asking) -> None:
    data = asked(conducted, "left").bundle
    assert format_bundle(parse_bundle(data)) == data
    document = json.loads(data)
    for field, value in (("format", "v2"), ("extra", 1), ("made_at", "today"), ("checkpoint", 7)):
        with pytest.raises(ProtocolError):
            parse_bundle(json.dumps(document | {field: value}).encode())
    for own in document["sets"]:
        parse_proof(base64.b64decode(own["proof"]))


@given(st.binary(max_size=300))
def test_reading_a_bundle_is_total(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_bundle(data)


def test_any_changed_byte_is_refused_or_changes_nothing_that_is_shown(conducted: Asking) -> None:
    data = asked(conducted, "left").bundle
    right = check(conducted, "left", data)
    verdict = [(run.run, run.verdict) for run in right.runs]
    step = max(1, len(data) // 150)
    for place in range(0, len(data), step):
        forged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            shown = check(conducted, "left", forged)
        except HanseError:
            continue
        # What is under no signature or proof: the time, the reasons, and which proofs and names are there.
        for run, (name, said) in zip(shown.runs, verdict, strict=True):
            assert run.run == name
            assert run.verdict in (said, UNKNOWN)


def test_a_forgotten_secret_answers_for_its_time_if_the_subject_kept_it(asking: Asking) -> None:
    receipt = asking.receipts["left"]
    with ConsentLedger(asking.home.consent) as ledger:
        with pytest.raises(PolicyError, match=r"scoring\.marketing"):
            ledger.forget(asking.ref(receipt), utc_now())
        for purpose in ("scoring", "sensitive_data"):
            ledger.withdraw(asking.ref(receipt), purpose, utc_now())
        assert ledger.forget(asking.ref(receipt), utc_now())
    with pytest.raises(PolicyError, match="--secret"):
        asked(asking, "left", own_secret=False)
    assert verdicts(asked(asking, "left").answer)[0]["round 1"] == USED
    assert [run.verdict for run in asked(asking, "left").answer.runs] == [USED, NOT]
    # A secret made since says nothing about the runs before.
    with ConsentLedger(asking.home.consent) as ledger:
        [new] = ledger.secrets_of([asking.ref(receipt)], utc_now())
        assert new != receipt.secret
    key = SigningKey.load(asking.home.node_key)

    with ConsentLedger(asking.home.consent) as ledger:
        again = ReceiptFile(*make_receipt(ledger, asking.ref(receipt), PURPOSE, key, utc_now()))
    shown = prove(asking.home, again, None, utc_now()).answer
    assert {run.verdict for run in shown.runs} == {UNKNOWN}
    assert {step.reason for run in shown.runs for step in run.steps} == {
        "another secret of yours may have counted then"
    }


def test_sets_that_are_gone_or_damaged_are_told(asking: Asking) -> None:
    paths = sorted(asking.home.subject_sets.iterdir())
    assert len(paths) == 3
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-32])
    shown = asked(asking, "stayed").answer
    reasons = {step.reason for run in shown.runs for step in run.steps if step.verdict == UNKNOWN}
    assert reasons == {
        "the set was deleted when its time was over",
        "the member's file of the set is damaged",
    }
    [warning] = shown.warnings
    assert "no entry says that it was deleted" in warning
