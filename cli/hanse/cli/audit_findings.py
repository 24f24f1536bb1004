"""What ``hanse audit verify`` says about completeness: of one log, and of several held against each other."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from hanse.audit import LogReader, VerifiedLog, verify_log
from hanse.audit.completeness import (
    Finding,
    check_against,
    check_member,
    check_shared,
    roots_at,
    stated_sizes,
)
from hanse.audit.policy_file import TrustPolicy
from hanse.cli.audit_quorum import policy_for
from hanse.cli.output import console, say, table
from hanse.client.home import MemberHome
from hanse.crypto import VerifierKey
from hanse.errors import ConfigurationError
from hanse.policies import Identity

EXIT_INCOMPLETE: Final = 6
_COORDINATOR: Final = "coordinator"


def is_shared(log: VerifiedLog) -> bool:
    """Whether a log is a coordinator's shared log, by who wrote its first entry."""
    return log.size > 0 and log.entries[0].actor.role == _COORDINATOR


def read_others(
    paths: Sequence[Path], keys: Sequence[VerifierKey], policy: TrustPolicy | None = None
) -> list[VerifiedLog]:
    """Verifies further logs, each with the key of its name.

    Args:
        paths: The logs.
        keys: Keys that are trusted.
        policy: Whose cosignatures count, for the log that it is about.

    Raises:
        ConfigurationError: ``config.invalid`` if there is no key of that name.
        AuditError: One of them does not verify.
    """
    found = []
    for path in paths:
        with LogReader.open(path) as reader:
            origin = reader.origin
        known = [key for key in keys if key.name == origin]
        if not known:
            raise ConfigurationError(
                "config.invalid", f"no key of {origin} is known here; give it with --trust"
            )
        found.append(verify_log(path, known[0], origin=origin, policy=policy_for(policy, origin)))
    return found


def trusted_keys(home: Path, stated: Iterable[str]) -> list[VerifierKey]:
    """Keys that were stated, then those of the identities that the site has enrolled.

    Args:
        home: Folder of the site; need not be one.
        stated: Verifier keys.

    Raises:
        IdentityError: One of them is not a key.
    """
    enrolled = sorted((home / "peers").glob("*.json"))
    own = MemberHome(home).identity
    files = [*enrolled, *([own] if own.is_file() else [])]
    return [VerifierKey.decode(key) for key in (*stated, *(Identity.load(file).node_key for file in files))]


def find(logs: Sequence[VerifiedLog], now: datetime) -> list[Finding]:
    """Checks every log for itself, and each member's against the shared one.

    Args:
        logs: Verified logs: members', and at most one shared.
        now: Time of the check.

    Raises:
        ConfigurationError: ``config.invalid`` if there are two shared logs.
    """
    shared = [log for log in logs if is_shared(log)]
    if len(shared) > 1:
        raise ConfigurationError("config.invalid", "two shared logs; compare members' logs with one of them")
    found = [finding for log in logs if log.witnessed for finding in log.witnessed.findings]
    found += [finding for log in shared for finding in check_shared(log.entries, now=now)]
    for log in logs:
        if not is_shared(log):
            found += check_member(log.entries, log.origin, now=now)
            found += [finding for other in shared for finding in _compared(other, log)]
    return found


def _compared(shared: VerifiedLog, log: VerifiedLog) -> list[Finding]:
    roots = roots_at(log.leaves, stated_sizes(shared.entries, log.origin))
    return check_against(shared.entries, log.origin, log.entries, roots.__getitem__, log.keys)


def facts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON values."""
    return [
        {**found._asdict(), "meaning": found.meaning, "remedy": found.remedy, "note": found.is_note}
        for found in findings
    ]


def show(findings: Sequence[Finding]) -> None:
    """Prints findings for people."""
    if not findings:
        say("complete, as far as entries can tell: nothing is missing and nothing contradicts")
        return
    wrong = sum(not found.is_note for found in findings)
    title = f"{wrong} findings and {len(findings) - wrong} notes (docs/ref-audit-findings.md)"
    heads = ("finding", "log", "entry", "run", "round", "what", "what to do")
    console().print(table(title, heads, _rows(findings), whole=("finding",)))


def _rows(findings: Sequence[Finding]) -> Iterator[Sequence[object]]:
    for found in findings:
        place = "" if found.entry is None else found.entry
        kind = Text(found.kind, style="yellow" if found.is_note else "bold red")
        what = f"{found.meaning} {found.detail[:1].upper()}{found.detail[1:]}."
        yield kind, found.log, place, found.run or "", found.round or "", what, found.remedy
