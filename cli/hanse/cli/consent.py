"""``hanse consent``: events come in, subjects withdraw, hide data and get receipts. Identifiers stay here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hanse.audit import ConsentState, Counts, Event, EventType
from hanse.cli.common import Home, member_log, site_key, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.consents import open_events, open_ledger
from hanse.client.home import MemberHome
from hanse.client.peers import own_keys
from hanse.client.receipt_files import read_receipt, write_receipt
from hanse.crypto import read_secret
from hanse.errors import ConfigurationError
from hanse.policies import IngestReport, Pseudonymiser, Standing
from hanse.policies.consent import Folding
from hanse.policies.fields import from_ms, to_ms
from hanse.policies.ledger.intake import Source
from hanse.policies.ledger.sql_rows import open_sql
from hanse.policies.receipts import check_receipt, make_receipt, open_receipt

app = typer.Typer(no_args_is_help=True, help="The consent ledger of this site.")

Subject = Annotated[str, typer.Argument(help="This site's identifier of the subject.")]


@app.command("import")
def import_events(
    file: Annotated[
        Path | None,
        typer.Argument(help="Consent events: .csv, .csv.gz or .parquet.", exists=True, dir_okay=False),
    ] = None,
    home: Home = Path(),
    *,
    sql: Annotated[str | None, typer.Option(help="URL of a database to read them from instead.")] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT to run there.")] = None,
    as_json: Json = False,
) -> None:
    """Import consent events. Bad rows are refused one by one, good ones are kept.

    A column subject may hold this site's own identifiers, in the place of subject_ref; only their pseudonyms
    are kept.

    Example: [bold]hanse consent import consent.csv --home brand[/]

    Example: [bold]hanse consent import --sql sqlite:///crm.db --query "SELECT * FROM consents" -C brand[/]
    """
    site = MemberHome(home)
    pseudonymiser = Pseudonymiser(read_secret(site.pseudonym_key))
    with _opened(file, sql, query) as source, open_ledger(site) as ledger:
        with _progress(quiet=as_json) as told:
            report = ledger.ingest(source, utc_now(), pseudonymiser, told)
        head = ledger.head()
    rows = report.accepted + report.repeated + report.refused_total
    counts = Counts(rows_in=rows, rows_out=report.accepted)
    consent = ConsentState(head=head, size=report.accepted)
    _log(site, Event(type=EventType.CONSENT_RECORDED, counts=counts, consent=consent))
    _print_report(report, as_json=as_json)
    if report.stopped is not None:
        raise ConfigurationError("config.bad-data", f"{report.stopped}; what came before it is recorded")


@app.command("withdraw")
def withdraw(
    subject: Subject,
    purpose: Annotated[str, typer.Option(help="Purpose that is withdrawn, with everything below it.")],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Withdraw a subject's consent: the next round and the next scoring call are without it.

    Example: [bold]hanse consent withdraw C-1042 --purpose joint_modelling --home brand[/]
    """
    site = MemberHome(home)
    with open_ledger(site) as ledger:
        head = ledger.withdraw(_ref(site, subject), purpose, utc_now())
    consent = ConsentState(head=head, size=1)
    _log(site, Event(type=EventType.CONSENT_WITHDRAWN, purpose=purpose, consent=consent))
    if as_json:
        print_json({"head": head, "purpose": purpose})
        return
    say(
        f"withdrawn for {purpose}; effective from the next round and the next scoring call "
        f"(ledger event {head})"
    )


@app.command("fold")
def fold(
    subject: Subject,
    purpose: Annotated[str, typer.Option(help="Purpose for which data is hidden, with all below it.")],
    home: Home = Path(),
    *,
    column: Annotated[list[str] | None, typer.Option(help="Column to hide; may be repeated.")] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Class of data to hide: basic, behavioural, transaction or sensitive."),
    ] = None,
    nothing: Annotated[bool, typer.Option("--nothing", help="Hide nothing any more.")] = False,
    as_json: Json = False,
) -> None:
    """Hide a subject's columns, or classes of data, for a purpose, in the place of what was hidden before.

    The consent itself stands as it is. A new consent does not show the data again; only --nothing does.

    Example: [bold]hanse consent fold C-1042 --purpose joint_modelling --column km_per_month --home brand[/]

    Example: [bold]hanse consent fold C-1042 --purpose joint_modelling --nothing --home brand[/]
    """
    columns, categories = column or [], category or []
    if nothing == bool(columns or categories):
        raise typer.BadParameter("name what to hide with --column and --category, or say --nothing")
    site = MemberHome(home)
    with open_ledger(site) as ledger:
        head = ledger.fold(_ref(site, subject), purpose, columns, categories, utc_now())
    _log(site, Event(type=EventType.CONSENT_FOLDED, purpose=purpose, consent=ConsentState(head=head, size=1)))
    if as_json:
        facts = {"hidden_columns": columns, "hidden_categories": categories}
        print_json({"head": head, "purpose": purpose, **facts})
        return
    say(f"hidden for {purpose}: {', '.join([*columns, *categories]) or 'nothing'} (ledger event {head})")


