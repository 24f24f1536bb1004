"""Drafts an agreement from what a site knows: its own identity, the enrolled others, a data dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from hanse.client.home import MemberHome
from hanse.client.software import software_digest, software_version
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import (
    Agreement,
    Border,
    Caller,
    Column,
    Contract,
    Disclosure,
    Identity,
    PackReference,
    Retention,
    Robustness,
    Training,
    Vertical,
)
from hanse.policies.agreement.columns import EVERY_MEMBER
from hanse.policies.documents import yaml_to_json
from hanse.policies.fields import problems

CLOCK_SLACK = timedelta(minutes=5)
ASSESSMENT_VALIDITY = timedelta(days=365)
DAILY_QUOTA = 100_000
DEFAULT_FORM: Mapping[str, object] = MappingProxyType({"output": "band", "by_id": True})
"""In which form scores leave unless people decide otherwise: see :mod:`hanse.scoring.extraction`."""
NO_BORDER = Border(mechanism="none", reference=None, other_places=())


@dataclass(frozen=True, slots=True)
class Party:
    """What is agreed of a member beside its identity.

    Attributes:
        role: Its role.
        approver: The person who approves for it; None for its data protection officer.
        storage_country: Where its data is kept; None for what its identity says.
        contract: What it is entrusted with; None unless it is.
    """

    role: str = "joint"
    approver: str | None = None
    storage_country: str | None = None
    contract: Contract | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """What decisions based on scores do to people.

    Attributes:
        significant: Whether they affect people significantly.
        human_review: Whether a person can review them.
        reason_codes: Whether they can be explained by reason codes.
    """

    significant: bool = False
    human_review: bool = False
    reason_codes: bool = False


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
        mode: How the members' figures come together.
        robustness: How updates that would spoil the model are kept out, where each one is seen.
        contributions: Whether what each member adds is computed, where its update is seen.
        form: In which form scores leave: fields of :class:`hanse.policies.Scoring`.
        quorum: Witnesses that have to co-sign the coordinator's log; None for more than half of them.
        callers: Systems that may ask for scores; of one that is only named, whoever signs states that it
            offers what a marketing system must.
        assessment: Reference of the impact assessment.
        assessor: Person who approved the assessment.
        packs: Rule packs that apply.
        may_contain_minors: Whether children may be among the subjects.
        vertical: Who has which columns of the same people; None where all have the same columns.
        valid_days: Days that the agreement is valid.
        parties: What is agreed of single members beside their identities, by name.
        disclose_to: Members that columns go to as part of a model, where the dictionary does not say; or
            ``members``.
        effects: What scores do to people; None for nothing significant.
        border: What allows several jurisdictions; nothing does, unless somebody says what.
        retention: For how long things are kept; None for twice the validity, and once for what is made on the
            way.
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
    callers: Sequence[str | Caller]
    assessment: str
    assessor: str
    packs: Sequence[PackReference]
    may_contain_minors: bool = False
    valid_days: int = 90
    parties: Mapping[str, Party] = field(default_factory=dict)
    disclose_to: Sequence[str] = (EVERY_MEMBER,)
    effects: Effects = Effects()
    border: Border = NO_BORDER
    retention: Retention | None = None
    quorum: int | None = None
    mode: Literal["secure", "individual"] = "secure"
    vertical: Vertical | None = None
    robustness: Robustness = field(default_factory=Robustness)
    contributions: bool = False
    form: Mapping[str, object] = field(default_factory=lambda: DEFAULT_FORM)


def majority(witnesses: int) -> int:
    """The smallest quorum of which any two have a witness in common."""
    return witnesses // 2 + 1


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
    auditors = [identity for identity in identities if identity.role == "auditor"]
    try:
        terms = _terms(draft, members, coordinator, now)
        return Agreement.model_validate({**terms, "evidence": _evidence(draft, members, auditors)})
    except ValidationError as error:
        raise PolicyError("policy.invalid", "; ".join(problems(error))) from error


def _terms(
    draft: Draft, members: Sequence[Identity], coordinator: Identity, now: datetime
) -> dict[str, object]:
    """The agreement's fields."""
    return {
        "schema_version": 1,
        "id": draft.identifier,
        "version": 1,
        "title": draft.title,
        "purpose": "joint_modelling.propensity",
        "legal_basis": "consent",
        "overrides": [],
        "packs": list(draft.packs),
        "supersedes": None,
        "proposer": draft.proposer,
        "auditor": draft.auditor,
        "members": [_member(identity, draft.parties.get(identity.name, Party())) for identity in members],
        "coordinator": {
            "name": coordinator.name,
            "jurisdiction": coordinator.jurisdiction,
            "key": coordinator.node_key,
        },
        "may_contain_minors": draft.may_contain_minors,
        "columns": [_disclosed(column, draft.disclose_to) for column in draft.columns],
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
        "aggregation": {"mode": draft.mode},
        "vertical": draft.vertical,
        "robustness": draft.robustness,
        "contributions": draft.contributions,
        "cohort": {
            "minimum_rows": draft.minimum_rows,
            "minimum_members": draft.minimum_members,
            "suppress_below": 10,
        },
        "scoring": {
            "purpose": "scoring.marketing",
            "callers": [_caller(caller) for caller in draft.callers],
            "decimals": 2,
            **draft.form,
            "prohibited_uses": ["pricing", "underwriting", "credit", "employment"],
            "significant_effect": draft.effects.significant,
            "human_review": draft.effects.human_review,
            "reason_codes": draft.effects.reason_codes,
        },
        "assessment": {
            "reference": draft.assessment,
            "approver": draft.assessor,
            "approved_at": now - CLOCK_SLACK,
            "expires_at": now + ASSESSMENT_VALIDITY,
            "purposes": ["joint_modelling.propensity", "scoring.marketing"],
            "members": [member.name for member in members],
            "classifications": sorted({column.classification for column in draft.columns}),
            "digest": None,
            "rehearsal": None,
        },
        "border": draft.border,
        "retention": draft.retention
        or Retention(
            rows_days=2 * draft.valid_days,
            intermediates_days=draft.valid_days,
            model_days=2 * draft.valid_days,
        ),
        "consent": {
            "propagation_hours": 24,
            "running_round": "finish",
            "acknowledge_hours": 24,
            "retrain_days": 30,
        },
        "valid_from": now - CLOCK_SLACK,
        "valid_until": now + timedelta(days=draft.valid_days),
        "software": {"version": software_version(), "digest": software_digest()},
    }


