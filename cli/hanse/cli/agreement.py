"""``hanse agreement``: draft, check, sign and show what everybody binds themselves to."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hanse.audit import Event, EventType
from hanse.cli.common import Home, member_log, model_kind, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.drafting import Draft, draft_agreement, known_identities, read_columns
from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, write_atomic
from hanse.errors import ConfigurationError, PolicyError
from hanse.learning import recommend
from hanse.policies import (
    DEFAULT_PACKS,
    Agreement,
    builtin_pack,
    check_agreement,
    missing_signers,
    read_unverified,
    require_no_gap,
    sign_agreement,
)

NOTE_START = b"hanse agreement v1\n"

app = typer.Typer(no_args_is_help=True, help="Draft, check, sign and show agreements.")

File = Annotated[
    Path, typer.Argument(help="Agreement: YAML, or the signed file.", exists=True, dir_okay=False)
]


@app.command("new")
def new(
    out: Annotated[Path, typer.Argument(help="YAML file to write.")],
    columns: Annotated[
        Path, typer.Option(help="Data dictionary: YAML list of columns with public edges or categories.")
    ],
    label: Annotated[str, typer.Option(help="Label column.")],
    positive: Annotated[str, typer.Option(help="Label value that is predicted.")],
    home: Home = Path(),
    identifier: Annotated[str, typer.Option("--id", help="Short name of the agreement.")] = "propensity",
    title: Annotated[str, typer.Option(help="One line for people.")] = "Shared propensity model",
    proposer: Annotated[str, typer.Option(help="Person who proposes.")] = "data scientist",
    auditor: Annotated[str, typer.Option(help="Person who audits.")] = "internal audit",
    assessment: Annotated[
        str, typer.Option(help="Reference of the impact assessment.")
    ] = "impact assessment",
    assessor: Annotated[
        str, typer.Option(help="Person who approved the impact assessment.")
    ] = "data protection office",
    packs: Annotated[
        list[str] | None, typer.Option("--pack", help="Rule pack; repeatable. Default: pipl and gdpr.")
    ] = None,
    minors: Annotated[bool, typer.Option("--minors", help="Children may be among the subjects.")] = False,
    model: Annotated[str, typer.Option(help="logistic or mlp.")] = "logistic",
    epsilon: Annotated[
        float | None, typer.Option(min=0.001, help="Privacy budget per record; leave out for none.")
    ] = None,
    delta: Annotated[float, typer.Option(help="Delta of the budget.")] = 1e-5,
    rows: Annotated[
        int, typer.Option(min=1, help="Rows per member, roughly; the training recipe depends on it.")
    ] = 5000,
    minimum_rows: Annotated[int, typer.Option(help="Admitted rows that a member needs to take part.")] = 1000,
    callers: Annotated[
        list[str] | None, typer.Option("--caller", help="System that may ask for scores; repeatable.")
    ] = None,
) -> None:
    """Draft an agreement between this site, the members it has enrolled, and the enrolled coordinator.

    Example: [bold]hanse agreement new deal.yaml --home brand --columns columns.yaml
    --label y --positive yes --epsilon 3[/]

    The draft is plain YAML: read it, change it, then `hanse agreement check` it.
    """
    identities = known_identities(MemberHome(home))
    members = sum(identity.role == "member" for identity in identities)
    draft = Draft(
        identifier=identifier,
        title=title,
        proposer=proposer,
        auditor=auditor,
        columns=read_columns(columns),
        label=label,
        positive=positive,
        training=recommend(model_kind(model), rows, members, epsilon),
        epsilon=epsilon,
        delta=delta,
        minimum_rows=minimum_rows,
        minimum_members=2,
        callers=callers or [],
        assessment=assessment,
        assessor=assessor,
        packs=[builtin_pack(name).reference for name in packs or DEFAULT_PACKS],
        may_contain_minors=minors,
    )
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    write_atomic(out, draft_agreement(draft, identities, utc_now()).to_yaml().encode())
    say(f"wrote {out}: {members} members. Next: hanse agreement check {out}")


@app.command("check")
def check(file: File, *, as_json: Json = False) -> None:
    """List every gap between an agreement and the rules: rule, article, what to do.

    Exit code 4 when there are any.

    Example: [bold]hanse agreement check deal.yaml[/]
    """
    agreement = _read(file)
    gaps = check_agreement(agreement, utc_now())
    if as_json:
        facts = [
            {"rule": g.rule, "articles": list(g.articles), "message": g.message, "remedy": g.remedy}
            for g in gaps
        ]
        print_json({"digest": agreement.digest, "gaps": facts})
    elif gaps:
        rows = [(g.rule, ", ".join(g.articles), g.message, g.remedy) for g in gaps]
        console().print(
            table(
                f"{len(gaps)} gaps in {file.name}", ("rule", "articles", "what is wrong", "what to do"), rows
            )
        )
    else:
        say(f"no gaps. Digest {agreement.digest}. Next, at every member: hanse agreement sign {file}")
    if gaps:
        raise typer.Exit(4)


@app.command("sign")
def sign(
    file: File,
    home: Home = Path(),
    out: Annotated[
        Path | None, typer.Option(help="Signed file; default: the input with the ending .agreement.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Approve an agreement with this member's approver key. An agreement with gaps cannot be signed.

    Example: [bold]hanse agreement sign deal.yaml --home brand[/], then pass deal.agreement on:
    [bold]hanse agreement sign deal.agreement --home insurer[/]
    """
    member_home = MemberHome(home)
    agreement = _read(file)
    require_no_gap(agreement, utc_now())
    data = file.read_bytes()
    key = SigningKey.load(member_home.approver_key)
    signed = sign_agreement(data if _is_note(data) else agreement, key)
    target = out or file.with_suffix(".agreement")
    event = Event(type=EventType.AGREEMENT_SIGNED, agreement=agreement.digest, purpose=agreement.purpose)
    member_log(member_home, "approver").append(event)
    write_atomic(target, signed)
    missing = [name for name, there in _signatures(agreement, signed).items() if not there]
    if as_json:
        print_json({"file": str(target), "digest": agreement.digest, "missing": missing})
        return
    after = (
        f"still to sign: {', '.join(missing)}"
        if missing
        else f"all have signed. Next: hanse run {target} --home {home}"
    )
    say(f"signed {target} as {key.name}; {after}")


