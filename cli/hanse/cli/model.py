"""``hanse model``: which version of a model is served, who decides that, and what speaks for it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.audit import Event, EventType
from hanse.cli.common import Home, member_log, utc_now
from hanse.cli.model_show import decided_rows, describe, found, list_rows, show_checks
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.model_registry import ModelRegistry, Version
from hanse.crypto import SigningKey
from hanse.errors import ConfigurationError, PolicyError, ServingError
from hanse.policies.serving import ALONE_PERCENT, Decision, Serving, SignedDecision, blocking, needs_two

app = typer.Typer(
    no_args_is_help=True,
    help="Show model versions; decide which one is served. Two people promote and retire; one rolls back.",
)

Reference = Annotated[str, typer.Argument(help="Model version in models/, as `hanse run` named it.")]
Name = Annotated[str, typer.Argument(help="Name of the model.")]
By = Annotated[str, typer.Option("--by", help="Your name; it is signed, and shown to the other person.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is signed with the decision.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="Your key: the approver's or the auditor's. Default: the one in the folder."),
]
Override = Annotated[
    bool,
    typer.Option(
        "--override-gate", help="Accept what the gate keeps back; two people sign, and it is logged."
    ),
]

Deciles = Annotated[
    str | None,
    typer.Option(
        "--deciles",
        help="Where tenths of people begin, for a version that does not say so: nine scores, as 0.01/0.02/… "
        "Two people sign them.",
        metavar="EDGES",
    ),
]

_EFFECTS = {
    "promote": EventType.MODEL_PROMOTED,
    "canary": EventType.MODEL_CANARY,
    "retire": EventType.MODEL_RETIRED,
    "rollback": EventType.MODEL_ROLLED_BACK,
    "reject": EventType.MODEL_REJECTED,
}


@app.command("list")
def list_versions(
    name: Annotated[str | None, typer.Argument(help="Only the versions of this model.")] = None,
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """List the model versions here: what is served, and which contain somebody who has withdrawn.

    Example: [bold]hanse model list --home brand[/]

    Who has withdrawn is known of this site's own subjects. A version must be retired by its deadline; from
    then on the scorer refuses it.
    """
    with ModelRegistry(MemberHome(home)) as registry:
        rows = list_rows(registry, name, utc_now())
    if as_json:
        print_json(rows)
        return
    heads = ("version", "is", "share", "made", "area", "contains withdrawn", "retire by")
    cells = [
        (
            row["reference"],
            row["role"] or "",
            "" if row["share"] is None else f"{row['share']} %",
            row["created_at"].date(),
            "" if row["auc"] is None else f"{row['auc']:.3f}",
            row["withdrawn_says"],
            "" if row["deadline"] is None else row["deadline"].strftime("%Y-%m-%d %H:%M"),
        )
        for row in rows
    ]
    console().print(table(f"{len(rows)} model versions", heads, cells, whole=("version", "is")))


@app.command("show")
def show(model: Reference, home: Home = Path(), *, as_json: Json = False) -> None:
    """Show a version: where it comes from, what the gate says of it, and what was decided.

    Example: [bold]hanse model show propensity@2 --home brand[/]
    """
    with ModelRegistry(MemberHome(home)) as registry:
        version = registry.version(model)
        facts = describe(registry, version, utc_now())
        decided = registry.book.read(version.manifest.name)
    if as_json:
        print_json(facts)
        return
    say(f"{model}: {facts['role'] or 'not served'}; {facts['withdrawn_says']}")
    say(f"  run {facts['run']}, agreement {facts['agreement']}, manifest {facts['digest']}")
    show_checks(facts["gate"])
    heads = ("number", "what", "by", "at", "reason")
    console().print(table(f"Decisions about {version.manifest.name}", heads, decided_rows(decided)))


@app.command("promote")
def promote(
    model: Reference,
    by: By,
    reason: Reason,
    home: Home = Path(),
    key: Key = None,
    deciles: Deciles = None,
    *,
    override: Override = False,
    as_json: Json = False,
) -> None:
    """Propose that a version becomes the live one; a second person approves it.

    Example: [bold]hanse model promote propensity@2 --home brand --by "Dora" --reason "better on May"[/], then
    [bold]hanse model approve propensity --home brand --by "Aud" --reason "seen"[/]
    """
    fields = {"by": by, "reason": reason, "deciles": _edges(deciles)}
    _propose("promote", model, home, key, override=override, as_json=as_json, **fields)


@app.command("canary")
def canary(
    model: Reference,
    share: Annotated[int, typer.Option(min=1, max=99, help="Percent of the subjects.")],
    by: By,
    reason: Reason,
    home: Home = Path(),
    key: Key = None,
    deciles: Deciles = None,
    *,
    override: Override = False,
    as_json: Json = False,
) -> None:
    """Give a version a share of the subjects, always the same ones; above 5 % a second person approves it.

    Example: [bold]hanse model canary propensity@2 --share 5 --home brand --by Dora --reason "first look"[/]

    `hanse model rollback` ends it.
    """
    fields = {"by": by, "reason": reason, "share": share, "deciles": _edges(deciles)}
    _propose("canary", model, home, key, override=override, as_json=as_json, **fields)


@app.command("retire")
def retire(
    model: Reference,
    by: By,
    reason: Reason,
    home: Home = Path(),
    key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Propose that a version is never served again; a second person approves it.

    Example: [bold]hanse model retire propensity@1 --home brand --by Dora --reason "contains withdrawn"[/]
    """
    site = MemberHome(home)
    with ModelRegistry(site) as registry:
        version = registry.version(model)
        fields = {"version": version.ref.version, "manifest": version.ref.manifest}
        _decide(
            registry, version.manifest.name, "retire", key, as_json=as_json, by=by, reason=reason, **fields
        )


