"""``hanse audit watch``: follow a log while it is written, and verify it as it grows."""

import json
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from hanse.audit import Entry, LogReader
from hanse.cli.audit_sources import Address, Choice, is_remote, key_of, shared_log
from hanse.cli.common import Home, own_log, stop_on_signals
from hanse.cli.output import console, table
from hanse.client.home import MemberHome
from hanse.client.shared_log import SharedLogClient
from hanse.crypto import VerifierKey
from hanse.evidence.follow import Follower
from hanse.evidence.words import facts, says
from hanse.policies import Identity

POLL_S = 0.5

Row = tuple[int, Entry]


def watch(
    home: Home = Path(),
    log: Choice = None,
    since: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint that you saved earlier; the log must contain it.", exists=True, dir_okay=False
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many entries to show at once.")] = 20,
    address: Address = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for each line.")] = False,
) -> None:
    """Show the entries of a log as they are written, in plain words, until Ctrl-C.

    Example: [bold]hanse audit watch --home brand[/]

    Example: [bold]hanse audit watch --home brand --log shared --json[/]

    The log is read from its first entry, and every checkpoint must extend the one before: a log that is
    rewritten, forked or cut while you watch ends the command with exit code 6.
    """
    site, identity = MemberHome(home), Identity.load(MemberHome(home).identity)
    remote, stopping = is_remote(identity, log), stop_on_signals()
    known, saved = key_of(site, identity, remote=remote), None if since is None else since.read_bytes()
    with ExitStack() as opened:
        if remote:
            client = opened.enter_context(shared_log(site, identity, address))
            follower = Follower(known, saved, VerifierKey.decode(client.rotations()[0]))
            news = _from_service(client, follower, stopping)
        else:
            follower = Follower(known, saved, _first_key(own_log(home)))
            news = from_database(own_log(home), follower, stopping)
        _print_lines(news, follower) if as_json else show(news, follower, last)


def _first_key(place: Path | str) -> VerifierKey:
    with LogReader.open(place) as reader:
        return VerifierKey.decode(reader.first_key)


def from_database(
    place: Path | str, follower: Follower, stopping: threading.Event
) -> Iterator[Sequence[Row]]:
    """Reads what is new in a database, whenever its checkpoint changed.

    Args:
        place: The log: a file or a URL.
        follower: Checks it.
        stopping: Ends it, after a look.

    Yields:
        Index and entry of what is new.

    Raises:
        AuditError: If the log cannot be read, or is not the one that was seen before.
    """
    seen = b""
    while True:
        rows = None
        with LogReader.open(place) as reader:
            if reader.note != seen:
                seen = reader.note
                leaves = reader.leaves(follower.size, max(follower.size, reader.size))
                rows = follower.take(seen, leaves, reader.rotations)
        if rows is not None:
            yield rows
        if stopping.wait(POLL_S):
            return


def _from_service(
    client: SharedLogClient, follower: Follower, stopping: threading.Event
) -> Iterator[Sequence[Row]]:
    """What is new at the coordinator, as it tells of checkpoints."""
    for note in client.checkpoints(follower.size, stopping):
        size = follower.claimed_size(note)
        leaves = client.entries(follower.size, size) if size > follower.size else ()
        yield follower.take(note, leaves, lambda: client.rotations()[1])
        if stopping.is_set():
            return


def _print_lines(news: Iterator[Sequence[Row]], follower: Follower) -> None:
    for rows in news:
        for index, entry in rows:
            _line({"index": index, "says": says(entry), **entry.model_dump(mode="json", exclude_none=True)})
        _line({"verified": {"entries": follower.size, "root": follower.root.hex()}})


def _line(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show(news: Iterator[Sequence[Row]], follower: Follower, last: int) -> None:
    """Keeps a table of the newest entries on the screen.

    Args:
        news: What is new, again and again.
        follower: Knows up to where it was verified.
        last: How many entries the table has.
    """
    shown: deque[Row] = deque(maxlen=last)
    with Live(_table(shown, follower), console=console(), auto_refresh=False) as live:
        for rows in news:
            shown.extend(rows)
            live.update(_table(shown, follower), refresh=True)


def _table(shown: Sequence[Row], follower: Follower) -> Table:
    rows = [
        (
            index,
            entry.time[:19].replace("T", " "),
            f"{entry.actor.organisation} ({entry.actor.role})",
            says(entry),
            " ".join(str(part) for part in (entry.run, entry.round) if part is not None),
            facts(entry),
        )
        for index, entry in shown
    ]
    title = f"{follower.size} entries, verified up to root {follower.root.hex()[:16]}…; Ctrl-C ends"
    return table(title, ("entry", "time (UTC)", "who", "what", "run", "facts"), rows, whole=("time (UTC)",))
