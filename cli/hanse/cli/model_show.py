"""What ``hanse model`` shows of versions and decisions."""

from datetime import datetime
from typing import Any

from hanse.cli.output import console, table
from hanse.client.model_registry import ModelRegistry, Version
from hanse.errors import PolicyError, ServingError
from hanse.policies.serving import Decided, Serving, SignedDecision


def found(state: Serving, proposal: int | None) -> SignedDecision:
    """An open proposal by its number, or the only one.

    Raises:
        PolicyError: ``policy.invalid`` naming those that there are.
    """
    chosen = [one for one in state.proposed if proposal in (None, one.decision.number)]
    if len(chosen) != 1:
        there = ", ".join(str(one.decision.number) for one in state.proposed) or "none"
        raise PolicyError("policy.invalid", f"name one open proposal with --proposal; there are: {there}")
    return chosen[0]


def list_rows(registry: ModelRegistry, name: str | None, now: datetime) -> list[dict[str, Any]]:
    """One row for each version: facts of :func:`row`."""
    states = {model: registry.book.read(model).state for model in registry.book.models()}
    return [
        row(registry, version, states.get(version.manifest.name, Serving(version.manifest.name)), now)
        for version in registry.versions(name)
    ]


def row(registry: ModelRegistry, version: Version, state: Serving, now: datetime) -> dict[str, Any]:
    """What a version is, and whether it may be used."""
    manifest, role = version.manifest, state.role(version.manifest.version)
    return {
        "reference": manifest.reference,
        "role": role,
        "share": state.share if role == "canary" else None,
        "created_at": manifest.created_at,
        "auc": manifest.metrics.get("auc"),
        "digest": version.digest,
        **_withdrawn(registry, version, now),
    }


def describe(registry: ModelRegistry, version: Version, now: datetime) -> dict[str, Any]:
    """All facts of a version, the gate included."""
    manifest = version.manifest
    checks = registry.judged(version)
    return {
        **row(registry, version, registry.book.read(manifest.name).state, now),
        "run": manifest.run,
        "agreement": manifest.agreement_digest,
        "metrics": manifest.metrics,
        "gate": [
            {
                "check": check.name,
                "outcome": check.outcome,
                "required": check.required,
                "keeps_back": check.blocks,
                "says": check.says,
            }
            for check in checks
        ],
    }


def show_checks(checks: list[dict[str, Any]]) -> None:
    """Prints what the gate says."""
    rows = [
        (
            check["check"],
            check["outcome"],
            "yes" if check["required"] else "no",
            "yes" if check["keeps_back"] else "no",
            check["says"],
        )
        for check in checks
    ]
    console().print(table("Evaluation gate", ("check", "outcome", "required", "keeps back", "figures"), rows))


def decided_rows(decided: Decided) -> list[tuple[object, ...]]:
    """The decisions as a person reads them."""
    rows: list[tuple[object, ...]] = []
    for signed in decided.decisions:
        one = signed.decision
        about = f" version {one.version}" if one.version is not None else f" {one.proposal}"
        share = "" if one.share is None else f" at {one.share} %"
        share += " with deciles" if one.deciles else ""
        over = "" if not one.overridden else f", overriding {', '.join(one.overridden)}"
        rows.append((one.number, f"{one.kind}{about}{share}{over}", one.by, one.at, one.reason))
    return rows


def _withdrawn(registry: ModelRegistry, version: Version, now: datetime) -> dict[str, Any]:
    try:
        told = registry.contained(version)
    except ServingError as error:
        says = f"cannot be told: {error.detail}"
        return {"withdrawn": None, "exact": None, "deadline": None, "overdue": True, "withdrawn_says": says}
    over = told.is_over(now)
    says = "no" if told.first is None else f"{'' if told.exact else 'up to '}{told.subjects:,} people"
    return {
        "withdrawn": told.subjects,
        "exact": told.exact,
        "deadline": told.deadline,
        "overdue": over,
        "withdrawn_says": f"{says}, OVERDUE" if over else says,
    }
