"""``hanse audit witness`` and ``hanse audit refusals``: an outside witness, and what a witness refused."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.audit import Event, EventType
from hanse.cli.common import Home, member_log, stop_on_signals, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.auditor import run_auditor
from hanse.client.home import MemberHome
from hanse.client.refusals import kept, review

EXIT_OPEN = 3


def witness(
    home: Home = Path(),
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT where the coordinator answers; default: as in the folder's hanse.toml."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Follow the coordinator's log as an outside auditor and co-sign it, until Ctrl-C.

    Example: [bold]hanse audit witness --home watchdog --address hub.example:9201[/]

    The folder is made by `hanse init auditor`; the coordinator enrols its identity.json, and the agreement
    lists it under evidence.auditors. A log that was rewritten, forked or cut is refused: see `hanse audit
    refusals`. A member's node is a witness by itself and does not need this command.
    """

    def told(size: int) -> None:
        if as_json:
            print_json({"cosigned": size})
        else:
            say(f"co-signed the log with {size} entries")

    run_auditor(MemberHome(home), address, told, stop_on_signals(), utc_now)


def refusals(
    home: Home = Path(),
    reviewed_by: Annotated[
        str | None,
        typer.Option(help="Note that this person has looked at all of them; the site then goes on."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the checkpoints of the coordinator's log that this site's witness has refused.

    Example: [bold]hanse audit refusals --home brand[/], and once you know what happened:
    [bold]hanse audit refusals --home brand --reviewed-by "Berta Brand"[/]

    While one is open, the node takes part in no round. Keep the folder of each: for a fork, its two notes
    convict whoever holds the coordinator's key. Exit code 3 while any is open.
    """
    site = MemberHome(home)
    if reviewed_by is not None and (found := review(site, reviewed_by, utc_now())):
        events = [Event(type=EventType.WITNESS_REVIEWED, peer=one.peer, detail=one.token) for one in found]
        member_log(site, "operator").append(*events)
    shown = list(kept(site))
    if as_json:
        print_json(
            [
                {
                    "folder": str(one.folder),
                    "log": one.origin,
                    "kind": one.kind,
                    "at": one.at,
                    "detail": one.detail,
                    "reviewed_by": one.reviewed_by,
                }
                for one in shown
            ]
        )
    else:
        rows = [(one.at, one.origin, one.kind, one.reviewed_by or "nobody", one.folder.name) for one in shown]
        headings = ("at (UTC)", "log", "kind", "reviewed by", "evidence")
        console().print(table(f"{len(shown)} refusals in {site.evidence}", headings, rows, whole=("kind",)))
    if any(one.reviewed_by is None for one in shown):
        raise typer.Exit(EXIT_OPEN)
