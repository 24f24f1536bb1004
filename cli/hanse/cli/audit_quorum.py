"""``--policy``: whose cosignatures count, and how far they vouch for a log."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from hanse.audit import VerifiedLog
from hanse.audit.policy_file import TrustPolicy, parse_policy
from hanse.audit.witnessed import Witnessed
from hanse.cli.agreement_files import is_note
from hanse.cli.output import say
from hanse.errors import ConfigurationError
from hanse.policies import open_agreement
from hanse.policies.witnessing import trust_policy

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        help="A signed agreement, or a trust policy (C2SP tlog-policy): whose cosignatures count.",
        exists=True,
        dir_okay=False,
    ),
]


def read_trust(path: Path) -> TrustPolicy:
    """Reads whose cosignatures count for a log.

    Args:
        path: An agreement that all members signed, or a policy file.

    Raises:
        PolicyError: If an agreement lacks a signature, or asks for a quorum that cannot be.
        ProtocolError: ``protocol.malformed`` if it is neither; names the line.
    """
    data = path.read_bytes()
    return trust_policy(open_agreement(data).agreement) if is_note(data) else parse_policy(data)


def policy_for(policy: TrustPolicy | None, origin: str) -> TrustPolicy | None:
    """The policy, if it is about a log of this name."""
    about = policy is not None and origin in {log.verifier.name for log in policy.logs}
    return policy if about else None


def require_used(policy: TrustPolicy | None, logs: Iterable[VerifiedLog]) -> None:
    """Raises if a policy was given, and is about none of the logs.

    Raises:
        ConfigurationError: ``config.invalid``; names the logs that it is about.
    """
    if policy is not None and all(log.witnessed is None for log in logs):
        names = ", ".join(sorted({log.verifier.name for log in policy.logs})) or "no log"
        raise ConfigurationError(
            "config.invalid", f"the policy is about {names}, which is not among the logs given; see --shared"
        )


def _witnessed(logs: Sequence[VerifiedLog]) -> Iterator[tuple[VerifiedLog, Witnessed]]:
    for log in logs:
        if log.witnessed is not None:
            yield log, log.witnessed


def quorum_facts(logs: Sequence[VerifiedLog]) -> list[dict[str, object]]:
    """What the witnesses vouch for, as JSON values; empty without a policy."""
    return [
        {
            "log": log.origin,
            "entries": None if found.newest is None else found.newest.size,
            "root": None if found.newest is None else found.newest.root.hex(),
            "later": found.later,
        }
        for log, found in _witnessed(logs)
    ]


def show_quorum(logs: Sequence[VerifiedLog]) -> None:
    """Prints for people what the witnesses vouch for."""
    for log, found in _witnessed(logs):
        if found.newest is not None:
            say(
                f"the newest checkpoint of {log.origin} with the quorum of the policy has "
                f"{found.newest.size} entries; {found.later} entries lie after it"
            )
