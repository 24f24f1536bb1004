"""``hanse agreement``: draft, check, sign and show what everybody binds themselves to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hanse.audit import Event, EventType
from hanse.cli import agreement_documents, agreement_new, agreement_versions
from hanse.cli.agreement_files import AnyHome, File, is_note, policy_here, read_agreement, said, signatures
from hanse.cli.agreement_vertical import ASSUMED, vertical_facts
from hanse.cli.common import Home, member_log, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.cli.policy import LEGAL_NOTE, Lang, Language
from hanse.client.home import MemberHome
from hanse.client.packs import policy_of
from hanse.crypto import SigningKey, write_atomic
from hanse.policies import Agreement, Column, Gap, Member, check_agreement, require_no_gap, sign_agreement
from hanse.policies.agreement.vertical_statements import relied_on
from hanse.policies.agreement.words import listed, same, value, word
from hanse.policies.fields import format_time
from hanse.policies.rules import Wording

app = typer.Typer(
    no_args_is_help=True, help="Draft, check, sign, amend and end agreements; generate their documents."
)
app.command("new")(agreement_new.new)


@app.command("check")
def check(file: File, home: AnyHome = None, lang: Lang = Language.EN, *, as_json: Json = False) -> None:
    """List every gap between an agreement and the rules: rule, article, where, what is wrong, what to do.

    Exit code 4 when there are any.

    Example: [bold]hanse agreement check deal.yaml --home brand --lang zh[/]

    With --home, the rule packs that this member has adopted count; without it, the built-in ones.
    """
    agreement = read_agreement(file)
    gaps = check_agreement(agreement, policy_here(agreement, home), utc_now())
    if as_json:
        print_json({"digest": agreement.digest, "gaps": [_gap(gap) for gap in gaps]})
    elif gaps:
        rows = [
            (
                gap.rule,
                ", ".join(gap.articles),
                gap.where or "agreement",
                "\n".join((said(gap.message, lang), *gap.unmet)),
                said(gap.remedy, lang),
            )
            for gap in gaps
        ]
        heads = ("rule", "articles", "where", "what is wrong", "what to do")
        console().print(
            table(
                f"{len(gaps)} gap{'' if len(gaps) == 1 else 's'} in {file.name}", heads, rows, whole=("rule",)
            )
        )
        say(LEGAL_NOTE)
    else:
        say(f"no gaps. Digest {agreement.digest}. Next, at every member: hanse agreement sign {file}")
        if agreement.vertical is not None:
            relied = relied_on(agreement.vertical, agreement.training.model)
            say(f"{said(ASSUMED, lang)} {said(relied, lang)}")
    if gaps:
        raise typer.Exit(4)


def _gap(gap: Gap) -> dict[str, object]:
    both = {"message": gap.message, "remedy": gap.remedy}
    return {
        "rule": gap.rule,
        "articles": list(gap.articles),
        "where": gap.where,
        "unmet": list(gap.unmet),
        **{name: {"en": text.en, "zh": text.zh} for name, text in both.items()},
    }


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
    agreement = read_agreement(file)
    require_no_gap(agreement, policy_of(member_home, agreement), utc_now())
    data = file.read_bytes()
    key = SigningKey.load(member_home.approver_key)
    signed = sign_agreement(data if is_note(data) else agreement, key)
    target = out or file.with_suffix(".agreement")
    event = Event(type=EventType.AGREEMENT_SIGNED, agreement=agreement.digest, purpose=agreement.purpose)
    member_log(member_home, "approver").append(event)
    write_atomic(target, signed)
    missing = [name for name, there in signatures(agreement, signed).items() if not there]
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
def show(file: File, lang: Lang = Language.EN, *, as_json: Json = False) -> None:
    """Show an agreement: who, what, for what, until when, and who has signed these exact bytes.

    Example: [bold]hanse agreement show deal.agreement[/]
    """
    agreement = read_agreement(file)
    signed = signatures(agreement, file.read_bytes())
    if as_json:
        print_json(
            {"digest": agreement.digest, "signatures": signed, "agreement": agreement.model_dump(mode="json")}
        )
        return
    out = console()
    facts = [(name, said(text, lang)) for name, text in _facts(agreement)]
    out.print(table(f"Agreement {agreement.id} version {agreement.version}", ("", ""), facts))
    rows = [(*_member(m, lang), _signature(there=signed[m.name])) for m in agreement.members]
    heads = ("name", "organisation", "law", "data in", "role", "approver", "notices", "approval")
    out.print(table("Members", heads, rows))
    cells = [_column(column, lang) for column in agreement.columns]
    names = ("name", "kind", "class", "public cells", "required", "goes to", "necessity")
    out.print(table("Columns", names, cells))
    if agreement.vertical is not None:
        rows_of_terms = [(name, said(text, lang)) for name, text in vertical_facts(agreement)]
        out.print(table("Vertical collaboration", ("", ""), rows_of_terms))
    callers = [
        (
            c.name,
            c.daily_quota,
            *(said(value(v), lang) for v in (c.opt_out_available, c.non_personalised_path)),
        )
        for c in agreement.scoring.callers
    ]
    out.print(table("Callers", ("name", "people a day", "can say no", "served without a score"), callers))


def _signature(*, there: bool) -> Text | str:
    return "signed" if there else Text("missing", style="red")


def _facts(agreement: Agreement) -> Iterator[tuple[str, Wording]]:
    budget, scoring = agreement.privacy, agreement.scoring
    yield "digest", same(agreement.digest)
    yield "supersedes", value(agreement.supersedes)
    yield "title", same(agreement.title)
    yield "purpose", same(agreement.purpose)
    yield (
        "legal basis",
        listed((word("consent"), *(same(f"{o.member}: {o.basis}") for o in agreement.overrides))),
    )
    yield "rule packs", listed(same(f"{pack.id}/{pack.version}") for pack in agreement.packs)
    yield "valid", same(f"{agreement.valid_from:%Y-%m-%d} to {agreement.valid_until:%Y-%m-%d}")
    yield "minors", value(agreement.may_contain_minors)
    yield "model", same(f"{agreement.training.model}, {agreement.training.rounds} rounds")
    yield (
        "privacy",
        same(
            f"epsilon {budget.epsilon:g}, delta {budget.delta:g} per {budget.unit}, {budget.adjacency}"
            if budget
            else "none: updates carry no noise"
        ),
    )
    callers = ", ".join(caller.name for caller in scoring.callers)
    yield "scoring", same(f"{scoring.purpose}, by {callers or 'nobody'}")
    effects = (scoring.significant_effect, scoring.human_review, scoring.reason_codes)
    yield "significant effect, human review, reason codes", listed(map(value, effects))
    yield "border", listed((word(agreement.border.mechanism), value(agreement.border.reference)))
    yield "other places", value(agreement.border.other_places)
    kept = agreement.retention
    yield (
        "kept, days",
        same(f"rows {kept.rows_days}, on the way {kept.intermediates_days}, models {kept.model_days}"),
    )
    yield from _assessment(agreement)
    yield "people", same(f"proposed by {agreement.proposer}, audited by {agreement.auditor}")


def _assessment(agreement: Agreement) -> Iterator[tuple[str, Wording]]:
    made = agreement.assessment
    until = f"{format_time(made.approved_at)} to {format_time(made.expires_at)}"
    yield "assessment", same(f"{made.reference}, approved by {made.approver}, {until}")
    yield "assessment's digest", value(made.digest)
    yield "rehearsal's digest", value(made.rehearsal)


def _member(member: Member, lang: Language) -> tuple[str, ...]:
    notices = ", ".join(f"{notice.version} ({notice.published_at:%Y-%m-%d})" for notice in member.notices)
    contract = member.contract
    role = said(word(member.role), lang)
    if contract is not None:
        role = f"{role}: {contract.reference}, until {contract.until:%Y-%m-%d}, then {contract.at_end}"
    places = (member.jurisdiction, member.storage_country)
    return (member.name, member.organisation, *places, role, member.approver, notices or "none")


def _column(column: Column, lang: Language) -> tuple[str, ...]:
    kind = f"{column.classification}{f': {column.special}' if column.special else ''}"
    goes = ", ".join(item.to for item in column.disclosure if item.form != "none")
    return (
        column.name,
        column.kind,
        kind,
        str(len(column.edges) or len(column.categories)),
        said(value(column.required), lang),
        goes or "nobody",
        column.necessity or "",
    )


app.command("assess")(agreement_documents.assess_agreement)
app.command("records")(agreement_documents.records_of)
app.command("diff")(agreement_versions.diff)
app.command("amend")(agreement_versions.amend_file)
app.command("accept")(agreement_versions.accept)
app.command("terminate")(agreement_versions.terminate_agreement)
app.command("attest")(agreement_versions.attest_end)
