"""Calls that wait together and look like calls before: those that nothing is wrong with are decided at once.

What :class:`hanse.server.scoring.scorer.Scorer` asks of every call is asked here of all calls that a caller
has sent with the same purpose to the same model version: at one moment, after all of them came and before
any of them is answered. Where everything is permitted, to everybody, the model runs once for all of them.
Whatever is not as simple as that is decided call by call, where it is also refused: this module refuses
nothing.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hanse.audit import ConsentState
from hanse.errors import HanseError
from hanse.policies import daily_rows
from hanse.server.scoring.consents import Consents
from hanse.server.scoring.entries import CallEntry, answered_alike
from hanse.server.scoring.freshness import elapsed_s
from hanse.server.scoring.layouts import Alike, Layout, Subjects
from hanse.server.scoring.leases import Account
from hanse.server.scoring.minimising import everybody, said
from hanse.server.scoring.served import Columns, LocalModel, Scores, Served

if TYPE_CHECKING:
    from hanse.server.scoring.scorer import Site

MANY_ROWS: Final = 256
"""From here on single precision takes less time, with what it takes to be sure."""
_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class AlikeCall(NamedTuple):
    """A call that looks like one before.

    Attributes:
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.
        request: What it asks.
        subjects: Identifiers of the subjects, in UTF-8 if they are any text at all.
        digest: Names the request in the log.
    """

    caller: str
    purpose: str
    request: Alike
    subjects: Subjects
    digest: str


class Permitted(NamedTuple):
    """What is answered to a call about people who are all admitted.

    Attributes:
        served: The model version that answers.
        scores: float32 per subject, in the form that the agreement allows.
        consent: The consent ledger that was decided on.
        read_at: :func:`hanse.server.scoring.freshness.elapsed_s` before it was read.
    """

    served: LocalModel
    scores: npt.NDArray[np.float32]
    consent: ConsentState
    read_at: float


class Decided(NamedTuple):
    """A call that is answered.

    Attributes:
        entry: What the log is to say of it.
        answer: What is answered once the entry is on disk.
    """

    entry: CallEntry
    answer: Permitted


def may_be_alike(served: Served) -> bool:
    """Whether every row of a call to a model version is told by itself, from what the call brings."""
    scoring = served.agreement.agreement.scoring
    return isinstance(served, LocalModel) and not scoring.by_id and scoring.output != "list"


class _Group(NamedTuple):
    """Calls of one caller, for one purpose and one model version, with columns and rows alike."""

    served: LocalModel
    calls: list[AlikeCall]
    places: list[int]


class _Charge(NamedTuple):
    """Who is charged, of how many rows in a day, and when."""

    account: Account
    daily_rows: int
    now: datetime


class AlikeCalls:
    """Decides about them; see the module. Not safe for threads.

    Args:
        site: What a scorer works with.
        consents: What was decided about subjects.
    """

    def __init__(self, site: "Site", consents: Consents) -> None:
        self._site = site
        self._consents = consents

    def decide(self, calls: Sequence[AlikeCall]) -> list[Decided | None]:
        """Decides about calls that wait.

        Args:
            calls: The calls, in any order.

        Returns:
            For each what the log is to say and what is answered then; None if it is to be decided alone.
        """
        decided: list[Decided | None] = [None] * len(calls)
        for group in self._groups(calls):
            # Whatever this is, it comes again when each call is decided alone, and is told and logged there.
            with suppress(Exception):
                for place, found in zip(group.places, self._permitted(group), strict=True):
                    decided[place] = found
        return decided

    def _groups(self, calls: Sequence[AlikeCall]) -> Iterable[_Group]:
        groups: dict[Hashable, _Group] = {}
        for place, call in enumerate(calls):
            layout = call.request.layout
            try:
                served = self._site.table.route(layout.model, layout.version, call.request.subjects)
            except HanseError:
                continue
            if isinstance(served, LocalModel) and layout.bound_to == served.agreement.digest:
                key = (call.caller, call.purpose, served.digest, layout.rows, layout.names, layout.dtype)
                group = groups.setdefault(key, _Group(served, [], []))
                group.calls.append(call)
                group.places.append(place)
        return groups.values()

    def _permitted(self, group: _Group) -> list[Decided | None]:
        """What is said of each call; None for those that something is wrong with.

        Raises:
            HanseError: If something is wrong with all of them.
        """
        served, (first, *_) = group.served, group.calls
        site, layout = self._site, first.request.layout
        site.require_running(served.agreement.agreement)
        site.freshness.require()
        job = self._consents.open_call(served, first.caller, first.purpose, site.clock())
        values, is_good = _values(group.calls)
        read_at = elapsed_s()
        sizes = self._consents.admits(served, job, [call.subjects for call in group.calls])
        good = [place for place, size in enumerate(sizes) if size and is_good[place]]
        charge = _Charge(Account(job.agreement.id, first.caller), daily_rows(job, first.caller), job.now)
        good = self._charged(charge, good, layout.rows)
        if not good:
            return [None] * len(sizes)
        try:
            columns = _columns(layout, values if len(good) == len(sizes) else values[good])
            scores = told(served, columns).reshape(len(good), layout.rows)
        except BaseException:
            site.quota.take_back(charge.account, layout.rows * len(good), job.now)
            raise
        found: list[Decided | None] = [None] * len(sizes)
        states = {size: self._consents.state(size) for size in set(sizes) if size}
        shared = answered_alike(served, first.caller, first.purpose, self._consents.state(0))
        for own, place in zip(scores, good, strict=True):
            size = sizes[place]
            entry = CallEntry(shared, group.calls[place].digest, layout.rows, layout.rows, _NONE, _NONE, size)
            found[place] = Decided(entry, Permitted(served, own, states[size], read_at))
        return found

    def _charged(self, charge: _Charge, calls: list[int], rows: int) -> list[int]:
        """Charges calls of so many rows each; those that can be charged without waiting for a lease."""
        spend = self._site.quota.spend
        if spend(charge.account, charge.daily_rows, rows * len(calls), charge.now):
            return calls
        return [call for call in calls if spend(charge.account, charge.daily_rows, rows, charge.now)]


def _values(calls: Sequence[AlikeCall]) -> tuple[npt.NDArray[np.float64], Sequence[bool]]:
    """Values of calls, shape (calls, columns, rows), and which calls have finite ones alone."""
    layout = calls[0].request.layout
    flat = np.frombuffer(b"".join([call.request.values for call in calls]), layout.dtype)
    values = flat.astype(np.float64).reshape(len(calls), len(layout.names), layout.rows)
    finite = np.isfinite(values)
    if finite.all():
        return values, [True] * len(calls)
    return values, [bool(each.all()) for each in finite]


def _columns(layout: Layout, values: npt.NDArray[np.float64]) -> Columns:
    """Values by column, one per row of all calls."""
    return dict(zip(layout.names, values.transpose(1, 0, 2).reshape(len(layout.names), -1), strict=True))


def told(served: LocalModel, columns: Columns) -> npt.NDArray[np.float32]:
    """Scores of rows, all of them admitted, in the agreed form.

    Args:
        served: The model version that answers.
        columns: Values of its columns, one per row.

    Returns:
        One per row. For many rows the model runs in single precision: a form never falls when scores rise, so
        where it says the same of the lowest and the highest that a score can be, it says that of the score.
        The others are computed in double precision, as a few rows are.
    """
    rows = len(next(iter(columns.values())))
    ranges = served.score_ranges(columns) if rows >= MANY_ROWS else None
    if ranges is None:
        return _in_form(served, columns, served.scores(columns))
    lowest, highest = (_in_form(served, columns, scores) for scores in ranges)
    unsure = np.flatnonzero(lowest != highest)
    if len(unsure):
        others = {name: values[unsure] for name, values in columns.items()}
        lowest[unsure] = _in_form(served, others, served.scores(others))
    return lowest


def _in_form(served: LocalModel, columns: Columns, scores: Scores) -> npt.NDArray[np.float32]:
    return said(served, columns, everybody(len(scores)), scores)
