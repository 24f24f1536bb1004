"""What a member's log says of model versions: the decisions that it knows, and who was admitted to runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hanse.audit import Entry, EventType, LogReader
from hanse.audit.subject_set import Epoch
from hanse.policies.fields import to_ms
from hanse.policies.lineage import AdmittedSet

# In JSON a quotation mark inside a string has a backslash, so this finds nothing but fields.
_RELEVANT: Final = re.compile(rb'"(serving|subject_set_root)":"')


class LogEvidence:
    """Reads a log once, and later what is new.

    Args:
        log: The member's log.
        open_log: Opens it; for tests.
    """

    def __init__(self, log: Path | str, open_log: Callable[[Path | str], LogReader] = LogReader.open) -> None:
        self._log = log
        self._open = open_log
        self._read = 0
        self._decisions: set[str] = set()
        self._sets: dict[str, dict[str, AdmittedSet]] = {}

    def refresh(self) -> None:
        """Reads what the log has got since.

        Raises:
            AuditError: If the log cannot be read.
        """
        with self._open(self._log) as reader:
            size = reader.size
            for leaf in reader.leaves(self._read, size):
                if _RELEVANT.search(leaf):
                    self._take(Entry.parse(leaf))
        self._read = size

    def knows(self, decision: str) -> bool:
        """Whether a decision, by its digest, is in the log."""
        return decision in self._decisions

    def sets(self, run: str) -> tuple[AdmittedSet, ...]:
        """The sets of subjects that were admitted to a run, by the order of their first use."""
        return tuple(self._sets.get(run, {}).values())

    def _take(self, entry: Entry) -> None:
        if entry.serving is not None:
            self._decisions.add(entry.serving)
        root, epoch = entry.subject_set_root, entry.subject_epoch
        if entry.type is not EventType.ROUND_ADMITTED or root is None or epoch is None:
            return
        if entry.agreement is not None and entry.run is not None:
            made = AdmittedSet(
                epoch=Epoch(entry.agreement, entry.run, epoch),
                root=root,
                size=entry.subject_set_size or 0,
                at_ms=to_ms(entry.at),
            )
            self._sets.setdefault(entry.run, {}).setdefault(root, made)
