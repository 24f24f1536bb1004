"""``hanse audit backup`` and ``hanse audit restore``: a verified copy, and a loss that is never silent."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.audit import Actor, LogReader, WitnessState
from hanse.audit.backup import write_backup
from hanse.audit.restoring import Restoration, notes_about, restore_log
from hanse.cli.common import Home, own_log, site_files, utc_now
from hanse.cli.output import Json, print_json, say
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError
from hanse.policies import Identity
from hanse.policies.site_key import held_keys

ROLE = "operator"


def backup(
    out: Annotated[Path, typer.Option(help="File for the backup; must not exist yet.", dir_okay=False)],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Copy this site's log while it is written to, and verify the copy.

    Example: [bold]hanse audit backup --home brand --out backups/brand-2026-06-01.db[/]

    The file is one moment of the log, complete in itself. Keep it on another disk than the log, and a
    checkpoint of the log somewhere else again: hanse audit verify --save. A log in PostgreSQL is backed
    up with the server's own tools; hanse audit verify --since shows that nothing was lost.
    """
    identity = Identity.load(MemberHome(home).identity)
    verifier = VerifierKey.decode(identity.node_key)
    held = write_backup(_file(home), out, verifier, origin=identity.name)
    if as_json:
        print_json({"origin": held.origin, "entries": held.size, "root": held.root.hex()})
        return
    say(f"wrote and verified {out}: {held.origin}, {held.size} entries, root {held.root.hex()}")


def restore(
    source: Annotated[Path, typer.Option("--from", help="Backup to restore.", exists=True, dir_okay=False)],
    home: Home = Path(),
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint of the log that somebody kept; repeatable.", exists=True, dir_okay=False
        ),
    ] = None,
    shared: Annotated[
        Path | None,
        typer.Option(
            help="Copy of the coordinator's log: this site's checkpoints in it count.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option(
            help="Copy of a witness' state (witness.db): what it co-signed counts; repeatable.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    *,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on although entries are missing; the log will say so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put this site's log back from a backup, unless entries would be lost that somebody knows of.

    Example: [bold]hanse audit restore --home brand --from backups/brand-2026-06-01.db
    --checkpoint brand.checkpoint --shared hub-audit.db[/]

    Stop the site's processes first. The backup is verified and compared with every checkpoint that you give,
    and with the log that is in its place now, which is kept under another name. If one is ahead, the missing
    entries are counted and nothing is restored (exit code 6). The next entry of the log, log.restored, states
    the sizes. Entries after the newest checkpoint leave no trace: bring every checkpoint that you can find.
    A backup from before the log's key was changed needs the old key in keys/former/, where hanse audit
    rotate-key put it; the log is then handed over to the key in use once more.
    """
    member, place = MemberHome(home), _file(home)
    identity, (key, *former) = Identity.load(member.identity), held_keys(site_files(home))
    actor = Actor(organisation=identity.name, key_id=key.verifier.key_id, role=ROLE)
    notes = [(str(path), path.read_bytes()) for path in checkpoint or ()]
    if shared is not None:
        notes += _in_shared_log(shared, identity.name)
    for path in witness or ():
        notes += _of_witness(path, identity.name)
    done = restore_log(
        source,
        place,
        key,
        actor,
        utc_now,
        origin=identity.name,
        former=former,
        notes=notes,
        accept_loss=accept_loss,
    )
    _report(done, as_json=as_json)


def _file(home: Path) -> Path:
    """The log's file.

    Raises:
        ConfigurationError: ``config.invalid`` if the log is in a database, which has backups of its own. A
            file that was put beside it would be a log that nobody reads.
    """
    place = own_log(home)
    if isinstance(place, str):
        raise ConfigurationError(
            "config.invalid",
            "this log is in PostgreSQL (audit_url): back it up and restore it with the server's own tools, "
            "as pg_dump, and show that nothing was lost with hanse audit verify --since CHECKPOINT",
        )
    return place


def _in_shared_log(path: Path, origin: str) -> list[tuple[str, bytes]]:
    with LogReader.open(path) as reader:
        return [
            (f"the shared log {path}", note) for note in notes_about(origin, reader.leaves(0, reader.size))
        ]


def _of_witness(path: Path, origin: str) -> list[tuple[str, bytes]]:
    newest = WitnessState.open(path).newest(origin)
    return [] if newest is None else [(f"the witness {path}", newest.note)]


def _report(done: Restoration, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "entries": done.size,
                "root": done.root.hex(),
                "newest_known": None if done.newest is None else done.newest.checkpoint.size,
                "known_by": None if done.newest is None else done.newest.holder,
                "missing": done.missing,
                "replaced": None if done.replaced is None else str(done.replaced),
            }
        )
        return
    say(f"restored {done.size} entries, root {done.root.hex()}; {_comparison(done)}")
    if done.replaced is not None:
        say(f"the log that was in the place is kept as {done.replaced}")


def _comparison(done: Restoration) -> str:
    if done.newest is None:
        return "nothing to compare with: nobody can tell what is missing. The log says so: log.restored"
    if done.missing:
        lost = f"{done.missing} entries that {done.newest.holder} knows of are lost"
        return f"{lost}. The log says so: log.restored"
    return f"nothing is missing that {done.newest.holder} knows of ({done.newest.checkpoint.size} entries)"
