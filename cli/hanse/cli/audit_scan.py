"""``hanse audit scan``: is anybody of this site's data set in its logs, exports or metrics?"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hanse.cli.common import Home, own_log
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.scan import SAMPLE, Found, Search, listed_canaries, own_canaries, places_of, search

EXIT_FOUND = 6
_SHOWN = 40


def scan(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files and folders to search beside the site's own log.", exists=True),
    ] = None,
    home: Home = Path(),
    *,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Look for the values of this column of the data set, too; may be repeated."),
    ] = None,
    values: Annotated[
        Path | None,
        typer.Option(help="Look for the lines of this text file, too.", exists=True, dir_okay=False),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=0, help="How many people to look for, drawn by chance; 0 for all.")
    ] = SAMPLE,
    as_json: Json = False,
) -> None:
    """Look for this site's own people in its log, and in files that are to leave it. Exit code 6 if found.

    Identifiers and their pseudonyms are looked for as they are, in other case and character sets, escaped, in
    hex and base64, as telephone numbers with other separators, and as bare hashes. What is found is named by
    its row in the data set and never shown.

    Example: [bold]hanse audit scan --home brand --column email --column phone[/]

    Example: [bold]hanse audit scan brand.prom export.zip node.stderr --home brand --sample 0[/]
    """
    site = MemberHome(home)
    canaries = own_canaries(site, column or [], sample, np.random.default_rng())
    canaries += [] if values is None else listed_canaries(values)
    places = (place for path in [own_log(home), *(paths or [])] for place in places_of(path))
    result = search(places, canaries)
    if as_json:
        print_json(_facts(result))
    else:
        _show(result)
    if result.found:
        raise typer.Exit(EXIT_FOUND)


def _facts(result: Search) -> dict[str, object]:
    return {
        "found": [{"place": found.place, **found.sighting._asdict()} for found in result.found],
        "values": result.values,
        "too_short": result.too_short,
        "places": result.places,
        "bytes": result.size_bytes,
    }


def _show(result: Search) -> None:
    where = f"in {result.places:,} places ({result.size_bytes:,} bytes)"
    short = f"; {result.too_short:,} are too short to look for" if result.too_short else ""
    if not result.found:
        say(f"none of {result.values:,} values found {where}{short}")
        return
    shown = result.found[:_SHOWN]
    title = f"{len(result.found):,} times, one of {result.values:,} values {where}{short}"
    heads = ("where", "line", "what", "row", "written as")
    console().print(table(title, heads, map(_row, shown)))
    if len(shown) < len(result.found):
        say(f"and {len(result.found) - len(shown):,} more; --json lists all")
    say("Hand nothing of this out. Find out what wrote it, and who has it already.")


def _row(found: Found) -> tuple[object, ...]:
    sighting = found.sighting
    return found.place, sighting.line, sighting.kind, sighting.number, sighting.spelling
