"""Facts that satisfy every rule, by every branch of its formula; each test takes away or changes one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pytest

from hanse.policies.rules import STANDINGS, Level, Rule
from hanse.policies.rules.vocabulary import FACTS

Facts = Mapping[str, Any]

NOW: Final = 1_800_000_000_000
DAY: Final = 86_400_000
GONE: Final = object()
"""A fact that a variation takes away."""

_PURPOSES = {"sharing": "sharing", "sensitive": "sensitive_data", "cross_border": "cross_border"}
_STANDING: Final[Facts] = {
    "state": "given",
    "given": NOW - 10 * DAY,
    "expires": NOW + 10 * DAY,
    "controller": "Brand AG",
    "parties": frozenset({"Brand AG", "Insurer AG", "Printer AG"}),
    "categories": frozenset({"basic", "sensitive"}),
    "notice": "Brand AG|2.1|" + "ab" * 32,
    "notice_major": "Brand AG|2",
    "notice_published": NOW - 20 * DAY,
    "method": "active_click",
    "preticked": False,
    "bundled": False,
    "conditional": False,
    "legal_basis": "consent",
    "places": frozenset({"DE", "CN"}),
    "guardian": False,
    "age_known": True,
    "age_at_least": 18,
}
_BASE: Final[Facts] = {
    **{
        f"{prefix}.{name}": value
        for prefix in STANDINGS
        for name, value in _STANDING.items()
        if f"{prefix}.{name}" in FACTS
    },
    **{f"{prefix}.purposes": frozenset({purpose}) for prefix, purpose in _PURPOSES.items()},
    "subject.known": True,
    "job.purpose": "joint_modelling.propensity",
    "job.now": NOW,
    "job.given_since": NOW - 3650 * DAY,
    "job.organisations": frozenset({"Brand AG", "Insurer AG"}),
    "job.non_providers": frozenset({"Insurer AG"}),
    "job.classifications": frozenset({"basic", "sensitive"}),
    "job.jurisdictions": frozenset({"DE", "CN"}),
    "job.single_jurisdiction": False,
    "job.border_mechanism": True,
    "job.may_contain_minors": True,
    "job.requires_sensitive": True,
    "job.requires_public_place": True,
    "job.notices": frozenset({"Brand AG|2.1|" + "ab" * 32}),
    "job.notice_majors": frozenset({"Brand AG|2"}),
    "job.legal_bases": frozenset({"consent"}),
    "job.snapshot_age_s": 60,
    "job.propagation_age_s": 86_400,
    "job.propagation_limit_s": 86_400,
    "job.opening_head": 7,
    "job.snapshot_head": 7,
    "column.sensitive": True,
    "column.public_place": True,
    "column.required": True,
    "column.hidden": False,
    "column.listed": True,
    "column.declared": True,
    "column.disclosed": True,
    "column.necessity": True,
    "column.special_named": True,
    "column.unused_runs": 4,
    "column.kept_by_decision": False,
    "agreement.purpose": "joint_modelling.propensity",
    "agreement.valid_from": NOW,
    "agreement.valid_until": NOW + 1,
    "agreement.member_names": frozenset({"brand", "insurer"}),
    "agreement.signers": frozenset({"brand", "insurer"}),
    "agreement.members": 2,
    "agreement.has_controller": True,
    "agreement.classifications": frozenset({"basic", "sensitive"}),
    "agreement.sensitive": True,
    "agreement.propagation_hours": 24,
    "agreement.acknowledge_hours": 24,
    "agreement.retrain_days": 30,
    "evidence.quorum": 2,
    "evidence.witnesses": 2,
    "cohort.minimum_rows": 1000,
    "cohort.minimum_members": 2,
    "cohort.suppress_below": 10,
    "vertical.stated": True,
    "vertical.minimum_intersection": 100,
    "vertical.minimum_bin_rows": 10,
    "privacy.stated": True,
    "privacy.epsilon": 3.0,
    "privacy.delta": 1e-5,
    "privacy.delta_limit": 1e-3,
    "training.longest_run_days": 30.0,
    "retention.rows_days": 30,
    "retention.intermediates_days": 30,
    "retention.model_days": 30,
    "scoring.purpose": "scoring.marketing",
    "scoring.permitted": frozenset({"scoring.marketing"}),
    "scoring.callers": frozenset({"crm"}),
    "scoring.output": "score",
    "scoring.decimals": 2,
    "scoring.significant_effect": True,
    "scoring.human_review": True,
    "scoring.reason_codes": True,
    "assessment.approver": "Dora Assessor",
    "assessment.approved_at": NOW,
    "assessment.expires_at": NOW + 1,
    "assessment.age_days": 0.5,
    "assessment.purposes": frozenset({"joint_modelling.propensity", "scoring.marketing"}),
    "assessment.members": frozenset({"brand", "insurer"}),
    "assessment.classifications": frozenset({"basic", "sensitive"}),
    "border.mechanism": "standard_contract",
    "border.reference": "SCC 7",
    "people.named": 4,
    "people.different": 4,
    "member.role": "entrusted",
    "contract.reference": "DPA 3",
    "contract.purposes": frozenset({"joint_modelling.propensity"}),
    "contract.until": NOW + 1,
    "contract.sub_processors": False,
    "contract.at_end": "delete",
    "cohort.subjects": 1000,
    "aggregate.members": 2,
    "admission.records": 1200,
    "update.records": 1200,
    "budget.planned_epsilon": 1.0,
    "budget.remaining_epsilon": 2.0,
    "budget.planned_delta": 1e-6,
    "budget.remaining_delta": 1e-5,
    "budget.complete": True,
    "export.subjects": 999_999,
    "export.sensitive_subjects": 9_999,
    "log.durable": True,
    "log.recorded_at": NOW,
    "log.effect_at": NOW,
    "alignment.size": 100,
    "alignment.runs_today": 10,
    "alignment.first_in_window": True,
    "alignment.set_change": 0,
    "alignment.similar_age_days": 0,
    "call.caller": "crm",
    "call.purpose": "scoring.marketing",
    "call.subjects_today": 500,
    "caller.daily_quota": 500,
    "caller.opt_out_available": True,
    "caller.non_personalised_path": True,
    "withdrawal.members": frozenset({"brand", "insurer"}),
    "withdrawal.acknowledged": frozenset({"brand", "insurer"}),
    "withdrawal.acknowledged_hours": 24,
    "withdrawal.in_model": True,
    "withdrawal.in_model_days": 30,
    "model.withdrawn_share": 0.004,
    "artefact.age_days": 30,
    "artefact.keep_days": 30,
    "artefact.deleted": False,
    "artefact.deletion_logged": False,
    "contract.ended": True,
    "contract.settled": True,
    "records.access_log_days": 184,
    "records.processing_days": 1096,
    "records.assessment_days": 1096,
    "audit.subjects": 10_000_001,
    "audit.officer": "Paula Officer",
    "audit.age_days": 365,
    "audit.minors": True,
    "audit.incident_subjects": 999_999,
    "audit.incident_sensitive_subjects": 99_999,
    "audit.after_incident": False,
    "edit.signers": 2,
    "edit.reason": "A new law",
    "edit.effective_at": NOW,
    "edit.expires_at": NOW + 1,
    "edit.running_until": NOW,
    "policy.active_methods": frozenset({"active_click", "signed", "verbal"}),
    "policy.legal_bases": frozenset({"consent", "contract"}),
    "policy.child_below_years": 16,
    "policy.minimum_cohort_subjects": 1000,
    "policy.suppress_below": 10,
    "policy.minimum_members": 2,
    "policy.maximum_epsilon": 3.0,
    "policy.maximum_assessment_age_days": 365,
    "policy.maximum_snapshot_age_s": 60,
    "policy.maximum_propagation_age_hours": 24,
    "policy.maximum_propagation_age_s": 86_400,
    "policy.acknowledgement_hours": 24,
    "policy.retraining_days": 30,
    "policy.retraining_withdrawn_share": 0.005,
    "policy.alignments_per_day": 10,
    "policy.alignment_window_days": 7,
    "policy.minimum_set_change": 100,
    "policy.scores_per_caller_per_day": 500,
    "policy.score_decimals": 2,
    "policy.unused_column_runs": 5,
    "policy.access_log_days": 184,
    "policy.records_days": 1096,
    "policy.maximum_model_days": 30,
}


def _of_every_standing(**values: object) -> Facts:
    return {f"{prefix}.{name}": value for prefix in STANDINGS for name, value in values.items()}


_NO_SEPARATE_CONSENT: Final[Facts] = {
    name: GONE for name in _BASE if name.startswith(("sharing.", "sensitive.", "cross_border."))
}
_VARIATIONS: Final[Mapping[str, Facts]] = {
    "all at once": {},
    "an assessed grant": {"policy.maximum_assessment_age_days": 1, "assessment.age_days": 1.0},
    "no separate consent needed": {
        **_NO_SEPARATE_CONSENT,
        "job.requires_sensitive": False,
        "job.requires_public_place": False,
        "job.non_providers": frozenset({"Brand AG"}),
        "job.single_jurisdiction": True,
        "job.jurisdictions": frozenset({"DE", "CN"}),
        "job.border_mechanism": False,
        "column.sensitive": False,
        "column.public_place": False,
        "column.necessity": False,
        "column.special_named": False,
        "border.mechanism": "none",
        "border.reference": GONE,
        "export.subjects": GONE,
        "export.sensitive_subjects": GONE,
    },
    "a guardian acted": _of_every_standing(guardian=True, age_at_least=10),
    "no age, no children": {
        **_of_every_standing(age_known=False, age_at_least=GONE),
        "job.may_contain_minors": False,
    },
    "no privacy budget": {
        **{name: GONE for name in _BASE if name.startswith(("privacy.", "budget."))},
        "privacy.stated": False,
        "agreement.sensitive": False,
    },
    "the same columns of different people": {
        **{name: GONE for name in _BASE if name.startswith("vertical.")},
        "vertical.stated": False,
    },
    "not entrusted": {
        **{name: GONE for name in _BASE if name.startswith("contract.")},
        "member.role": "joint",
        "contract.ended": False,
    },
    "an optional column": {"column.required": False, "column.disclosed": False},
    "a column kept by decision": {"column.unused_runs": 5, "column.kept_by_decision": True},
    "few exported": {
        "export.subjects": 99_999,
        "export.sensitive_subjects": 0,
        "border.mechanism": "none",
    },
    "many exported": {
        "export.subjects": 1_000_000,
        "export.sensitive_subjects": 10_000,
        "border.mechanism": "security_assessment",
    },
    "a different set": {"alignment.first_in_window": False, "alignment.set_change": 100},
    "a set of long ago": {"alignment.first_in_window": False, "alignment.similar_age_days": 7},
    "no contact": {
        "call.purpose": "scoring.retention",
        "scoring.permitted": frozenset({"scoring.retention"}),
        "caller.opt_out_available": False,
        "caller.non_personalised_path": False,
    },
    "no significant effect": {
        "scoring.significant_effect": False,
        "scoring.human_review": False,
        "scoring.reason_codes": False,
    },
    "bands": {"scoring.output": "band", "scoring.decimals": GONE},
    "in no model": {
        "withdrawal.in_model": False,
        "withdrawal.in_model_days": GONE,
        "model.withdrawn_share": GONE,
    },
    "deleted in time": {
        "artefact.age_days": 31,
        "artefact.deleted": True,
        "artefact.deletion_logged": True,
    },
    "a small processor": {
        "audit.subjects": 999_999,
        "audit.officer": GONE,
        "audit.age_days": GONE,
        "audit.minors": False,
    },
    "a large processor": {"audit.subjects": 10_000_000, "audit.age_days": GONE, "audit.minors": False},
    "a huge processor": {"audit.age_days": 730, "audit.minors": False},
    "after an incident": {
        "audit.incident_subjects": GONE,
        "audit.incident_sensitive_subjects": GONE,
        "audit.after_incident": True,
    },
    "an assessment about to expire": {"assessment.approved_at": NOW - 5, "edit.running_until": NOW - 5},
    "an edit for later": {"job.now": NOW, "edit.effective_at": NOW + 9, "edit.expires_at": NOW + 10}
    | {"edit.running_until": NOW + 9},
    "one witness of several": {"evidence.quorum": 1, "evidence.witnesses": 3},
    "one record": {"update.records": 1, "admission.records": 1},
    "nothing used": {"update.records": 0, "admission.records": 0},
    "limits of the agreement": {
        "policy.maximum_propagation_age_s": 90_000,
        "cohort.minimum_rows": 1001,
        "cohort.subjects": 1001,
        "cohort.minimum_members": 3,
        "aggregate.members": 3,
        "agreement.members": 3,
        "cohort.suppress_below": 101,
        "alignment.size": 101,
        "policy.scores_per_caller_per_day": 501,
    },
    "limits of the policy": {
        "job.propagation_limit_s": 90_000,
        "cohort.minimum_rows": 999,
        "cohort.minimum_members": 1,
        "caller.daily_quota": 501,
        "policy.maximum_model_days": 29,
        "retention.model_days": 29,
        "training.longest_run_days": 1.0,
    },
}


def _apply(variation: Facts) -> Facts:
    return MappingProxyType({name: v for name, v in {**_BASE, **variation}.items() if v is not GONE})


@pytest.fixture(scope="session")
def examples() -> Mapping[str, Facts]:
    """Facts by name of the example; each rule is satisfied by at least one at each of its levels."""
    return {name: _apply(variation) for name, variation in _VARIATIONS.items()}


@pytest.fixture(scope="session")
def cases(request: pytest.FixtureRequest) -> dict[tuple[Rule, Level], int]:
    """Where the truth table counts the decisions that it tried, by rule and level."""
    counted: dict[tuple[Rule, Level], int] = request.config.stash.setdefault(CASES, {})
    return counted


CASES: Final = pytest.StashKey[dict[Any, int]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many decisions the truth table tried."""
    counted = terminalreporter.config.stash.get(CASES, {})
    if counted:
        terminalreporter.write_line(
            f"truth table: {sum(counted.values())} decisions over {len(counted)} formulas of the rules"
        )
