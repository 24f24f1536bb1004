"""Runs that a site has left for good, by a command of its own while the node works or before it starts.

A file beside what the node keeps of a run, one name a line, on the disk before the command says so. The node
looks into it before it sends anything, and refuses what is asked about such a run from then on
(``run.left``). What it has sent before stays sent, and spent.
"""

import os
from pathlib import Path

from hanse.audit import AuditLog, Event, EventType
from hanse.client.begun import open_run
from hanse.client.kept import RunFile
from hanse.errors import TrainingError


class LeftRuns:
    """The file.

    Args:
        path: Where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, run: str) -> bool:
        """Whether the site has left a run."""
        return self._path.is_file() and run in self._path.read_text(encoding="ascii").split("\n")

    def require_in(self, run: str) -> None:
        """Refuses what is about a run that the site has left.

        Raises:
            TrainingError: ``run.left``.
        """
        if run in self:
            raise TrainingError("run.left", f"this site has left {run}")

    def leave(self, run: str, kept: RunFile) -> None:
        """Leaves the run that goes on at this site; on the disk when it returns.

        Args:
            run: Its name.
            kept: What the node keeps.

        Raises:
            TrainingError: ``run.unknown`` if it is not the one that goes on.
        """
        known = kept.load()
        if run not in self:
            if known is None or known.run != run:
                raise TrainingError("run.unknown", f"{run} does not go on at this site")
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{run}\n")
                file.flush()
                os.fsync(file.fileno())


def end_open_run(log: AuditLog, reason: str, *, but: str | None = None, only: str | None = None) -> None:
    """Writes the last entry of a run that the site's log has begun and not ended, if there is one.

    Args:
        log: The site's own log.
        reason: Error code that ended it.
        but: Not if it is this one.
        only: Only if it is this one.
    """
    # The log and not the ledger says which: a run without a budget is in no ledger.
    left = open_run(log)
    if left is None or left.run == but or (only is not None and left.run != only):
        return
    log.append(
        Event(
            type=EventType.RUN_FAILED,
            agreement=left.agreement,
            run=left.run,
            purpose=left.purpose,
            reasons=(reason,),
        )
    )
