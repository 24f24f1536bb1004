"""Commits to the subjects that are admitted; their set is kept by :mod:`hanse.policies.subject_sets`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from hanse.audit.subject_set import Epoch, SubjectSet, subject_tags
from hanse.errors import PolicyError
from hanse.policies import Agreement, ConsentLedger
from hanse.policies.subject_sets import SubjectSets


def keep_until(agreement: Agreement, now: datetime) -> datetime:
    """Until when a set is kept: a subject can ask for as long as a model of the run may be there.

    Args:
        agreement: The agreement.
        now: When the set is made. The model comes out of the run later, by its time limits at most.
    """
    training = agreement.training
    longest_run = timedelta(seconds=training.rounds * training.round_timeout_s)
    return now + longest_run + timedelta(days=agreement.retention.model_days)


@dataclass(frozen=True, slots=True)
class Committed:
    """A set that was committed to, and is kept.

    Attributes:
        epoch: Which one.
        root: Its root, 32 bytes.
        size: Number of subjects.
        members: Digest of the pseudonyms in it, which never leaves this process.
    """

    epoch: Epoch
    root: bytes
    size: int
    members: bytes


class Committer:
    """Commits to the subjects that are admitted; anew only when they are others than before.

    Args:
        ledger: Has the subjects' secrets.
        sets: Where the sets are kept.
    """

    def __init__(self, ledger: ConsentLedger, sets: SubjectSets) -> None:
        self._ledger = ledger
        self._sets = sets
        self._last: Committed | None = None

    def commit(
        self, agreement: Agreement, digest: str, run: str, refs: Sequence[str], now: datetime
    ) -> Committed:
        """Makes the set of some subjects and keeps it, or names the last one if they are the same.

        Args:
            agreement: The agreement; says for how long the set is kept.
            digest: Its digest.
            run: The run.
            refs: Pseudonyms, each once, in any order.
            now: Now.

        Returns:
            The set.

        Raises:
            PolicyError: ``policy.denied`` (P32) if a subject is there twice, ``policy.ledger`` if there are
                no secrets to be had.
            ConfigurationError: ``config.unwritable`` if the set cannot be kept.
        """
        members = _members(refs)
        last = self._last
        if last is not None and (last.epoch[:2], last.members) == ((digest, run), members):
            return last
        epoch = Epoch(digest, run, self._next_number(digest, run))
        made = SubjectSet(subject_tags(self._ledger.secrets_of(refs, now), epoch))
        if len(made) != len(refs):
            raise PolicyError("policy.denied", "a subject would be admitted with two rows", rule="P32")
        self._sets.keep(made, epoch, keep_until(agreement, now))
        self._last = Committed(epoch, made.root, len(made), members)
        return self._last

    def _next_number(self, digest: str, run: str) -> int:
        """A number that no set of the run has, not even of an earlier process."""
        last = self._last
        if last is not None and last.epoch[:2] == (digest, run):
            return last.epoch.number + 1
        heads = [kept.head for kept in self._sets.kept()]
        used = [head.epoch for head in heads if (head.agreement, head.run) == (digest, run)]
        return max(used, default=0) + 1


def _members(refs: Sequence[str]) -> bytes:
    """Digest of pseudonyms, whatever their order; of a million in less than half a second."""
    packed = np.frombuffer(bytes.fromhex("".join(refs)), dtype="S16")
    return hashlib.sha256(np.sort(packed).tobytes()).digest()