@app.command("show")
def show(subject: Subject, home: Home = Path(), *, as_json: Json = False) -> None:
    """Show what stands for a subject, purpose by purpose, and what is hidden.

    Example: [bold]hanse consent show C-1042 --home brand[/]
    """
    site = MemberHome(home)
    ref, now = _ref(site, subject), utc_now()
    with open_ledger(site) as ledger:
        snapshot = ledger.snapshot(now, [ref])
    standings = {purpose: subjects[ref] for purpose, subjects in sorted(snapshot.standings.items())}
    foldings = {purpose: subjects[ref] for purpose, subjects in sorted(snapshot.foldings.items())}
    uses = sorted(standings.keys() | foldings.keys())
    facts = [_standing_facts(use, standings.get(use), foldings.get(use), to_ms(now)) for use in uses]
    if as_json:
        print_json({"head": snapshot.head, "purposes": facts})
        return
    if not facts:
        say("nothing is recorded about this subject; they are in no round and no score")
        return
    columns = ("purpose", "state", "given", "expires", "notice", "hidden")
    rows = [[fact["purpose"], fact["state"], *_cells(fact)] for fact in facts]
    console().print(table("What stands", columns, rows, whole=("purpose", "state")))


@app.command("receipt")
def receipt(
    subject: Subject,
    purpose: Annotated[str, typer.Option(help="Purpose whose last decision the receipt records.")],
    out: Annotated[Path, typer.Option(help="File for the subject; it holds a secret.", dir_okay=False)],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Write a receipt for the subject: a signed copy of the record, and the subject's secret.

    With receipt and secret the subject can find out, now and later, which runs and model versions used the
    subject's row: see `hanse subject`. The site keeps the secret, too, until `hanse consent forget`; nobody
    else has it.

    Example: [bold]hanse consent receipt C-1042 --purpose joint_modelling --out receipt.json --home brand[/]
    """
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    site = MemberHome(home)
    with open_ledger(site) as ledger:
        key = site_key(home)
        note, secret = make_receipt(ledger, _ref(site, subject), purpose, key, utc_now())
        head = ledger.head()
    _log(
        site, Event(type=EventType.CONSENT_RECEIPT, purpose=purpose, consent=ConsentState(head=head, size=1))
    )
    write_receipt(out, note, secret)
    if as_json:
        print_json({"file": str(out), "purpose": purpose})
        return
    say(f"{out}: hand it to the subject and delete it here; it holds the subject's secret")


@app.command("forget")
def forget(subject: Subject, home: Home = Path(), *, as_json: Json = False) -> None:
    """Forget a subject's secret: only the subject's own receipt leads to its traces in the log any more.

    Every consent has to be withdrawn, or over, before. The history of the consent stays; that a secret was
    forgotten, and when, is kept. With the subject's own copy of the secret, `hanse subject prove` still
    answers for the time before. It cannot be undone; delete the secret from backups as well.

    Example: [bold]hanse consent forget C-1042 --home brand[/]
    """
    site = MemberHome(home)
    with open_ledger(site) as ledger:
        forgotten = ledger.forget(_ref(site, subject), utc_now())
        head = ledger.head()
    if forgotten:
        _log(site, Event(type=EventType.CONSENT_FORGOTTEN, consent=ConsentState(head=head, size=1)))
    if as_json:
        print_json({"forgotten": forgotten})
        return
    say("the secret is forgotten" if forgotten else "there is no secret of this subject")


@app.command("check-receipt")
def check(
    file: Annotated[Path, typer.Argument(help="A receipt.", exists=True, dir_okay=False)],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Check a receipt of this site, and say what stands now of what it records.

    Example: [bold]hanse consent check-receipt receipt.json --home brand[/]
    """
    site = MemberHome(home)
    given = read_receipt(file)
    opened = open_receipt(given.note, *own_keys(site))
    with open_ledger(site) as ledger:
        status = check_receipt(ledger, opened, utc_now())
    genuine = given.secret is not None and opened.is_for(given.secret)
    if as_json:
        print_json({"recorded": status.recorded, "secret": genuine, "states": dict(status.states)})
        return
    say("the ledger has this event" if status.recorded else "the ledger has another event in its place")
    say(
        "the secret is that of the receipt"
        if genuine
        else "the secret is NOT that of the receipt, or is not there"
    )
    rows = [
        (use, state, "yes" if use in status.decided_by_it else "no") for use, state in status.states.items()
    ]
    console().print(table("What stands now", ("purpose", "state", "decided by this event"), rows))


@app.command("heartbeat")
def heartbeat(home: Home = Path(), *, as_json: Json = False) -> None:
    """Note that the sources of the ledger were asked and had nothing new.

    A ledger that nothing has fed for long keeps its subjects out of runs; this says that it is up to date.

    Example: [bold]hanse consent heartbeat --home brand[/]
    """
    site = MemberHome(home)
    now = utc_now()
    with open_ledger(site) as ledger:
        ledger.heartbeat(now)
        head = ledger.head()
    _log(site, Event(type=EventType.CONSENT_SYNCED, consent=ConsentState(head=head, size=0)))
    if as_json:
        print_json({"head": head, "synced_at": now.isoformat()})
        return
    say(f"in step with its sources since now (ledger event {head})")


@app.command("expire")
def expire(home: Home = Path(), *, as_json: Json = False) -> None:
    """Record the end of every consent whose time is over, so that the history shows it.

    The rules do not wait for it: an ended consent admits nothing from its last second on.

    Example: [bold]hanse consent expire --home brand[/]
    """
    site = MemberHome(home)
    with open_ledger(site) as ledger:
        recorded = ledger.expire(utc_now())
        head = ledger.head()
    _log(site, Event(type=EventType.CONSENT_EXPIRED, consent=ConsentState(head=head, size=recorded)))
    if as_json:
        print_json({"head": head, "expired": recorded})
        return
    say(f"{recorded} consents recorded as expired (ledger event {head})")


def _ref(site: MemberHome, subject: str) -> str:
    """The subject's pseudonym; the identifier goes no further."""
    return Pseudonymiser(read_secret(site.pseudonym_key)).ref(subject)


def _log(site: MemberHome, event: Event) -> None:
    member_log(site, "operator").append(event)


@contextmanager
def _opened(file: Path | None, sql: str | None, query: str | None) -> Iterator[Source]:
    """The source that the options name: a file, or a query."""
    if file is not None and sql is None and query is None:
        with open_events(file) as source:
            yield source
    elif file is None and sql is not None and query is not None:
        with open_sql(sql, query) as source:
            yield source
    else:
        raise typer.BadParameter("name a file, or a database with --sql and --query")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Says how many rows were read, on a terminal; standard output is left to the result."""
    if quiet:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rows", total=None)
        yield lambda rows: progress.update(task, completed=rows)


def _print_report(report: IngestReport, *, as_json: bool) -> None:
    if as_json:
        refused = [{"line": line, "reason": reason} for line, reason in report.refused]
        totals = {"repeated": report.repeated, "refused_total": report.refused_total}
        print_json({"accepted": report.accepted, **totals, "refused": refused, "stopped": report.stopped})
        return
    say(f"{report.accepted} events accepted, {report.repeated} known before, {report.refused_total} refused")
    if report.refused:
        console().print(table("Refused", ("line", "reason"), report.refused))


def _standing_facts(
    use: str, standing: Standing | None, folding: Folding | None, now_ms: int
) -> dict[str, object]:
    """What stands for one purpose, in plain words."""
    terms = None if standing is None else standing.terms
    ended = standing is not None and standing.has_ended(now_ms)
    return {
        "purpose": use,
        "state": "expired" if ended else "nothing" if standing is None else standing.state,
        "given_at": _time(None if standing is None else standing.given_ms),
        "expires_at": _time(None if standing is None else standing.expires_ms),
        "ended_at": _time(None if standing is None else standing.barrier_ms),
        "notice_version": None if terms is None else terms.notice_version,
        "method": None if terms is None else terms.method,
        "guardian": standing is not None and standing.guardian,
        "hidden_columns": [] if folding is None else sorted(folding.hidden_columns),
        "hidden_categories": [] if folding is None else sorted(folding.hidden_categories),
    }


def _cells(fact: dict[str, object]) -> list[object]:
    hidden = [*_texts(fact["hidden_columns"]), *_texts(fact["hidden_categories"])]
    shown = [fact[name] or "" for name in ("given_at", "expires_at", "notice_version")]
    return [*shown, ", ".join(hidden)]


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _time(ms: int | None) -> str | None:
    return None if ms is None else f"{from_ms(ms):%Y-%m-%d %H:%M} UTC"
