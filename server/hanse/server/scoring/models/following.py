"""Takes up new decisions about a model while it is served, and lets no version be used past its deadline.

Every :data:`POLL_S` it looks whether the file of decisions is another one, and whether a deadline has come;
every :data:`RECHECK_S` who has withdrawn. New versions are loaded and checked in a thread; then what was done
is in the log; then the table is replaced, in one step. A call that runs keeps the version that it got. What
does not verify is refused and logged, and what was served before goes on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from hanse.audit import Event, EventType
from hanse.errors import AuditError, HanseError, PolicyError, ServingError
from hanse.policies import Member
from hanse.policies.serving import Decided, Ref, Serving, ServingBook, routing_key
from hanse.policies.serving.evidence import LogEvidence
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.models.shelf import Shelf
from hanse.server.scoring.models.table import Versions, VersionTable
from hanse.server.scoring.served import Served

POLL_S: Final = 0.2
RECHECK_S: Final = 10.0

_UNUSABLE: Final = frozenset({"model.overdue", "model.lineage"})
_Identity: TypeAlias = tuple[int, int, int] | None
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Where the decisions about a model come from.

    Attributes:
        model: Its name.
        book: The decisions on disk; None for one version that was pinned on the command line.
        pinned: That version.
    """

    model: str
    book: ServingBook | None = None
    pinned: Ref | None = None

    @property
    def path(self) -> Path | None:
        """The file that is watched."""
        return None if self.book is None else self.book.path(self.model)

    def read(self) -> Decided:
        """What was decided.

        Raises:
            HanseError: As :meth:`ServingBook.read`.
        """
        if self.book is None:
            return Decided(Serving(self.model, live=self.pinned), ())
        return self.book.read(self.model)


@dataclass(frozen=True, slots=True)
class _Next:
    """What is to be served, and what the log says first."""

    decided: Decided
    versions: Versions
    events: Sequence[Event]


