"""Twelve collaborations that must not happen: each is refused by its rule, and told so that a person can act.

What a person is told is compared with a file per language; ``HANSE_SNAPSHOTS=write`` writes them anew.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hanse.crypto import SigningKey
from hanse.errors import PolicyError
from hanse.policies import (
    Agreement,
    ConsentEvent,
    ConsentLedger,
    Job,
    Policy,
    check_agreement,
    explain,
    open_agreement,
    screen,
    sign_agreement,
)
from hanse.policies.check import Gap

SNAPSHOTS = Path(__file__).parent / "refusals"
REF = "0" * 32
SENSITIVE: dict[str, Any] = {
    "columns.0.classification": "sensitive",
    "columns.0.special": "financial_account",
    "columns.0.necessity": "The balance decides which policy fits",
    "assessment.classifications": ["basic", "behavioural", "sensitive"],
}
CLASSES = ("basic", "behavioural", "sensitive")


@dataclass(frozen=True)
class Scenario:
    """What is wrong: something in the agreement, in what the subject granted, or both."""

    rule: str
    agreement: dict[str, Any] = field(default_factory=dict)
    grant: dict[str, Any] | None = None


SCENARIOS = {
    "pre-ticked": Scenario("P02", grant={"preticked": True}),
    "bundled": Scenario("P03", grant={"bundled": True}),
    "purpose widened": Scenario("P04", {"purpose": "joint_modelling"}, {}),
    "unnamed recipient": Scenario("P06", grant={"recipients": ("Somebody Else Ltd",)}),
    "sensitive column without separate consent": Scenario("P07", SENSITIVE, {"categories": CLASSES}),
    "minor": Scenario("P08", {"may_contain_minors": True}, {"age_at_least": 10}),
    "border without mechanism": Scenario("P21", {"members.1.jurisdiction": "CN"}),
    "assessment expired": Scenario("P19", {"assessment.expires_at": "2026-02-28T00:00:00Z"}),
    "retention shorter than the run": Scenario(
        "P12", {"training.rounds": 1441, "retention.intermediates_days": 1}
    ),
    "cohort under the minimum": Scenario("P15", {"cohort.minimum_rows": 12}),
    "one person in two roles": Scenario("P31", {"auditor": "Petra Proposer"}),
}


def refusals(
    scenario: Scenario,
    changed: Callable[..., Agreement],
    grant: Callable[..., ConsentEvent],
    policy: Policy,
    now: datetime,
    folder: Path,
) -> Iterable[Gap]:
    """What stands against a scenario: the gaps of the agreement, or what leaves the subject out."""
    agreement = changed(scenario.agreement)
    if scenario.grant is None:
        return check_agreement(agreement, policy, now)
    assert check_agreement(agreement, policy, now) == ()
    with ConsentLedger(folder / "consent.db") as ledger:
        ledger.record([grant(**scenario.grant)])
        ledger.heartbeat(now)
        job = Job(agreement, policy, agreement.purpose, now, "brand", ledger.head())
        admission = screen(job, [REF], ledger.snapshot(now))
    assert admission.rows == ()
    return [explain(rule, policy, f"{n} of 1 person") for rule, n in admission.excluded_by_rule.items()]


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_is_refused_by_its_rule_alone(
    name: str,
    changed: Callable[..., Agreement],
    grant: Callable[..., ConsentEvent],
    policy: Policy,
    now: datetime,
    tmp_path: Path,
) -> None:
    gaps = list(refusals(SCENARIOS[name], changed, grant, policy, now, tmp_path))
    assert [gap.rule for gap in gaps] == [SCENARIOS[name].rule]
    assert all(gap.articles for gap in gaps)
    for language in ("en", "zh"):
        compare(language, name, gaps)


def test_what_is_refused_would_run_without_its_fault(
    changed: Callable[..., Agreement],
    grant: Callable[..., ConsentEvent],
    policy: Policy,
    now: datetime,
    tmp_path: Path,
) -> None:
    agreement = changed({})
    assert check_agreement(agreement, policy, now) == ()
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        ledger.record([grant()])
        ledger.heartbeat(now)
        job = Job(agreement, policy, agreement.purpose, now, "brand", ledger.head())
        assert screen(job, [REF], ledger.snapshot(now)).rows == (0,)


def test_an_agreement_altered_after_signing(
    signable: Agreement, approver_keys: tuple[SigningKey, SigningKey], policy: Policy
) -> None:
    note = sign_agreement(sign_agreement(signable, approver_keys[0]), approver_keys[1])
    open_agreement(note)
    with pytest.raises(PolicyError) as refusal:
        open_agreement(note.replace(b'"epsilon":3.0', b'"epsilon":9.0'))
    assert (refusal.value.code, refusal.value.rule) == ("policy.invalid", "P20")
    gap = explain(str(refusal.value.rule), policy, refusal.value.code)
    for language in ("en", "zh"):
        compare(language, "altered after signing", [gap])


def compare(language: str, name: str, gaps: Iterable[Gap]) -> None:
    """Compares what a person is told with the file of the language."""
    text = "".join(
        f"{gap.rule} ({', '.join(gap.articles)}) {gap.where}\n"
        + "".join(f"  {line}\n" for line in (*gap.unmet, told(gap, language)))
        for gap in gaps
    )
    path = SNAPSHOTS / f"{name.replace(' ', '-')}.{language}.txt"
    if os.environ.get("HANSE_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def told(gap: Gap, language: str) -> str:
    return f"{getattr(gap.message, language)} {getattr(gap.remedy, language)}"
