"""How many calls each version has answered and refused since the scorer started; counts alone."""

import time
from dataclasses import dataclass

from hanse.server.scoring.served import Served


@dataclass(slots=True)
class Counted:
    """Of one version.

    Attributes:
        name: Name of the model.
        version: Its version.
        answered: Calls that were answered.
        answered_ns: How long they took together, nanoseconds.
        refused: Calls that were refused once the version was known.
        refused_ns: How long they took together, nanoseconds.
        subjects: Subjects of the calls that were answered.
        last_ms: When the last one was answered, milliseconds since 1970; 0 if none was.
    """

    name: str
    version: str
    answered: int = 0
    answered_ns: int = 0
    refused: int = 0
    refused_ns: int = 0
    subjects: int = 0
    last_ms: int = 0


class Statistics:
    """Counts calls by version."""

    def __init__(self) -> None:
        self._counted: dict[str, Counted] = {}

    def answered(self, served: Served, subjects: int, took_ns: int) -> None:
        """Counts a call that was answered."""
        counted = self._of(served)
        counted.answered += 1
        counted.answered_ns += took_ns
        counted.subjects += subjects
        counted.last_ms = time.time_ns() // 1_000_000

    def refused(self, served: Served | None, took_ns: int) -> None:
        """Counts a call that was refused; none for a version that nobody found."""
        if served is not None:
            counted = self._of(served)
            counted.refused += 1
            counted.refused_ns += took_ns

    def all(self) -> list[Counted]:
        """Every version that was called, by its number."""
        return sorted(self._counted.values(), key=lambda one: (one.name, len(one.version), one.version))

    def _of(self, served: Served) -> Counted:
        found = self._counted.get(served.digest)
        if found is None:
            found = self._counted[served.digest] = Counted(served.name, served.version)
        return found
