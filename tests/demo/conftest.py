"""A small made-up result and an agreement, so that all parts are tested without a run."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerKey
from hanse.demo.partition import MemberData
from hanse.demo.results import (
    AgreementFacts,
    DatasetFacts,
    DemoResult,
    LogFacts,
    MemberFacts,
    MemberQuality,
    ModelFacts,
    QualityFacts,
    RoundFacts,
    ScoringCall,
    TimelineEntry,
)
from hanse.policies import Agreement, builtin_pack

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ORGANISATIONS = {
    "brand": "Visby Motors",
    "insurer": "Bremen Mutual Insurance",
    "media": "Bergen Media House",
    "retailer": "Riga Department Stores",
}


def make_agreement(members: list[MemberData]) -> Agreement:
    def key(name: str) -> str:
        return SigningKey.generate(name).verifier.encode()

    def witness_key(name: str) -> str:
        return CosignerKey.generate(name, "ed25519").verifier.encode()

    document = {
        "schema_version": 1,
        "id": "term-deposit",
        "version": 1,
        "title": "Term deposits",
        "purpose": "joint_modelling.propensity",
        "legal_basis": "consent",
        "overrides": [],
        "packs": [builtin_pack(name).reference.model_dump(mode="json") for name in ("pipl", "gdpr")],
        "supersedes": None,
        "may_contain_minors": False,
        "proposer": "Ada",
        "auditor": "Ben",
        "members": [
            {
                "name": member.name,
                "organisation": member.organisation,
                "jurisdiction": "SE",
                "storage_country": "SE",
                "role": "joint",
                "contract": None,
                "notices": [],
                "approver": f"Officer of {member.name}",
                "node_key": key(f"{member.name}.node"),
                "approver_key": key(f"{member.name}.approver"),
                "witness_key": witness_key(f"{member.name}.witness"),
            }
            for member in members
        ],
        "coordinator": {"name": "coordinator", "jurisdiction": "SE", "key": key("coordinator")},
        "evidence": {"quorum": 2, "auditors": []},
        "columns": [column.model_dump(mode="json") for column in members[0].dictionary.columns],
        "label": {"name": "y", "positive": "yes"},
        "training": {
            "model": "logistic",
            "hidden": [],
            "rounds": 5,
            "local_steps": 10,
            "sample_rate": 0.05,
            "learning_rate": 4.0,
            "clip_norm": 2.0,
            "max_update_norm": 100.0,
            "round_timeout_s": 60,
            "holdout_fraction": 0.2,
        },
        "privacy": {"unit": "record", "adjacency": "add-or-remove-one", "epsilon": 3.0, "delta": 1e-5},
        "cohort": {"minimum_rows": 100, "minimum_members": 2, "suppress_below": 10},
        "scoring": {
            "purpose": "scoring.marketing",
            "callers": [
                {
                    "name": "crm",
                    "daily_quota": 1000,
                    "opt_out_available": True,
                    "non_personalised_path": True,
                }
            ],
            "significant_effect": False,
            "human_review": False,
            "reason_codes": False,
            "output": "score",
            "decimals": 4,
            "prohibited_uses": [],
        },
        "assessment": {
            "reference": "DPIA-1",
            "approved_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-12-01T00:00:00Z",
            "approver": "Dora",
            "purposes": ["joint_modelling", "scoring"],
            "members": [member.name for member in members],
            "classifications": ["basic", "behavioural", "transaction", "sensitive"],
            "digest": None,
            "rehearsal": None,
        },
        "border": {"mechanism": "none", "reference": None, "other_places": []},
        "retention": {"rows_days": 30, "intermediates_days": 30, "model_days": 30},
        "consent": {
            "propagation_hours": 24,
            "running_round": "finish",
            "acknowledge_hours": 24,
            "retrain_days": 30,
        },
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2026-12-01T00:00:00Z",
        "software": {"version": "0.1.0", "digest": "0" * 64},
    }
    return Agreement.from_yaml(json.dumps(document))


def _rounds(names: list[str], n_rounds: int) -> tuple[RoundFacts, ...]:
    return tuple(
        RoundFacts(
            round=number,
            duration_s=1.2 + 0.1 * (number % 3),
            auc_exact=0.76 - 0.2 / (number + 1),
            auc_estimate=0.748 if number == n_rounds else None,
            auc_standard_error=0.021 if number == n_rounds else None,
            loss_exact=0.3,
            admitted=dict.fromkeys(names, 640),
            epsilon=dict.fromkeys(names, 0.4 + 0.22 * number),
        )
        for number in range(1, n_rounds + 1)
    )


def _timeline(names: list[str]) -> tuple[TimelineEntry, ...]:
    steps = ["member.initialised", "agreement.accepted", "run.started", "round.admitted", "round.trained"]
    return tuple(
        TimelineEntry(
            index=index,
            time=START + timedelta(seconds=3 * index + number),
            actor=ORGANISATIONS[name],
            log=name,
            type="score.denied" if denied else step,
            round=1 if step.startswith("round") else None,
            decision="deny" if denied else "permit",
            reasons=("policy.purpose", "P04") if denied else (),
        )
        for index, step in enumerate(steps)
        for number, name in enumerate(names)
        for denied in [name == "brand" and index == len(steps) - 1]
    )


def make_result(n_members: int = 4, n_rounds: int = 10) -> DemoResult:
    names = list(ORGANISATIONS)[:n_members]
    return DemoResult(
        version="0.1.0",
        started_at=START,
        duration_s=97.4,
        dataset=DatasetFacts(
            name="bank",
            title="Bank Marketing (sample of 4,521 rows)",
            source="S. Moro, P. Cortez, P. Rita (2014)",
            licence="CC BY 4.0",
            rows=4521,
            test_rows=904,
            label="y",
            positive="yes",
            positive_rate=0.115,
            natural_key="occupation",
            left_out={"duration": "known only after the call"},
        ),
        agreement=AgreementFacts(
            id="term-deposit",
            digest="ab" * 32,
            purpose="joint_modelling.propensity",
            model="logistic",
            columns=15,
            rounds=n_rounds,
            local_steps=20,
            sample_rate=0.05,
            epsilon=3.0,
            delta=1e-5,
            minimum_rows=200,
            minimum_members=2,
        ),
        members=tuple(
            MemberFacts(
                name=name,
                organisation=ORGANISATIONS[name],
                groups=("admin.", "management"),
                rows=900,
                positive_rate=0.11,
                considered=900,
                admitted=640 + 10 * number,
                excluded_by_rule={"P01": 80, "P02": 20 + number, "P04": 12, "P10": 100},
                hidden_by_rule={"P05": 17},
                hidden_by_column={"loan": 17},
                epsilon=2.61,
            )
            for number, name in enumerate(names)
        ),
        rounds=_rounds(names, n_rounds),
        quality=QualityFacts(
            test_rows=904,
            test_positives=104,
            alone_mean=0.661,
            federated=0.741,
            federated_without_privacy=0.752,
            pooled=0.755,
            standard_error=0.026,
            members=tuple(
                MemberQuality(
                    name=name,
                    own_test_rows=226,
                    own_test_positives=26,
                    alone_own=0.62 + 0.02 * number,
                    federated_own=0.73,
                    pooled_own=0.75,
                    own_standard_error=0.05,
                    alone_all=0.64 + 0.01 * number,
                )
                for number, name in enumerate(names)
            ),
        ),
        model=ModelFacts(name="term-deposit@1", manifest_digest="cd" * 32, features=98, parameters=99),
        scoring=(
            ScoringCall(
                caller="crm",
                purpose="scoring.marketing",
                allowed=True,
                outcome="scores",
                subjects=10,
                scored=8,
                latency_ms=4.2,
            ),
            ScoringCall(
                caller="crm",
                purpose="scoring.credit",
                allowed=False,
                outcome="PERMISSION_DENIED",
                subjects=10,
                scored=0,
                code="policy.purpose",
                rule="P23",
            ),
        ),
        logs=tuple(
            LogFacts(owner=name, origin=f"hanse.demo/{name}", entries=5, root="ef" * 32, verified=True)
            for name in names
        ),
        timeline=_timeline(names),
        rules={
            "P01": "No consent on record for this purpose.",
            "P02": "Consent was not an active choice.",
            "P04": "The purpose is not covered by what was granted.",
            "P10": "Consent was withdrawn, or has expired.",
        },
    )


@pytest.fixture(name="make_result", scope="session")
def _make_result() -> Callable[..., DemoResult]:
    return make_result


@pytest.fixture(name="agreement_of", scope="session")
def _agreement_of() -> Callable[[list[MemberData]], Agreement]:
    return make_agreement