@app.command("rollback")
def rollback(
    name: Name,
    by: By,
    reason: Reason,
    home: Home = Path(),
    to: Annotated[
        int | None,
        typer.Option(help="Version to go back to; default: end the canary, else the version live before."),
    ] = None,
    key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Go back at once, by one person: end the canary, or serve the version again that was live before.

    Example: [bold]hanse model rollback propensity --home brand --by Dora --reason "scores drift"[/]
    """
    with ModelRegistry(MemberHome(home)) as registry:
        state = registry.book.read(name).state
        target = state.live if state.canary is not None else state.previous
        if to is not None:
            target = next((ref for ref in (*state.served, *state.earlier) if ref.version == to), None)
        if target is None:
            raise PolicyError("policy.invalid", f"there is nothing to go back to from what {name} serves")
        registry.require_usable(registry.version(f"{name}@{target.version}"), utc_now())
        fields = {"version": target.version, "manifest": target.manifest}
        _decide(registry, name, "rollback", key, as_json=as_json, by=by, reason=reason, **fields)


@app.command("approve")
def approve(
    name: Name,
    by: By,
    reason: Reason,
    proposal: Annotated[int | None, typer.Option(help="Its number; default: the only open one.")] = None,
    home: Home = Path(),
    key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Approve a proposal of another person; it takes effect, and a running scorer follows within a second.

    Example: [bold]hanse model approve propensity --home brand --by Aud --reason "seen the figures"[/]
    """
    with ModelRegistry(MemberHome(home)) as registry:
        proposed = found(registry.book.read(name).state, proposal).decision
        if proposed.kind != "retire":
            version = registry.version(f"{name}@{proposed.version}")
            _check(registry, version, proposed.overridden)
        fields = {"proposal": proposed.number}
        _decide(registry, name, "approve", key, as_json=as_json, by=by, reason=reason, **fields)


@app.command("reject")
def reject(
    name: Name,
    by: By,
    reason: Reason,
    proposal: Annotated[int | None, typer.Option(help="Its number; default: the only open one.")] = None,
    home: Home = Path(),
    key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Reject a proposal, or take back your own.

    Example: [bold]hanse model reject propensity --home brand --by Aud --reason "figures are old"[/]
    """
    with ModelRegistry(MemberHome(home)) as registry:
        number = found(registry.book.read(name).state, proposal).decision.number
        _decide(registry, name, "reject", key, as_json=as_json, by=by, reason=reason, proposal=number)


def _edges(deciles: str | None) -> tuple[float, ...]:
    """Scores between slashes.

    Raises:
        ConfigurationError: ``config.invalid``.
    """
    try:
        return tuple(float(edge) for edge in deciles.split("/")) if deciles else ()
    except ValueError as error:
        raise ConfigurationError("config.invalid", "--deciles is nine scores, as 0.01/0.02/…") from error


def _propose(
    kind: str,
    model: str,
    home: Path,
    key: Path | None,
    *,
    override: bool,
    as_json: bool,
    **fields: Any,  # noqa: ANN401 - of the decision
) -> None:
    """What makes a version answer: it is checked, and the gate is asked."""
    with ModelRegistry(MemberHome(home)) as registry:
        version = registry.version(model)
        registry.require_form(version, fields["deciles"])
        overridden = blocking(registry.judged(version)) if override else ()
        _check(registry, version, overridden)
        fields |= {"version": version.ref.version, "manifest": version.ref.manifest}
        fields |= {"overridden": overridden, "gate": registry.gate().digest}
        _decide(registry, version.manifest.name, kind, key, as_json=as_json, **fields)


def _check(registry: ModelRegistry, version: Version, overridden: tuple[str, ...]) -> None:
    """Refuses a version that is not genuine, past its deadline, or kept back by the gate.

    Raises:
        ServingError: ``model.invalid``, ``model.overdue``, ``model.lineage``, ``model.gate``.
    """
    registry.check(version)
    registry.require_usable(version, utc_now())
    kept_back = [name for name in blocking(registry.judged(version)) if name not in overridden]
    if kept_back:
        reference = version.manifest.reference
        raise ServingError(
            "model.gate",
            f"the gate keeps {reference} back by {', '.join(kept_back)}: see hanse model show {reference}; "
            "two people can accept it with --override-gate",
        )


def _decide(
    registry: ModelRegistry,
    name: str,
    kind: str,
    key: Path | None,
    *,
    as_json: bool,
    **fields: Any,  # noqa: ANN401 - of the decision
) -> None:
    site = registry.home
    first = site.auditor_key if kind == "approve" else site.approver_key
    signer = SigningKey.load(key or first)
    role = "approver" if signer.verifier == registry.approver else "auditor"
    log = member_log(site, role)

    def tell(signed: SignedDecision, before: Serving, after: Serving) -> None:
        log.append(_event(signed, before, after))

    state = registry.book.decide(name, signer, tell, kind=kind, at=utc_now(), **fields)
    if as_json:
        facts = {"model": name, "decision": state.number, "share": state.share}
        refs = {"live": state.live, "canary": state.canary}
        proposed = [one.decision.number for one in state.proposed]
        served = {role: None if ref is None else ref._asdict() for role, ref in refs.items()}
        print_json({**facts, **served, "proposed": proposed})
        return
    _say(registry.book.read(name).decisions[-1].decision, state)


def _say(decision: Decision, state: Serving) -> None:
    live = "none" if state.live is None else f"version {state.live.version}"
    beside = "" if state.canary is None else f", canary version {state.canary.version} ({state.share} %)"
    if decision.kind not in ("approve", "reject") and needs_two(decision):
        say(f"proposed as decision {decision.number}; it takes effect when another person approves it:")
        say(f'  hanse model approve {decision.model} --proposal {decision.number} --by NAME --reason "…"')
        if decision.kind == "canary" and not decision.overridden:
            say(f"  (one person alone can give a canary {ALONE_PERCENT} %)")
        return
    say(f"decision {decision.number} of {decision.model}: live {live}{beside}")


def _event(signed: SignedDecision, before: Serving, after: Serving) -> Event:
    """The entry of a decision: what it does, or that it is proposed; names and reasons stay in it."""
    decision = signed.decision
    about = decision
    if decision.kind in ("approve", "reject"):
        about = next(o.decision for o in before.proposed if o.decision.number == decision.proposal)
    in_force = decision.kind == "reject" or after.changed == after.number
    kind = "reject" if decision.kind == "reject" else about.kind
    return Event(
        type=_EFFECTS[kind] if in_force else EventType.MODEL_PROPOSED,
        reasons=tuple(f"gate.{name}" for name in about.overridden),
        model_in=None if before.live is None else before.live.manifest,
        model_out=about.manifest,
        serving=signed.digest,
        detail=about.kind,
    )
