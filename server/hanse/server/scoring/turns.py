"""Calls that go together: one run of the model, one entry and one commit for those that wait at a time.

A disk takes as long for one entry as for a hundred, and a small model as long for one row as for many. So
while a commit is under way, other calls gather; then their turn comes. Nobody waits for company who is alone:
how many calls come together is learned from how many came together last time. When none has come for
:data:`LONGEST_GAP_S`, or after :data:`LONGEST_WAIT_S`, the turn begins with those that are there.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hanse.audit.requests import request_tree
from hanse.server.completions import start
from hanse.server.scoring.alike import AlikeCall, AlikeCalls, Permitted
from hanse.server.scoring.asked import LogPlace
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.entries import CallEntry, merged
from hanse.server.scoring.served import Columns, LocalModel

if TYPE_CHECKING:
    from hanse.audit import Event

LONGEST_GAP_S: Final = 0.002
LONGEST_WAIT_S: Final = 0.01

_Result = TypeVar("_Result")
_Scores = npt.NDArray[np.float64]
_NO_SCORES: Final[_Scores] = np.zeros(0)
AlikeTold: TypeAlias = tuple[Permitted, LogPlace] | BaseException | None


class Work(NamedTuple):
    """What a model is to do for a call.

    Attributes:
        model: The model version.
        columns: Values of its columns, one per admitted subject.
        rows: Number of admitted subjects.
    """

    model: LocalModel
    columns: Columns
    rows: int


@dataclass(slots=True)
class Turn(Generic[_Result]):
    """A call that waits.

    Attributes:
        entry: What the log is to say of it.
        finish: Makes of the probabilities, one per admitted subject, what is answered; whatever it raises
            refuses the call.
        work: What the model is to do first, or the probabilities.
    """

    entry: CallEntry
    finish: Callable[[_Scores], _Result]
    work: Work | _Scores


class _Done(Protocol):
    """What learns how a turn ended; the part of a future that is needed."""

    def done(self) -> bool:
        """Whether it has learned that."""
        ...

    def set_result(self, result: Any, /) -> None:  # noqa: ANN401
        """What is answered."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Why nothing is."""
        ...


class _Called:
    """Calls somebody right away, who must not raise.

    A future would wake a task in the loop's next round, for every call of a turn.
    """

    __slots__ = ("_then",)

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then: Callable[[Any], None] | None = then

    def done(self) -> bool:
        return self._then is None

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        then, self._then = self._then, None
        if then is not None:
            then(result)

    set_exception = set_result


class _Waiting(NamedTuple):
    turn: Turn[Any] | AlikeCall
    done: _Done


class _Ready(NamedTuple):
    """A call that is answered as soon as its entry is on disk."""

    done: _Done
    entry: CallEntry
    result: object


