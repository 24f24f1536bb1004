"""``hanse audit``: read and verify logs, offline, without trusting whoever keeps them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from hanse.audit import Counts, VerifiedLog, verify_log
from hanse.audit.completeness import Finding
from hanse.audit.policy_file import TrustPolicy
from hanse.cli import audit_export, audit_findings
from hanse.cli.audit_quorum import (
    PolicyFile,
    policy_for,
    quorum_facts,
    read_trust,
    require_used,
    show_quorum,
)
from hanse.cli.common import Home, own_log, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import Identity

app = typer.Typer(no_args_is_help=True, help="Verify and read audit logs.")

Log = Annotated[
    Path | None, typer.Option(help="Log file; default: the log of the site.", exists=True, dir_okay=False)
]
Key = Annotated[
    str | None, typer.Option(help="Verifier key of the log (name+id+key); default: the site's identity.")
]


@app.command("verify")
def verify(
    home: Home = Path(),
    log: Log = None,
    key: Key = None,
    since: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint that you saved earlier; the log must still contain it.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the checkpoint of this verification, for --since next time.")
    ] = None,
    *,
    shared: Annotated[
        Path | None,
        typer.Option(help="The coordinator's shared log, to compare with.", exists=True, dir_okay=False),
    ] = None,
    member: Annotated[
        list[Path] | None,
        typer.Option(
            help="Log of a member, to compare with the shared log; may be repeated.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    policy: PolicyFile = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of a log to compare with; default: the identities in peers/."),
    ] = None,
    package: Annotated[
        Path | None,
        typer.Option(
            help="An evidence package, in the place of a log; --key and --trust name keys that you know.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay every byte of a log: hashes, signatures, order; then tell what it leaves out or contradicts.

    Exit code 6 if it does not verify, or if there is a finding that is more than a note.

    Example: [bold]hanse audit verify --home brand --save brand.checkpoint[/]

    Example: [bold]hanse audit verify --home brand --shared shared.db[/]

    Example: [bold]hanse audit verify --home hub --member brand.db --member insurer.db[/]

    Example: [bold]hanse audit verify --home hub --policy propensity.agreement[/]

    Example: [bold]hanse audit verify --package brand-2026.zip --since brand.checkpoint[/]

    Without --since a key holder who rewrote the whole log would not be noticed: keep a checkpoint. Without
    the other side's log, a member could tell itself another story than it told the others.
    """
    if package is not None:
        if policy is not None:
            raise ConfigurationError("config.invalid", "a package has its policy in it; leave out --policy")
        keys = [*([key] if key else []), *(trust or [])]
        audit_export.verify_package(package, keys, since, save, as_json=as_json)
        return
    whose = None if policy is None else read_trust(policy)
    verified = _verify(home, log, key, None if since is None else since.read_bytes(), whose)
    others = audit_findings.read_others(
        [*([shared] if shared else []), *(member or [])],
        audit_findings.trusted_keys(home, trust or []),
        whose,
    )
    require_used(whose, [verified, *others])
    findings = audit_findings.find([verified, *others], utc_now())
    if save is not None:
        write_atomic(save, verified.checkpoint)
    _show_verified(verified, others, findings, compared=since is not None, as_json=as_json)
    if any(not finding.is_note for finding in findings):
        raise typer.Exit(audit_findings.EXIT_INCOMPLETE)


def _show_verified(
    verified: VerifiedLog,
    others: Sequence[VerifiedLog],
    findings: Sequence[Finding],
    *,
    compared: bool,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "origin": verified.origin,
                "entries": verified.size,
                "root": verified.root.hex(),
                "compared": compared,
                "held_against": [other.origin for other in others],
                "quorum": quorum_facts([verified, *others]),
                "findings": audit_findings.facts(findings),
            }
        )
        return
    saved = (
        "and contains the saved checkpoint" if compared else "(no earlier checkpoint given to compare with)"
    )
    say(f"verified {verified.origin}: {verified.size} entries, root {verified.root.hex()} {saved}")
    for other in others:
        say(f"verified {other.origin}: {other.size} entries, root {other.root.hex()}, to compare with")
    show_quorum([verified, *others])
    audit_findings.show(findings)


@app.command("show")
def show(
    home: Home = Path(),
    log: Log = None,
    key: Key = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the last entries.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """Show the last entries of a log, after verifying it.

    Example: [bold]hanse audit show --home brand --last 20[/]
    """
    entries = _verify(home, log, key, None, None).entries
    first = max(0, len(entries) - last)
    shown = list(enumerate(entries[first:], first))
    if as_json:
        print_json(
            [{"index": index, **entry.model_dump(mode="json", exclude_none=True)} for index, entry in shown]
        )
        return
    rows = [
        (
            i,
            e.time[:19].replace("T", " "),
            e.actor.role,
            e.type.value,
            e.run or "",
            e.round or "",
            _rows(e.counts),
            " ".join(e.reasons),
        )
        for i, e in shown
    ]
    console().print(
        table(
            f"{len(shown)} of {len(entries)} entries",
            ("entry", "time (UTC)", "actor", "what", "run", "round", "rows", "reasons"),
            rows,
            whole=("what",),
        )
    )


def _rows(counts: Counts | None) -> str:
    if counts is None:
        return ""
    rules = ", ".join(f"{rule}:{count}" for rule, count in sorted(counts.by_rule.items()))
    return f"{counts.rows_out} of {counts.rows_in}" + (f" ({rules})" if rules else "")


def _verify(
    home: Path, log: Path | None, key: str | None, since: bytes | None, policy: TrustPolicy | None
) -> VerifiedLog:
    if key is None and not MemberHome(home).identity.is_file():
        raise ConfigurationError(
            "config.missing-file", "name a log and its key with --log and --key, or a site with --home"
        )
    text = key or Identity.load(MemberHome(home).identity).node_key
    verifier = VerifierKey.decode(text)
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("entries", total=None)
        return verify_log(
            log or own_log(home),
            verifier,
            origin=verifier.name,
            since=since,
            policy=policy_for(policy, verifier.name),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
