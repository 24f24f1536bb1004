"""Trust policies (https://c2sp.org/tlog-policy): which logs and witnesses make a checkpoint count. Pure.

A policy is a text file of lines; words are separated by spaces and tabs, ``#`` starts a line of comment::

    log <verifier key> [<url>]
    witness <name> <verifier key> [<url>]
    group <name> <all|any|number> <name>...      that many of these witnesses and groups
    quorum <name|none>                           exactly once

Names hold in the file alone. What a line names is defined above it, and a name is a member of one group at
most, so that each witness counts in one way. A log's key is Ed25519 (type 0x01) and its name is the log's
origin; a witness' key is a cosigner's (type 0x04 or 0x06).
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hanse.crypto.checkpoint import Checkpoint, parse_checkpoint
from hanse.crypto.cosigning import CosignerVerifier, read_cosignatures
from hanse.crypto.keys import VerifierKey
from hanse.crypto.note import open_note, unverified_text
from hanse.errors import AuditError, HanseError, IdentityError, ProtocolError

_MAX_BYTES: Final = 1 << 20
_MAX_DEFINITIONS: Final = 1000
_NO_QUORUM: Final = "none"
_BLANKS: Final = re.compile("[ \t]+")
_OTHER_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WORD: Final = re.compile(r"[^\x00-\x20\x7f\ud800-\udfff]+")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")
_THRESHOLDS: Final[dict[str, Callable[[int], int]]] = {"all": lambda members: members, "any": lambda _: 1}


class PolicyLog(NamedTuple):
    """A log that counts.

    Attributes:
        verifier: Its key; the name of the key is the log's origin.
        url: Where it is, or empty.
    """

    verifier: VerifierKey
    url: str = ""


class PolicyWitness(NamedTuple):
    """A witness that may count.

    Attributes:
        name: Its name in the policy.
        verifier: Its key.
        url: Where it is, or empty.
    """

    name: str
    verifier: CosignerVerifier
    url: str = ""


class PolicyGroup(NamedTuple):
    """Some of several witnesses and groups.

    Attributes:
        name: Its name in the policy.
        threshold: How many members must have witnessed a checkpoint.
        members: Names of witnesses, and of groups that are defined before this one.
    """

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Which checkpoints count.

    Attributes:
        logs: The logs, any of which counts.
        witnesses: The witnesses.
        groups: The groups, in the order in which they are defined.
        quorum: Name of the witness or group that must have witnessed a checkpoint; None if nobody must.

    Raises:
        ProtocolError: ``protocol.malformed`` if they do not fit together.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[PolicyGroup, ...] = ()
    quorum: str | None = None

    def __post_init__(self) -> None:
        _check_policy(self)

    def check(self, note: bytes) -> Checkpoint:
        """Checks that a checkpoint counts.

        Args:
            note: A checkpoint's note from anywhere.

        Returns:
            The checkpoint.

        Raises:
            AuditError: ``audit.quorum`` if too few witnesses cosigned it; the message names who did not.
            IdentityError: ``identity.unknown-signer`` if no log of the policy signed it,
                ``identity.bad-signature`` if a log's or witness' signature is wrong or repeated.
            ProtocolError: ``protocol.malformed`` if it is not the note of a checkpoint.
        """
        origin = parse_checkpoint(unverified_text(note)).origin
        verifiers = [log.verifier for log in self.logs if log.verifier.name == origin]
        checkpoint = parse_checkpoint(open_note(note, *verifiers).text)
        known = [witness.verifier for witness in self.witnesses]
        cosigners = {cosignature.verifier for cosignature in read_cosignatures(note, known)}
        self._check_quorum(cosigners, checkpoint)
        return checkpoint

    def is_met(self, note: bytes) -> bool:
        """Whether :meth:`check` accepts a note.

        Args:
            note: A checkpoint's note from anywhere.
        """
        try:
            self.check(note)
        except HanseError:
            return False
        return True

    def _check_quorum(self, cosigners: set[CosignerVerifier], checkpoint: Checkpoint) -> None:
        """Goes through the groups in the order of their definition: each needs only what is above it."""
        if self.quorum is None:
            return
        met = {witness.name for witness in self.witnesses if witness.verifier in cosigners}
        for group in self.groups:
            if len(met.intersection(group.members)) >= group.threshold:
                met.add(group.name)
        if self.quorum not in met:
            missing = ", ".join(sorted(self._below(self.quorum) - met))
            raise AuditError(
                "audit.quorum",
                f"the quorum {self.quorum} did not cosign the checkpoint of {checkpoint.origin} at "
                f"{checkpoint.size}; not cosigned by: {missing}",
            )

    def _below(self, name: str) -> set[str]:
        """Names of the witnesses that count for a name."""
        below = {witness.name: {witness.name} for witness in self.witnesses}
        for group in self.groups:
            below[group.name] = set().union(*(below[member] for member in group.members))
        return below[name]


def quorum_of(log: VerifierKey, witnesses: Sequence[CosignerVerifier], threshold: int) -> TrustPolicy:
    """The policy of one log and a number of witnesses that are all alike.

    Args:
        log: The log's key.
        witnesses: The witnesses' keys, of different names.
        threshold: How many of them must have cosigned; 0 for none.

    Returns:
        The policy; its witnesses have the names of their keys.

    Raises:
        ProtocolError: ``protocol.malformed`` if the threshold is larger than the number of witnesses, or two
            have one key or one name.
    """
    named = tuple(PolicyWitness(verifier.name, verifier) for verifier in witnesses)
    if threshold == 0:
        return TrustPolicy((PolicyLog(log),), named)
    group = PolicyGroup("witnesses", threshold, tuple(witness.name for witness in named))
    return TrustPolicy((PolicyLog(log),), named, (group,), group.name)


def format_policy(policy: TrustPolicy) -> bytes:
    """Writes a policy.

    Args:
        policy: The policy.

    Returns:
        The bytes of a policy file: logs, witnesses, groups, quorum; without comments.
    """
    lines = [["log", log.verifier.encode(), log.url] for log in policy.logs]
    lines += [["witness", each.name, each.verifier.encode(), each.url] for each in policy.witnesses]
    lines += [["group", group.name, str(group.threshold), *group.members] for group in policy.groups]
    lines += [["quorum", policy.quorum or _NO_QUORUM]]
    return "".join(" ".join(filter(None, line)) + "\n" for line in lines).encode()


def parse_policy(data: bytes) -> TrustPolicy:
    """Reads a policy.

    Args:
        data: Bytes from anywhere, at most 1 MiB with at most 1000 definitions.

    Returns:
        The policy.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a policy; the message names the line.
    """
    policy, quorums = TrustPolicy(()), 0
    for number, words in _lines(data):
        try:
            policy = _extended(policy, words)
        except (IdentityError, ProtocolError) as error:
            raise _malformed(f"line {number} of the policy: {error.detail}") from error
        quorums += words[0] == "quorum"
    if quorums != 1:
        raise _malformed("a policy has exactly one line that starts with quorum")
    return policy


def _lines(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The lines that define something: their numbers, from 1, and their words."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("a policy is UTF-8") from error
    if len(data) > _MAX_BYTES or _OTHER_CONTROL.search(text) or not text.endswith("\n"):
        raise _malformed("a policy has lines that end in newlines, tabs, no other control character, 1 MiB")
    numbered = enumerate(text[:-1].split("\n"), 1)
    split = ((number, _BLANKS.split(line.strip(" \t"))) for number, line in numbered)
    defining = [(number, words) for number, words in split if words[0] and not words[0].startswith("#")]
    if len(defining) > _MAX_DEFINITIONS:
        raise _malformed(f"a policy has at most {_MAX_DEFINITIONS} definitions")
    yield from defining


def _extended(policy: TrustPolicy, words: list[str]) -> TrustPolicy:
    """The policy with one more line. What the line needs must be there: the lines above are a policy too."""
    match words:
        case ["log", key, *url] if len(url) <= 1:
            log = PolicyLog(VerifierKey.decode(key), *url)
            return dataclasses.replace(policy, logs=(*policy.logs, log))
        case ["witness", name, key, *url] if len(url) <= 1:
            witness = PolicyWitness(name, CosignerVerifier.decode(key), *url)
            return dataclasses.replace(policy, witnesses=(*policy.witnesses, witness))
        case ["group", name, threshold, *members] if members:
            group = PolicyGroup(name, _threshold(threshold, len(members)), tuple(members))
            return dataclasses.replace(policy, groups=(*policy.groups, group))
        case ["quorum", name]:
            return dataclasses.replace(policy, quorum=None if name == _NO_QUORUM else name)
    raise _malformed("not of the form of a log, witness, group or quorum")


def _threshold(text: str, members: int) -> int:
    """How many members a group needs."""
    if text in _THRESHOLDS:
        return _THRESHOLDS[text](members)
    if not _NUMBER.fullmatch(text):
        raise _malformed("a group needs all, any or a number of its members")
    return int(text)


def _check_policy(policy: TrustPolicy) -> None:
    """Checks that the parts of a policy fit together."""
    names = [witness.name for witness in policy.witnesses]
    urls = [log.url for log in policy.logs] + [witness.url for witness in policy.witnesses]
    if not all(map(_is_word, (*names, *(group.name for group in policy.groups), *filter(None, urls)))):
        raise _malformed("a name and an address have no blanks and no control characters")
    _require_distinct("logs", [log.verifier.public_bytes for log in policy.logs])
    _require_distinct("witnesses", [witness.verifier.public_bytes for witness in policy.witnesses])
    for group in policy.groups:
        _check_group(group, names, [member for other in policy.groups for member in other.members])
        names.append(group.name)
    if len(set(names)) != len(names) or _NO_QUORUM in names:
        raise _malformed("a name is defined twice, or is none")
    if policy.quorum is not None and policy.quorum not in names:
        raise _malformed("the quorum is not defined above it")


def _check_group(group: PolicyGroup, defined: list[str], used: list[str]) -> None:
    """Checks a group against the names above it and the members of all groups."""
    if not set(group.members) <= set(defined):
        raise _malformed(f"a member of group {group.name} is not defined above it")
    if any(used.count(member) != 1 for member in group.members):
        raise _malformed(f"a member of group {group.name} is a member twice, there or in another group")
    if not 1 <= group.threshold <= len(group.members):
        raise _malformed(f"group {group.name} needs at least one and at most all of its members")


def _require_distinct(kind: str, keys: list[bytes]) -> None:
    """A key under two names would count twice."""
    if len(set(keys)) != len(keys):
        raise _malformed(f"two {kind} have the same key")


def _is_word(text: str) -> bool:
    return _WORD.fullmatch(text) is not None


def _malformed(detail: str) -> ProtocolError:
    return ProtocolError("protocol.malformed", detail)