class Turns:
    """Takes the turns of one event loop.

    Args:
        log: Where the entries go.
        alike: Decides about calls that look like calls before.
    """

    def __init__(self, log: GroupCommit, alike: AlikeCalls) -> None:
        self._log = log
        self._alike = alike
        self._waiting: list[_Waiting] = []
        self._expected = 1
        self._is_under_way = False
        self._task: asyncio.Task[None] | None = None  # nobody else holds it
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._known_loop: asyncio.AbstractEventLoop | None = None

    async def take(self, turn: Turn[_Result]) -> tuple[_Result, LogPlace]:
        """Waits for the turn of a call.

        Args:
            turn: The call. Its entry is written even when the call is given up meanwhile.

        Returns:
            What ``finish`` made, and where the entry is, which is on disk.

        Raises:
            AuditError: ``audit.unavailable`` or ``audit.integrity``; nothing may be answered then.
            Exception: What the model or ``finish`` raised; there is no entry then.
        """
        done: asyncio.Future[tuple[_Result, LogPlace]] = self._loop.create_future()
        self._wait(turn, done)
        return await done

    def write(self, entry: CallEntry) -> "asyncio.Future[tuple[None, LogPlace]]":
        """Hands in the entry of a call whose scores come from elsewhere.

        Args:
            entry: What the log is to say of it.

        Returns:
            Nothing, and where the entry is, which is on disk; or what :meth:`take` would raise. Not to be
            cancelled: nobody would learn whether the entry is there.
        """
        done: asyncio.Future[tuple[None, LogPlace]] = self._loop.create_future()
        self._wait(Turn(entry, _elsewhere, _NO_SCORES), done)
        return done

    def hand_in(self, call: AlikeCall, then: Callable[[AlikeTold], None]) -> None:
        """Hands in a call that looks like one before.

        Args:
            call: The call. If there is an entry, it is written even when the call is given up meanwhile.
            then: Is called, and must not raise, with what is answered and where the entry is, which is on
                disk; with None if the call is to be decided alone: then there is no entry; or with what
                :meth:`take` would raise.
        """
        self._wait(call, _Called(then))

    def _wait(self, turn: Turn[Any] | AlikeCall, done: _Done) -> None:
        self._waiting.append(_Waiting(turn, done))
        if not self._is_under_way:
            self._begin_or_wait(self._loop)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The loop that these turns are taken in; to ask which that is costs a call of the system."""
        if self._known_loop is None:
            self._known_loop = asyncio.get_running_loop()
        return self._known_loop

    def _begin_or_wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) >= self._expected:
            self._begin()
        elif self._timer is None:
            self._until = loop.time() + LONGEST_WAIT_S
            self._timer = loop.call_later(LONGEST_GAP_S, self._look_again, len(self._waiting))

    def _look_again(self, before: int) -> None:
        """Goes on waiting if more calls have come."""
        loop = self._loop
        if before < len(self._waiting) and loop.time() < self._until:
            self._timer = loop.call_later(LONGEST_GAP_S, self._look_again, len(self._waiting))
        else:
            self._begin()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._is_under_way = True
        self._task = start(self._serve(waiting))

    async def _serve(self, waiting: Sequence[_Waiting]) -> None:
        try:
            await self._answer([*_computed(waiting), *self._decided(waiting)])
        except BaseException as error:  # noqa: BLE001 - every call that waits learns of it
            for each in waiting:
                if not each.done.done():
                    each.done.set_exception(error)
        finally:
            self._is_under_way = False
            # Those who are answered now may ask again, and then go with those who wait already.
            self._expected = len(waiting) + len(self._waiting)
            if self._waiting:
                self._begin_or_wait(self._loop)

    def _decided(self, waiting: Sequence[_Waiting]) -> list[_Ready]:
        """Decides about calls that look like calls before; who is to be decided alone learns it here."""
        asked = [(each.turn, each.done) for each in waiting if isinstance(each.turn, AlikeCall)]
        if not asked:
            return []
        ready: list[_Ready] = []
        for (_, done), found in zip(asked, self._alike.decide([call for call, _ in asked]), strict=True):
            if found is not None:
                ready.append(_Ready(done, found.entry, found.answer))
            elif not done.done():
                done.set_result(None)
        return ready

    async def _answer(self, ready: Sequence[_Ready]) -> None:
        """One entry per group of calls that share what they must; all of them in one commit."""
        if not ready:
            return
        groups: dict[object, list[_Ready]] = {}
        for each in ready:
            groups.setdefault(each.entry.shared, []).append(each)
        events: list[Event] = []
        paths: list[list[tuple[bytes, ...]]] = []
        for group in groups.values():
            entries = [each.entry for each in group]
            root, own = request_tree([entry.request for entry in entries])
            events.append(merged(entries, root))
            paths.append(own)
        first = await self._log.append(*events)
        for index, (group, own) in enumerate(zip(groups.values(), paths, strict=True), first):
            for position, (each, path) in enumerate(zip(group, own, strict=True)):
                if not each.done.done():
                    each.done.set_result((each.result, LogPlace(index, position, path)))


def _elsewhere(_scores: _Scores) -> None:
    """What is made of scores that do not come from here."""


def _computed(waiting: Sequence[_Waiting]) -> list[_Ready]:
    """Runs the models, once for all calls of a version; whoever is refused learns it here."""
    turns = [(each.turn, each.done) for each in waiting if isinstance(each.turn, Turn)]
    by_model: dict[int, list[Work]] = {}
    for turn, _ in turns:
        if isinstance(turn.work, Work):
            by_model.setdefault(id(turn.work.model), []).append(turn.work)
    scores: dict[int, _Scores] = {}
    for works in by_model.values():
        scores.update(_together(works) if len(works) > 1 else {})
    ready: list[_Ready] = []
    for turn, done in turns:
        try:
            ready.append(_Ready(done, turn.entry, turn.finish(_own(turn.work, scores))))
        except Exception as error:  # noqa: BLE001 - it refuses this call, and no other
            if not done.done():
                done.set_exception(error)
    return ready


def _own(work: Work | _Scores, scores: dict[int, _Scores]) -> _Scores:
    if not isinstance(work, Work):
        return work
    found = scores.get(id(work))
    return work.model.scores(work.columns) if found is None else found


def _together(works: Sequence[Work]) -> dict[int, _Scores]:
    """Scores of all calls of a version, by call; none if that fails, so that each call is tried alone."""
    names = works[0].columns.keys()
    try:
        columns = {name: np.concatenate([work.columns[name] for work in works]) for name in names}
        scores = works[0].model.scores(columns)
    except Exception:  # noqa: BLE001 - whose fault it is shows when each is tried alone
        return {}
    ends = np.cumsum([work.rows for work in works])[:-1]
    return dict(zip(map(id, works), np.split(scores, ends), strict=True))