@app.command("show")
def show(file: File, *, as_json: Json = False) -> None:
    """Show an agreement: who, what, for what, until when, and who has signed these exact bytes.

    Example: [bold]hanse agreement show deal.agreement[/]
    """
    agreement = _read(file)
    signatures = _signatures(agreement, file.read_bytes())
    if as_json:
        print_json(
            {
                "digest": agreement.digest,
                "signatures": signatures,
                "agreement": agreement.model_dump(mode="json"),
            }
        )
        return
    budget = agreement.privacy
    callers = ", ".join(caller.name for caller in agreement.scoring.callers)
    facts = [
        ("digest", agreement.digest),
        ("title", agreement.title),
        ("purpose", agreement.purpose),
        ("valid", f"{agreement.valid_from:%Y-%m-%d} to {agreement.valid_until:%Y-%m-%d}"),
        ("model", f"{agreement.training.model}, {agreement.training.rounds} rounds"),
        (
            "privacy",
            f"epsilon {budget.epsilon:g}, delta {budget.delta:g} per {budget.unit}, {budget.adjacency}"
            if budget
            else "none: updates carry no noise",
        ),
        (
            "scoring",
            f"{agreement.scoring.purpose}, by {callers or 'nobody'}",
        ),
        ("people", f"proposed by {agreement.proposer}, audited by {agreement.auditor}"),
    ]
    out = console()
    out.print(table(f"Agreement {agreement.id} version {agreement.version}", ("", ""), facts))
    rows = [
        (
            m.name,
            m.organisation,
            m.jurisdiction,
            m.role,
            "signed" if signatures[m.name] else Text("missing", style="red"),
        )
        for m in agreement.members
    ]
    out.print(table("Members", ("name", "organisation", "country", "role", "approval"), rows))
    cells = [
        (c.name, c.kind, c.classification, len(c.edges) or len(c.categories), c.necessity or "")
        for c in agreement.columns
    ]
    out.print(table("Columns", ("name", "kind", "class", "public cells", "necessity"), cells))


def _read(path: Path) -> Agreement:
    """Reads YAML or a signed file; the signatures are looked at elsewhere."""
    data = path.read_bytes()
    try:
        return read_unverified(data) if _is_note(data) else Agreement.from_yaml(data.decode())
    except UnicodeDecodeError as error:
        raise PolicyError("policy.invalid", f"{path} is not UTF-8 text") from error


def _is_note(data: bytes) -> bool:
    return data.startswith(NOTE_START)


def _signatures(agreement: Agreement, data: bytes) -> dict[str, bool]:
    """Per member, whether its approver has signed these exact bytes."""
    missing = missing_signers(data) if _is_note(data) else tuple(member.name for member in agreement.members)
    return {member.name: member.name not in missing for member in agreement.members}
