"""Whose cosignatures count for a shared log: the witnesses and the quorum of an agreement. Pure."""

from collections.abc import Mapping, Sequence

from hanse.audit import Entry
from hanse.audit.policy_file import TrustPolicy
from hanse.evidence.source import NO_WITNESSES
from hanse.policies import read_unverified
from hanse.policies.witnessing import trust_policy


def policy_of(
    entries: Sequence[Entry], agreements: Mapping[str, bytes], run: str | None = None
) -> TrustPolicy:
    """The trust policy that a package of a shared log is held against.

    Args:
        entries: The log.
        agreements: Signed agreements that the site has, by digest.
        run: The run that the package is about, if it is about one.

    Returns:
        That of the newest agreement that an entry (of the run) names and that the site has; without one,
        that nobody has to co-sign.

    Raises:
        PolicyError: ``policy.denied`` (P28) if the agreement asks for a quorum that cannot be.
    """
    for entry in reversed(entries):
        note = agreements.get(entry.agreement or "")
        if note is not None and run in (None, entry.run):
            return trust_policy(read_unverified(note))
    return NO_WITNESSES
