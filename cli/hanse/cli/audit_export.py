"""``hanse audit export``, and ``hanse audit verify --package``: evidence in one file, made and checked."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hanse.audit import Event, EventType
from hanse.cli.audit_sources import Address, Choice, Which, is_remote, key_of, shared_log, signed_agreements
from hanse.cli.common import Home, member_log, own_log, site_key
from hanse.cli.output import EXIT_CODES, Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, sha256_hex, write_atomic
from hanse.errors import ConfigurationError, IdentityError
from hanse.evidence import Evidence, at_checkpoint, build_package, collect, verify
from hanse.evidence.recheck import check_more
from hanse.evidence.trust import policy_of
from hanse.policies import Identity

_COLOURS = {verify.OK: "green", verify.NOTE: "yellow", verify.FAIL: "bold red"}


def export(
    out: Annotated[Path, typer.Option(help="File for the package; must not exist yet.", dir_okay=False)],
    home: Home = Path(),
    log: Choice = None,
    run: Annotated[
        str | None,
        typer.Option(help="Disclose only the entries of this run; the others stay hashes. Default: all."),
    ] = None,
    address: Address = None,
    *,
    as_json: Json = False,
) -> None:
    """Write the log with all that proves it into one file that anybody can verify, without Hanse.

    Example: [bold]hanse audit export --home brand --out brand-2026.zip[/]

    Example: [bold]hanse audit export --home hub --run run-20260601-120000-a1b2c3 --out run.zip[/]

    The reviewer reads report.html in it and runs verify.py, on a machine of their own. What was handed out is
    logged here first (audit.exported, with the SHA-256 of the file).
    """
    site, identity = MemberHome(home), Identity.load(MemberHome(home).identity)
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file with --out")
    agreements = signed_agreements(home)
    evidence = _evidence(site, identity, log, run, address, agreements)
    data = build_package(evidence, site_key(home), agreements, run=run)
    member_log(site, "operator").append(
        Event(type=EventType.AUDIT_EXPORTED, run=run, package=sha256_hex(data))
    )
    write_atomic(out, data, overwrite=False)
    made = verify.Package(data)
    results = [*verify.check_package(made), *check_more(made)]
    failed = [f"{name}: {detail}" for name, verdict, detail in results if verdict == verify.FAIL]
    if as_json:
        print_json(
            {
                "out": str(out),
                "sha256": sha256_hex(data),
                "log": evidence.checkpoint.origin,
                "entries": evidence.checkpoint.size,
                "later_entries": evidence.later,
                "run": run,
                "fails": failed,
            }
        )
        return
    say(f"wrote {out}: {evidence.checkpoint.origin}, {evidence.checkpoint.size} entries, {len(data):,} bytes")
    say(f"SHA-256 {sha256_hex(data)}; logged as audit.exported")
    if evidence.later:
        say(f"{evidence.later} later entries are not in it: their checkpoint does not have the quorum yet")
    for failure in failed:
        say(f"a reviewer will see that this does not hold: {failure}")


def _evidence(
    site: MemberHome,
    identity: Identity,
    log: Which | None,
    run: str | None,
    address: str | None,
    agreements: dict[str, bytes],
) -> Evidence:
    shared_policy = partial(policy_of, agreements=agreements, run=run)
    if not is_remote(identity, log):
        return collect(own_log(site.root), shared_policy if identity.role == "coordinator" else None)
    with shared_log(site, identity, address) as client:
        first, rotations = client.rotations()
        note = client.checkpoint()
        leaves = list(client.entries(0, 0))
    evidence = at_checkpoint([*rotations, note], leaves, VerifierKey.decode(first), shared_policy)
    pinned = key_of(site, identity, remote=True)
    if pinned not in evidence.keys:
        detail = f"the coordinator's log never had the key {pinned.key_id}, which is enrolled here"
        raise IdentityError("identity.bad-key", detail)
    return evidence


def verify_package(
    path: Path, keys: Sequence[str], since: Path | None, save: Path | None, *, as_json: bool
) -> None:
    """Checks a package as ``verify.py`` does, and what only Hanse can check.

    Args:
        path: The package.
        keys: Verifier keys that the reviewer knows.
        since: A checkpoint that the reviewer saved earlier.
        save: Where to save the checkpoint of the package, if every check holds.
        as_json: Whether to print JSON.

    Raises:
        ConfigurationError: ``config.invalid`` if a key is none.
    """
    try:
        package = verify.Package(path.read_bytes(), keys, None if since is None else since.read_bytes())
    except verify.PackageError as error:
        raise ConfigurationError("config.invalid", str(error)) from error
    results = verify.check_package(package)
    results += check_more(package)
    failed = any(verdict == verify.FAIL for _, verdict, _ in results)
    if save is not None and not failed:
        write_atomic(save, package.file("checkpoint"))
    if as_json:
        checks = [{"check": name, "verdict": verdict, "detail": detail} for name, verdict, detail in results]
        print_json({"package": str(path), "verified": not failed, "checks": checks, "limits": verify.LIMITS})
    else:
        _show(path, results, failed=failed)
    if failed:
        raise typer.Exit(EXIT_CODES["audit"])


def _show(path: Path, results: Sequence[tuple[str, str, str]], *, failed: bool) -> None:
    rows = [(Text(verdict, _COLOURS[verdict]), name, _plain(detail)) for name, verdict, detail in results]
    console().print(table(path.name, ("", "check", "outcome"), rows, whole=("", "check")))
    say("What this does not show:")
    for limit in verify.LIMITS:
        say(f"  {limit};")
    say("NOT VERIFIED" if failed else "verified; mind the notes")


def _plain(text: str) -> str:
    """Text from a package without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