class Follower:
    """Keeps the table of one model as it was decided.

    Args:
        decisions: Where the decisions come from.
        shelf: Loads versions.
        evidence: What the site's log says.
        secret: Secret of the site that routing to a canary is keyed with.
        clock: Tells the time, aware.
    """

    def __init__(
        self,
        decisions: Decisions,
        shelf: Shelf,
        evidence: LogEvidence,
        secret: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        self._decisions = decisions
        self._shelf = shelf
        self._evidence = evidence
        self._secret = secret
        self._clock = clock
        self._turn = asyncio.Lock()
        self._decided = Decided(Serving(decisions.model), ())
        self._seen: _Identity = None
        self._checked_s = 0.0
        self._log: GroupCommit
        self._first: _Next
        self.table: VersionTable

    async def load(self) -> Member:
        """Loads what was decided.

        Returns:
            The member that this site is in the agreement of the live version.

        Raises:
            HanseError: If the decisions do not verify, or the live version may not be used.
        """
        self._seen = self._identity()
        first = await asyncio.to_thread(self._prepare, Versions(Serving(self._decisions.model)), reread=True)
        live = first.decided.state.live
        if live is None:
            name = self._decisions.model
            raise ServingError(
                "model.not-found", f"no version of {name} is live: hanse model promote {name}@1"
            )
        deciles = first.decided.state.deciles_of(live)
        kept = await asyncio.to_thread(self._shelf.take, live, deciles)  # says why, if it cannot
        await asyncio.to_thread(self._shelf.require_usable, live, self._clock())
        self._first, self._decided = first, first.decided
        self.table = VersionTable(first.versions, kept.served)
        self._checked_s = asyncio.get_running_loop().time()
        return kept.member

    @asynccontextmanager
    async def running(self, log: GroupCommit) -> AsyncIterator[VersionTable]:
        """Follows the decisions as long as the block runs.

        Args:
            log: The site's log.

        Yields:
            The table; every version in it is in the log but the live one, of which the scorer's start tells.

        Raises:
            AuditError: If the log cannot be written.
        """
        self._log = log
        for event in self._first.events:
            if event.model_in != self.table.primary.digest:
                await log.append(event)
        task = asyncio.create_task(self._follow())
        try:
            yield self.table
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self, *, reread: bool = False) -> None:
        """Looks once, and takes up what is new.

        Args:
            reread: Read the decisions though the file has not changed.

        Raises:
            AuditError: If the log cannot be written; nothing has changed then.
        """
        async with self._turn:
            now_s, identity = asyncio.get_running_loop().time(), self._identity()
            changed = reread or identity != self._seen
            served = self.table.versions.served
            passed = any(ref.version in served for ref in self._shelf.overdue(self._clock()))
            if not (changed or passed or now_s - self._checked_s >= RECHECK_S):
                return
            following = await asyncio.to_thread(self._prepare, self.table.versions, reread=changed)
            for event in following.events:
                await self._log.append(event)
            self._decided, self._checked_s, self._seen = following.decided, now_s, identity
            self.table.replace(following.versions)

    async def serve(self, caller: str, *, loaded: bool) -> None:
        """Takes the model out of service, or into it again, as an operator asks.

        Args:
            caller: Name of the operator.
            loaded: Whether it is to be in service.

        Raises:
            AuditError: If the log cannot be written; nothing has changed then.
        """
        if loaded:
            await self.look(reread=True)
        kind = EventType.MODEL_LOADED if loaded else EventType.MODEL_UNLOADED
        async with self._turn:
            await self._log.append(_event(kind, self.table.primary, peer=caller))
            self.table.replace(replace(self.table.versions, unloaded=not loaded))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
            except AuditError as error:
                _log.error("what is served stays as it is: %s", error.code)
            except Exception as raised:  # noqa: BLE001 - the next look may succeed; what is served stays
                _log.error("what is served stays as it is: unexpected %s", type(raised).__name__)

    def _identity(self) -> _Identity:
        """Changes whenever the file is written anew."""
        path = self._decisions.path
        if path is None:
            return None
        try:
            told = path.stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_ino, told.st_size

    def _prepare(self, before: Versions, *, reread: bool) -> _Next:
        """Loads and checks, in a thread of its own."""
        events: list[Event] = []
        decided = self._decided
        if reread:
            try:
                decided = self._read()
            except HanseError as error:
                if not decided.decisions and not before.served:
                    raise
                _log.error("new decisions are refused: %s", error)
                events.append(_refusal(error))
        versions, told = self._assemble(decided.state, before)
        return _Next(decided, versions, [*events, *told])

    def _read(self) -> Decided:
        """The decisions, if each is in the log and they go on from those that are known.

        Raises:
            HanseError: If they do not.
        """
        decided = self._decisions.read()
        self._evidence.refresh()
        known = [one.digest for one in self._decided.decisions]
        if [one.digest for one in decided.decisions[: len(known)]] != known:
            raise PolicyError("policy.invalid", "the decisions do not go on from those that were followed")
        for one in decided.decisions[len(known) :]:
            if not self._evidence.knows(one.digest):
                detail = f"decision {one.decision.number} is not in this site's log"
                raise PolicyError("policy.denied", detail, rule="P28")
        return decided

    def _assemble(self, state: Serving, before: Versions) -> tuple[Versions, list[Event]]:
        served: dict[int, Served] = {}
        refused: dict[int, str] = {}
        events: list[Event] = []
        fallback = self._fallback(state, before)
        wanted: list[Ref] = [*state.served] if fallback is None else [*state.served, fallback]
        for ref in dict.fromkeys(wanted):
            try:
                one = self._shelf.take(ref, state.deciles_of(ref)).served
                self._shelf.require_usable(ref, self._clock())
            except HanseError as error:
                refused[ref.version] = error.code if error.code in _UNUSABLE else "model.invalid"
                if before.refused.get(ref.version) != refused[ref.version]:
                    _log.error("version %d is refused: %s", ref.version, error)
                    events.append(_refusal(error, ref, before.served.get(ref.version)))
            else:
                served[ref.version] = one
                if before.served.get(ref.version) is not one:
                    events.append(_event(EventType.MODEL_LOADED, one))
        self._shelf.keep_only(wanted)
        live = None if state.live is None else state.live.version
        if live is not None and refused.get(live) == "model.invalid" and fallback is not None:
            live = fallback.version
        canary = None if state.canary is None or state.canary.version not in served else state.canary.version
        return (
            Versions(
                state=state,
                served=served,
                refused=refused,
                live=live,
                canary=canary,
                canary_key=b"" if state.canary is None else routing_key(self._secret, state.canary.manifest),
                unloaded=before.unloaded,
            ),
            events,
        )

    def _fallback(self, state: Serving, before: Versions) -> Ref | None:
        """What goes on if a new live version is not taken up: the one that was live, unless it is retired."""
        served = None if before.live is None else before.served.get(before.live)
        if served is None or before.live is None or state.role(before.live) == "retired":
            return None
        return Ref(before.live, served.digest)


def _event(kind: EventType, served: Served, peer: str | None = None) -> Event:
    return Event(type=kind, agreement=served.agreement.digest, model_in=served.digest, peer=peer)


def _refusal(error: HanseError, ref: Ref | None = None, served: Served | None = None) -> Event:
    reasons = (error.code,) if error.rule is None else (error.code, error.rule)
    return Event(
        type=EventType.MODEL_REFUSED,
        decision="deny",
        reasons=reasons,
        agreement=None if served is None else served.agreement.digest,
        model_in=None if ref is None else ref.manifest,
    )
