"""``hanse consent``: import consent events, withdraw consent. Identifiers stay on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.audit import ConsentState, Counts, Event, EventType
from hanse.cli.common import Home, member_log, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.crypto import read_secret
from hanse.policies import ConsentLedger, Pseudonymiser

app = typer.Typer(no_args_is_help=True, help="The consent ledger of this site.")


@app.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(help="CSV with consent events.", exists=True, dir_okay=False)],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Import consent events from a CSV file. Bad rows are refused one by one, good ones are kept.

    A column subject may hold this site's own identifiers, in the place of subject_ref; only their pseudonyms
    are kept.

    Example: [bold]hanse consent import consent.csv --home brand[/]
    """
    site = MemberHome(home)
    pseudonymiser = Pseudonymiser(read_secret(site.pseudonym_key))
    with ConsentLedger(site.consent) as ledger:
        report = ledger.ingest_csv(file, utc_now(), pseudonymiser)
        head = ledger.head()
    rows = report.accepted + report.repeated + report.refused_total
    counts = Counts(rows_in=rows, rows_out=report.accepted)
    consent = ConsentState(head=head, size=report.accepted)
    member_log(site, "operator").append(
        Event(type=EventType.CONSENT_RECORDED, counts=counts, consent=consent)
    )
    if as_json:
        refused = [{"line": line, "reason": reason} for line, reason in report.refused]
        totals = {"repeated": report.repeated, "refused_total": report.refused_total}
        print_json({"accepted": report.accepted, **totals, "refused": refused})
        return
    say(f"{report.accepted} events accepted, {report.repeated} known before, {report.refused_total} refused")
    if report.refused:
        console().print(table("Refused", ("line", "reason"), report.refused))


@app.command("withdraw")
def withdraw(
    subject: Annotated[str, typer.Argument(help="This site's identifier of the subject.")],
    purpose: Annotated[str, typer.Option(help="Purpose that is withdrawn, with everything below it.")],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Withdraw a subject's consent: the next round and the next scoring call are without it.

    Example: [bold]hanse consent withdraw C-1042 --purpose joint_modelling --home brand[/]
    """
    site = MemberHome(home)
    ref = Pseudonymiser(read_secret(site.pseudonym_key)).ref(subject)
    with ConsentLedger(site.consent) as ledger:
        head = ledger.withdraw(ref, purpose, utc_now())
    event = Event(type=EventType.CONSENT_WITHDRAWN, purpose=purpose, consent=ConsentState(head=head, size=1))
    member_log(site, "operator").append(event)
    if as_json:
        print_json({"head": head, "purpose": purpose})
        return
    say(
        f"withdrawn for {purpose}; effective from the next round and the next scoring call "
        f"(ledger event {head})"
    )
