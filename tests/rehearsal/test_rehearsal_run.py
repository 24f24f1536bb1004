"""A whole rehearsal: in one process, and once with the real processes."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import open_federation

from hanse.client.remote import RunEvent
from hanse.crypto import sha256_hex
from hanse.demo.kinds import KINDS
from hanse.demo.rehearsal import Rehearsing, examine, prepare, rehearse
from hanse.demo.rehearsed import Rehearsal
from hanse.errors import PolicyError
from hanse.policies import Agreement
from hanse.policies.packs import BUILTIN

PACKS = list(BUILTIN.values())


def prepared(agreement: Agreement, folder: Path) -> Rehearsing:
    folder.mkdir()
    return prepare(agreement, PACKS, folder, datetime.now(UTC), np.random.default_rng(3))


def conduct(going: Rehearsing) -> None:
    """The rounds, with nodes in this process."""
    federation = open_federation(going.federation, going.signed.note)
    rounds, record = federation.rounds(federation.transport())
    keep = record.record

    def watch(event: Any, facts: Any) -> int:
        index = keep(event, facts)
        going.on_event(RunEvent(record.run, "", event.type.value, event.round or 0, dict(facts)))
        return index

    record.record = watch  # type: ignore[method-assign]
    rounds.conduct()


@pytest.fixture(name="rehearsed", scope="module")
def _rehearsed(rehearsable: Callable[..., Agreement], tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    agreement = rehearsable(datetime.now(UTC), required=False, may_contain_minors=True, rounds=2)
    going = prepared(agreement, tmp_path_factory.mktemp("rehearsal") / "sites")
    conduct(going)
    return examine(going)


def test_every_rule_finds_what_was_planted(rehearsed: Rehearsal) -> None:
    assert rehearsed.problems == ()
    assert {rule.rule for rule in rehearsed.rules} == {
        *("P01", "P02", "P03", "P04", "P05", "P06", "P08", "P10", "P21")
    }
    assert all(rule.found == rule.planted > 0 for rule in rehearsed.rules)


def test_every_admitted_subject_was_planted_to_be(rehearsed: Rehearsal) -> None:
    for member in rehearsed.members:
        assert member.considered == rehearsed.rows_per_member == 2000
        assert member.admitted == member.planted > 1000


def test_hidden_values_are_those_that_were_planted(rehearsed: Rehearsal) -> None:
    assert {item.column for item in rehearsed.hidden} == {"km per year", "balance"}
    assert all(item.found == item.planted > 0 for item in rehearsed.hidden)


def test_a_withdrawal_during_the_run_is_out_in_the_next_round(rehearsed: Rehearsal) -> None:
    assert rehearsed.withdrawal is not None
    assert rehearsed.withdrawal.effective
    assert (rehearsed.rounds_planned, rehearsed.rounds_done) == (2, 2)


def test_the_report_has_one_digest_and_says_the_same_in_every_form(rehearsed: Rehearsal) -> None:
    assert rehearsed.digest == sha256_hex(rehearsed.canonical())
    assert Rehearsal.model_validate(json.loads(rehearsed.canonical())) == rehearsed
    for text in (rehearsed.to_markdown(), rehearsed.to_html()):
        assert rehearsed.digest in text
        assert all(kind.words in text for kind in KINDS.values())
        assert "Every rule found what was planted" in text
    assert "<script" not in rehearsed.to_html()


def test_a_rule_that_misses_somebody_is_a_problem(rehearsed: Rehearsal) -> None:
    first, *others = rehearsed.rules
    missed = first.model_copy(update={"found": first.found - 1})
    problems = rehearsed.model_copy(update={"rules": (missed, *others)}).problems
    assert problems == (
        f"{first.member}: rule {first.rule} found {first.planted - 1} subjects, {first.planted} were planted",
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"software": {"version": "0", "digest": "0" * 64}}, "policy.software"),
        ({"border": {"mechanism": "none", "reference": None, "other_places": ["US"]}}, "policy.denied"),
        ({"packs": [{"id": "own", "version": 1, "digest": "0" * 64}]}, "policy.pack"),
    ],
    ids=["software", "gap", "unknown-pack"],
)
def test_what_the_nodes_would_refuse_is_not_rehearsed(
    change: dict[str, Any], code: str, rehearsable: Callable[..., Agreement], tmp_path: Path
) -> None:
    terms = rehearsable(datetime.now(UTC)).model_dump(mode="json") | change
    with pytest.raises(PolicyError) as caught:
        prepared(Agreement.model_validate_json(json.dumps(terms)), tmp_path / "sites")
    assert caught.value.code == code
    assert list((tmp_path / "sites").iterdir()) == []


def test_too_few_subjects_for_the_cohort_are_refused(
    rehearsable: Callable[..., Agreement], tmp_path: Path
) -> None:
    with pytest.raises(PolicyError) as caught:
        prepare(
            rehearsable(datetime.now(UTC)), PACKS, tmp_path, datetime.now(UTC), np.random.default_rng(1), 50
        )
    assert caught.value.code == "policy.cohort"


@pytest.mark.slow
def test_a_rehearsal_with_the_real_processes(rehearsable: Callable[..., Agreement], tmp_path: Path) -> None:
    said: list[str] = []
    report = rehearse(rehearsable(datetime.now(UTC), rounds=3), PACKS, tmp_path, say=said.append)
    assert report.problems == ()
    assert said
    calls: Sequence[tuple[str, bool]] = [(call.purpose, call.allowed) for call in report.calls]
    assert calls == [("scoring.marketing", True), ("scoring.marketing", False), ("scoring.pricing", False)]
    assert report.calls[0].scored == report.calls[0].subjects - 2
