"""Every kind of made-up subject is left out by the one rule that it names: decided by the pure rules."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from hanse.demo.kinds import KINDS, Cells, Situation, given_between, possible_kinds
from hanse.demo.synthetic import situation_of
from hanse.policies import Agreement, ConsentEvent, ConsentSnapshot, builtin_pack, merge
from hanse.policies.admission import prepare_training
from hanse.policies.consent import Folding, Standing, current_foldings, current_state
from hanse.policies.facts import Job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = "ab" * 16
POLICY = merge([builtin_pack("pipl"), builtin_pack("gdpr")])
LISTS = {"purposes", "recipients", "categories", "hidden_columns", "hidden_categories"}
FLAGS = {"preticked", "bundled", "conditional"}


def event(number: int, cells: Cells) -> ConsentEvent:
    values: dict[str, object] = {name: cell for name, cell in cells.items() if cell}
    values |= {name: cells[name].split("|") for name in LISTS & set(values)}
    values |= {name: cells[name] == "true" for name in FLAGS & set(values)}
    values |= {"age_at_least": int(cells["age_at_least"])} if "age_at_least" in values else {}
    return ConsentEvent.model_validate(
        {"event_id": f"e{number}", "subject_ref": REF, "recorded_at": NOW, **values}
    )


def snapshot_of(cells: Iterable[Cells]) -> ConsentSnapshot:
    events = [event(number, row) for number, row in enumerate(cells)]
    standings: dict[str, dict[str, Standing]] = {}
    foldings: dict[str, dict[str, Folding]] = {}
    for (ref, purpose), standing in current_state(events).items():
        standings.setdefault(purpose, {})[ref] = standing
    for (ref, purpose), folding in current_foldings(events).items():
        foldings.setdefault(purpose, {})[ref] = folding
    return ConsentSnapshot(
        len(events),
        "0" * 64,
        NOW,
        standings,
        synced_at=NOW,
        foldings=foldings,
    )


def variants() -> dict[str, dict[str, object]]:
    """Agreements that between them make every kind possible."""
    return {
        "plain": {},
        "minors": {"may_contain_minors": True},
        "provider": {"role": "provider"},
        "borders": {"storage_country": "FR"},
        "optional": {"required": False},
    }


@pytest.mark.parametrize("variant", list(variants()), ids=str)
@pytest.mark.parametrize("when", [0.0, 0.5, 1.0], ids=["earliest", "middle", "latest"])
def test_every_kind_is_decided_by_its_rule(
    variant: str, when: float, rehearsable: Callable[..., Agreement]
) -> None:
    agreement = rehearsable(NOW, **variants()[variant])
    situation = situation_of(agreement, POLICY, agreement.members[0], NOW)
    earliest, latest = given_between(situation)
    decided = {}
    for kind in possible_kinds(situation):
        snapshot = snapshot_of(KINDS[kind].events(situation, earliest + when * (latest - earliest)))
        job = Job(agreement, POLICY, agreement.purpose, NOW, agreement.members[0].name, snapshot.head)
        decided[kind] = prepare_training(job, snapshot).decide(snapshot, REF)
    assert {kind: ruling.rule for kind, ruling in decided.items()} == {k: KINDS[k].rule for k in decided}
    if situation.optional:
        assert decided["hides-optional"].hidden == {situation.optional[0]}


def test_every_kind_is_possible_under_some_agreement(rehearsable: Callable[..., Agreement]) -> None:
    seen: set[str] = set()
    for changes in variants().values():
        agreement = rehearsable(NOW, **changes)
        seen |= set(possible_kinds(situation_of(agreement, POLICY, agreement.members[0], NOW)))
    assert set(KINDS) - seen == {"no-public-place"}


def test_a_rule_that_does_not_apply_has_no_kind(rehearsable: Callable[..., Agreement]) -> None:
    agreement = rehearsable(NOW)
    situation: Situation = situation_of(agreement, POLICY, agreement.members[0], NOW)
    assert "minor" in possible_kinds(situation)
    assert given_between(situation)[0] <= NOW - timedelta(seconds=60)
