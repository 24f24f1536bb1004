"""Drafts an agreement from what a site knows: its own identity, the enrolled others, a data dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from hanse.client.home import MemberHome
from hanse.client.software import software_digest, software_version
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import Agreement, Column, Identity, Training
from hanse.policies.fields import problems

CLOCK_SLACK = timedelta(minutes=5)
ASSESSMENT_VALIDITY = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the proposer states.

    Attributes:
        identifier: Short name of the agreement; the models are named after it.
        title: One line for people.
        proposer: Person who proposes.
        auditor: Person who audits; neither proposer nor an approver.
        columns: The columns, with their public cells.
        label: Label column.
        positive: Value of the label that is predicted.
        training: Model and schedule.
        epsilon: Privacy budget per record; None for no differential privacy.
        delta: Delta of the budget.
        minimum_rows: Admitted rows that a member needs.
        minimum_members: Members that every aggregate needs.
        callers: Systems that may ask for scores.
        assessment: Reference of the impact assessment.
        valid_days: Days that the agreement is valid.
    """

    identifier: str
    title: str
    proposer: str
    auditor: str
    columns: Sequence[Column]
    label: str
    positive: str
    training: Training
    epsilon: float | None
    delta: float
    minimum_rows: int
    minimum_members: int
    callers: Sequence[str]
    assessment: str
    valid_days: int = 90


def known_identities(home: MemberHome) -> list[Identity]:
    """The site's own identity, then those that it enrolled."""
    return [
        Identity.load(home.identity),
        *(Identity.load(path) for path in sorted(home.peers.glob("*.json"))),
    ]


def draft_agreement(draft: Draft, identities: Sequence[Identity], now: datetime) -> Agreement:
    """Builds the agreement over all given members and the one coordinator.

    Raises:
        ConfigurationError: ``config.invalid`` when there is not exactly one coordinator.
        PolicyError: ``policy.invalid`` when a field is not valid.
    """
    coordinators = [identity for identity in identities if identity.role == "coordinator"]
    if len(coordinators) != 1:
        raise ConfigurationError(
            "config.invalid", f"an agreement needs one coordinator; {len(coordinators)} are enrolled here"
        )
    coordinator = coordinators[0]
    members = [identity for identity in identities if identity.role == "member"]
    try:
        return Agreement.model_validate(_terms(draft, members, coordinator, now))
    except ValidationError as error:
        raise PolicyError("policy.invalid", "; ".join(problems(error))) from error


def _terms(
    draft: Draft, members: Sequence[Identity], coordinator: Identity, now: datetime
) -> dict[str, object]:
    """The agreement's fields."""
    countries = {identity.jurisdiction for identity in (*members, coordinator)}
    return {
        "schema_version": 1,
        "id": draft.identifier,
        "version": 1,
        "title": draft.title,
        "purpose": "joint_modelling.propensity",
        "legal_basis": "consent",
        "proposer": draft.proposer,
        "auditor": draft.auditor,
        "members": [_member(identity) for identity in members],
        "coordinator": {
            "name": coordinator.name,
            "jurisdiction": coordinator.jurisdiction,
            "key": coordinator.node_key,
        },
        "columns": list(draft.columns),
        "label": {"name": draft.label, "positive": draft.positive},
        "training": draft.training,
        "privacy": None
        if draft.epsilon is None
        else {
            "unit": "record",
            "adjacency": "add-or-remove-one",
            "epsilon": draft.epsilon,
            "delta": draft.delta,
        },
        "cohort": {
            "minimum_rows": draft.minimum_rows,
            "minimum_members": draft.minimum_members,
            "suppress_below": 10,
        },
        "scoring": {
            "purpose": "scoring.marketing",
            "callers": list(draft.callers),
            "output": "score",
            "decimals": 2,
            "prohibited_uses": ["pricing", "underwriting", "credit", "employment"],
        },
        "assessment": {
            "reference": draft.assessment,
            "approved_at": now - CLOCK_SLACK,
            "expires_at": now + ASSESSMENT_VALIDITY,
        },
        "border": {
            "mechanism": "none" if len(countries) == 1 else "standard_contract",
            "reference": None if len(countries) == 1 else draft.assessment,
        },
        "retention_days": 2 * draft.valid_days,
        "valid_from": now - CLOCK_SLACK,
        "valid_until": now + timedelta(days=draft.valid_days),
        "software": {"version": software_version(), "digest": software_digest()},
    }


def _member(identity: Identity) -> dict[str, object]:
    return {
        "name": identity.name,
        "organisation": identity.organisation,
        "jurisdiction": identity.jurisdiction,
        "role": "joint",
        "approver": f"data protection officer of {identity.organisation}",
        "node_key": identity.node_key,
        "approver_key": identity.approver_key,
    }


def read_columns(path: Path) -> tuple[Column, ...]:
    """Reads a data dictionary: a YAML list of columns with their public edges or categories.

    Raises:
        ConfigurationError: ``config.missing-file`` or ``config.invalid``, naming file, column and field.
    """
    if not path.is_file():
        raise ConfigurationError("config.missing-file", f"data dictionary {path} is missing")
    try:
        return TypeAdapter(tuple[Column, ...]).validate_python(
            yaml.safe_load(path.read_text(encoding="utf-8"))
        )
    except ValidationError as error:
        raise ConfigurationError("config.invalid", f"{path}: {'; '.join(problems(error))}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError("config.invalid", f"{path} is not YAML: {error}") from error
