"""``hanse quota``: what callers of the scorers have had of today's quotas."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.common import Home, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.server.scoring.lease_store import KEPT_DAYS, LeaseStore, Usage
from hanse.server.scoring.leases import day_of


def quota(
    home: Home = Path(),
    days: Annotated[int, typer.Option(help="How many days, today included.", min=1, max=KEPT_DAYS)] = 1,
    *,
    as_json: Json = False,
) -> None:
    """Show how many people each caller has asked about, and how many it still may.

    Example: [bold]hanse quota --home brand[/]

    Days are days in UTC. A scorer takes rows of a quota ahead of its calls. They count as used until it
    gives the rest back, when it stops; a scorer that is killed gives nothing back.
    """
    site = MemberHome(home)
    place = NodeSettings.load(home).consent_url or site.quotas
    since = day_of(utc_now()) - timedelta(days=days - 1)
    made = isinstance(place, str) or place.is_file()
    usages = LeaseStore(place).usage(since) if made else []
    if as_json:
        print_json([_facts(usage) for usage in usages])
    elif not usages:
        say("no caller has asked about anybody")
    else:
        columns = ("day", "agreement", "caller", "quota", "used", "left", "of the used, with scorers")
        rows = [list(_facts(usage).values()) for usage in usages]
        console().print(table("Quotas of rows (P27)", columns, rows))


def _facts(usage: Usage) -> dict[str, str | int]:
    return {
        "day": usage.day.isoformat(),
        "agreement": usage.account.agreement,
        "caller": usage.account.caller,
        "quota": usage.quota,
        "used": usage.out,
        "left": usage.left,
        "with_scorers": usage.leased,
    }
