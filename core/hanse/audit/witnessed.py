"""How far the witnesses of a policy vouch for a log: the newest checkpoint with their quorum. Pure.

Each cosignature that the log keeps is checked under the witness' key, which comes from an agreement or a
policy file and never from the log. One that does not verify is named: the log took what the witness did not
sign. Lines of witnesses that are not in the policy are passed over.

Assumption: of any two quorums, a witness that is in both is honest and kept its memory. Then nobody was shown
another history up to the newest such checkpoint. Limit: what lies after it is the word of the log's key
alone, and whether an entry is true no witness says.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hanse.audit.checkpoint import Checkpoint, parse_checkpoint
from hanse.audit.findings import Finding
from hanse.audit.policy_file import PolicyLog, TrustPolicy
from hanse.crypto import VerifierKey, unverified_text
from hanse.crypto.cosigning import read_cosignatures
from hanse.crypto.note import SignatureLine
from hanse.errors import ConfigurationError, IdentityError, ProtocolError


class Lines(NamedTuple):
    """A checkpoint of a log, and what the log keeps beside it.

    Attributes:
        note: The checkpoint with the log's own signatures, which were checked.
        lines: Signature lines of witnesses, in the order of their arrival, from anywhere.
    """

    note: bytes
    lines: Sequence[str]


class Witnessed(NamedTuple):
    """What the witnesses of a policy vouch for.

    Attributes:
        newest: The newest checkpoint with the quorum; None if no checkpoint has it.
        later: How many entries lie after it; all of them if there is none.
        findings: ``cosignature-wrong`` for each line that its witness did not sign, ``quorum-missing``.
    """

    newest: Checkpoint | None
    later: int
    findings: tuple[Finding, ...]


def of_log(policy: TrustPolicy, keys: Sequence[VerifierKey]) -> TrustPolicy:
    """The policy for a log whose keys were followed: it names one, and its quorum counts under all of them.

    Args:
        policy: From an agreement or a policy file.
        keys: Verified keys of the log, in order.

    Raises:
        ConfigurationError: ``config.invalid`` if the policy names none of them.
    """
    if not {log.verifier for log in policy.logs} & set(keys):
        name = keys[-1].name
        raise ConfigurationError("config.invalid", f"the policy does not name a key of the log {name}")
    return dataclasses.replace(policy, logs=tuple(map(PolicyLog, keys)))


def check_witnessed(origin: str, size: int, checkpoints: Iterable[Lines], policy: TrustPolicy) -> Witnessed:
    """Checks every cosignature that a log keeps, and looks for the newest quorum.

    Args:
        origin: Name of the log.
        size: Number of its entries.
        checkpoints: Those that it keeps, the newest last.
        policy: Whose cosignatures count, with every key of the log.

    Returns:
        What was found.
    """
    newest: Checkpoint | None = None
    findings: list[Finding] = []
    for kept in checkpoints:
        checkpoint = parse_checkpoint(unverified_text(kept.note))
        good: dict[str, str] = {}
        for name, line, problem in _judged(kept, policy):
            if problem is None:
                good[name] = line  # of several lines of one witness the last counts
            else:
                detail = f"{name} at {checkpoint.size} entries: {problem}"
                findings.append(Finding("cosignature-wrong", _last(checkpoint.size), origin, detail))
        if policy.is_met(kept.note + "".join(good.values()).encode()):
            newest = checkpoint
    if newest is None:
        detail = f"none of the checkpoints up to {size} entries"
        findings.append(Finding("quorum-missing", None, origin, detail))
    return Witnessed(newest, size - (0 if newest is None else newest.size), tuple(findings))


def _judged(kept: Lines, policy: TrustPolicy) -> Iterator[tuple[str, str, str | None]]:
    """Witness, line and problem of each line that claims to be by a witness of the policy."""
    text = unverified_text(kept.note)
    witnesses = {(one.verifier.name, one.verifier.key_id_bytes): one for one in policy.witnesses}
    for line in kept.lines:
        try:
            parsed = SignatureLine.decode(line)
            witness = witnesses[parsed.name, parsed.key_id]
        except (KeyError, ProtocolError):
            continue  # is not by a witness of the policy, and does not say so
        try:
            read_cosignatures(f"{text}\n{line}".encode(), [witness.verifier])
        except (IdentityError, ProtocolError) as error:
            yield witness.name, line, error.detail
        else:
            yield witness.name, line, None


def _last(size: int) -> int | None:
    """The last entry under a checkpoint."""
    return size - 1 if size else None
