"""What this site's witness has refused of the coordinator's log, kept until a person has looked at it.

Each refusal is a folder ``state/evidence/<time>-<kind>``:

* ``submitted.note``: the checkpoint that was refused, exact bytes;
* ``known.note``: the checkpoint that it was held against, if there is one. For a fork, the two together
  convict whoever holds the coordinator's key: two signed roots of one size;
* ``refusal.json``: which log, which kind, when, and in which words;
* ``reviewed.json``, once a person has looked: who, when.

While there is a refusal that nobody has looked at, the node takes part in no round. The witness goes on from
what it had co-signed: if the coordinator still shows another history, it refuses again.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hanse.audit.witness_rules import RefusalKind, WitnessRefusal
from hanse.client.home import MemberHome
from hanse.crypto import canonical_json, write_atomic
from hanse.errors import AuditError, ConfigurationError

_SUBMITTED: Final = "submitted.note"
_KNOWN: Final = "known.note"
_REFUSAL: Final = "refusal.json"
_REVIEWED: Final = "reviewed.json"
_UNREADABLE: Final = "not readable"
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class KeptRefusal:
    """A refusal that is kept.

    Attributes:
        folder: Its folder.
        origin: The log.
        kind: Why, a word of :class:`hanse.audit.witness_rules.RefusalKind`.
        at: When, UTC, as 20260131T090000.000000Z.
        detail: In words.
        reviewed_by: Who has looked at it; None if nobody has.
    """

    folder: Path
    origin: str
    kind: str
    at: str
    detail: str
    reviewed_by: str | None

    @property
    def peer(self) -> str | None:
        """:attr:`origin` as an entry of a log has it; None if it could not be read."""
        return None if self.origin == _UNREADABLE else self.origin

    @property
    def time(self) -> datetime | None:
        """:attr:`at`; None if it could not be read."""
        try:
            return datetime.strptime(self.at, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def token(self) -> str | None:
        """:attr:`kind` as an entry of a log has it; None if it could not be read."""
        return self.kind if self.kind in {str(kind) for kind in RefusalKind} else None


def keep(home: MemberHome, origin: str, refusal: WitnessRefusal, now: datetime) -> Path:
    """Keeps a refusal; its folder appears whole or not at all.

    Args:
        home: The site's folder.
        origin: The log.
        refusal: What the witness raised.
        now: The current time.

    Returns:
        Its folder.

    Raises:
        ConfigurationError: ``config.unwritable``.
    """
    stamp = now.astimezone(UTC).strftime(_STAMP)
    folder = home.evidence / f"{stamp}-{refusal.kind}"
    facts = {"origin": origin, "kind": str(refusal.kind), "at": stamp, "detail": refusal.detail}
    try:
        home.evidence.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".", dir=home.evidence))
        write_atomic(building / _SUBMITTED, refusal.submitted)
        if refusal.known is not None:
            write_atomic(building / _KNOWN, refusal.known)
        write_atomic(building / _REFUSAL, canonical_json(facts) + b"\n")
        building.rename(folder)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {folder}: {error.strerror}") from error
    return folder


def kept(home: MemberHome) -> Iterator[KeptRefusal]:
    """All refusals, the oldest first. What cannot be read counts as one that nobody has looked at."""
    if not home.evidence.is_dir():
        return
    for folder in sorted(home.evidence.iterdir()):
        if not folder.name.startswith("."):
            facts = _read(folder / _REFUSAL)
            reviewed = _read(folder / _REVIEWED).get("by")
            told = [facts.get(name, _UNREADABLE) for name in ("origin", "kind", "at", "detail")]
            origin, kind, at, detail = told
            yield KeptRefusal(folder, origin, kind, at, detail, reviewed)


def open_refusals(home: MemberHome) -> list[KeptRefusal]:
    """The refusals that nobody has looked at."""
    return [refusal for refusal in kept(home) if refusal.reviewed_by is None]


def require_none_open(home: MemberHome) -> None:
    """Returns if this site may take part in a round.

    Raises:
        AuditError: ``audit.witness-refused`` if there is a refusal that nobody has looked at.
    """
    found = open_refusals(home)
    if found:
        raise AuditError(
            "audit.witness-refused",
            f"the witness of this site refused the coordinator's log ({found[-1].kind}, {found[-1].folder}); "
            "see `hanse audit refusals`",
        )


def review(home: MemberHome, by: str, now: datetime) -> list[KeptRefusal]:
    """Notes that a person has looked at every open refusal.

    Args:
        home: The site's folder.
        by: Who has looked.
        now: The current time.

    Returns:
        The refusals that were open.

    Raises:
        ConfigurationError: ``config.unwritable``.
    """
    found = open_refusals(home)
    for refusal in found:
        facts = {"by": by, "at": now.astimezone(UTC).strftime(_STAMP)}
        write_atomic(refusal.folder / _REVIEWED, canonical_json(facts) + b"\n")
    return found


def _read(path: Path) -> dict[str, str]:
    """A file of facts; empty if there is none or it cannot be read as one."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return (
        {name: fact for name, fact in value.items() if isinstance(fact, str)}
        if isinstance(value, dict)
        else {}
    )