def places_of(identities: Sequence[Identity]) -> frozenset[str]:
    """Every country of members and coordinator: where they are, and where they keep data."""
    parties = (identity for identity in identities if identity.role in ("member", "coordinator"))
    return frozenset(place for one in parties for place in (one.jurisdiction, one.storage_country))


def _member(identity: Identity, party: Party) -> dict[str, object]:
    return {
        "name": identity.name,
        "organisation": identity.organisation,
        "jurisdiction": identity.jurisdiction,
        "storage_country": party.storage_country or identity.storage_country,
        "role": party.role,
        "contract": party.contract,
        "approver": party.approver or f"data protection officer of {identity.organisation}",
        "notices": identity.notices,
        "node_key": identity.node_key,
        "approver_key": identity.approver_key,
        "witness_key": identity.witness_key,
    }


def _evidence(draft: Draft, members: Sequence[Identity], auditors: Sequence[Identity]) -> dict[str, object]:
    """Every member is a witness, and so is every auditor that the drafting site has enrolled."""
    witnesses = len(members) + len(auditors)
    return {
        "quorum": majority(witnesses) if draft.quorum is None else draft.quorum,
        "auditors": [
            {"name": one.name, "organisation": one.organisation, "witness_key": one.witness_key}
            for one in auditors
        ],
    }


def form_of(output: str, *, by_id: bool) -> dict[str, object]:
    """In which form scores leave, from what somebody writes.

    Args:
        output: The form, and behind a colon what it needs: ``score:2`` decimals, ``band`` or ``band:0.2/0.5``
            edges, ``decile``, ``flag:0.3`` from which score on, ``list:50`` people of a call,
            ``segment:spend:100:0.3`` by the column, from which value and from which score on.
        by_id: Whether callers name people alone.

    Returns:
        Fields of :class:`hanse.policies.Scoring`.

    Raises:
        ValueError: It is none.
    """
    kind, _, rest = output.partition(":")
    fields: dict[str, object] = {"output": kind, **({"by_id": True} if by_id else {})}
    try:
        match kind, rest.split(":") if rest else []:
            case "score" | "band" | "decile", []:
                return fields
            case "score", [decimals]:
                return fields | {"decimals": int(decimals)}
            case "band", [edges]:
                return fields | {"edges": [float(edge) for edge in edges.split("/")]}
            case "flag", [threshold]:
                return fields | {"threshold": float(threshold)}
            case "list", [top]:
                return fields | {"top": int(top)}
            case "segment", [value, value_from, score_from]:
                cuts = {"value_from": float(value_from), "score_from": float(score_from)}
                return fields | {"segments": {"value": value, **cuts}}
    except ValueError:
        pass
    raise ValueError(
        "write score:2, band, band:0.2/0.5, decile, flag:0.3, list:50 or segment:COLUMN:VALUE:SCORE"
    )


def _caller(caller: str | Caller) -> object:
    """A caller with what a marketing system must offer; whoever signs states that it does."""
    if isinstance(caller, Caller):
        return caller
    return {
        "name": caller,
        "daily_quota": DAILY_QUOTA,
        "opt_out_available": True,
        "non_personalised_path": True,
    }


def _disclosed(column: Column, members: Sequence[str]) -> Column:
    """A column whose dictionary does not say otherwise goes to these members, as part of the model."""
    given = tuple(Disclosure(to=name, form="model") for name in members)
    return column if column.disclosure else column.model_copy(update={"disclosure": given})


def read_columns(path: Path) -> tuple[Column, ...]:
    """Reads a data dictionary: a YAML list of columns with their public edges or categories.

    Raises:
        ConfigurationError: ``config.missing-file`` or ``config.invalid``, naming file, column and field.
    """
    if not path.is_file():
        raise ConfigurationError("config.missing-file", f"data dictionary {path} is missing")
    try:
        return TypeAdapter(tuple[Column, ...]).validate_json(yaml_to_json(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigurationError("config.invalid", f"{path}: {'; '.join(problems(error))}") from None
    except (PolicyError, UnicodeDecodeError) as error:
        raise ConfigurationError("config.invalid", f"{path} is not YAML: {error}") from error
