"""A vertical model version as a scorer serves it."""

import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hanse.errors import PolicyError, ServingError
from hanse.learning.vertical.serving import LabelHalf, rows_of
from hanse.policies import Pseudonymiser
from hanse.scoring.reasons.halves import explains
from hanse.server.completions import begin
from hanse.server.scoring.own.messages import REASONS
from hanse.server.scoring.served import Calling, Columns, Scored, Served
from hanse.server.scoring.vertical.explaining import Why
from hanse.server.scoring.vertical.partner import Asking, Heard, Partner

BASIS_OUTPUT: Final = "basis"
JOINT: Final = "joint"
OWN_COLUMNS: Final = "own_columns"

_FALLS_BACK: Final = frozenset({"scoring.partner-unavailable", "scoring.partner-timeout"})
_LONGEST_RESERVE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class VerticalModel(Served):
    """A model whose parts are at several members; see :mod:`hanse.learning.vertical.serving`.

    Attributes:
        member: Name of the label holder, who scores.
        part: This site's part.
        pseudonymiser: Makes this site's pseudonyms.
        places: By pseudonym, the place among the common people.
        partners: The feature holders that are asked.
        fallback: What its own columns alone say; None if that is not agreed.
        patience_s: Longest time to wait for a feature holder, seconds, where the call leaves that much.
    """

    member: str
    part: LabelHalf
    pseudonymiser: Pseudonymiser
    places: Mapping[str, int]
    partners: tuple[Partner, ...]
    fallback: LabelHalf | None
    patience_s: float

    @property
    @override
    def outputs(self) -> Mapping[str, str]:
        """What is said beside scores: on which columns each rests, and why it is as it is."""
        agreed = self.agreement.agreement.scoring.reason_codes and self.explains
        return {BASIS_OUTPUT: "BYTES", REASONS: "BYTES"} if agreed else {BASIS_OUTPUT: "BYTES"}

    @property
    @override
    def explains(self) -> bool:
        """Where scores are sums."""
        return explains(self.part) and (self.fallback is None or explains(self.fallback))

    @override
    async def probabilities(
        self, subjects: Sequence[str], columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """See :meth:`Served.probabilities`.

        Raises:
            PolicyError: ``policy.denied``: other members must be told on whose behalf they are asked.
        """
        raise PolicyError("policy.denied", "a vertical model is asked on somebody's behalf", rule="P23")

    @override
    async def scored(self, calling: Calling, columns: Columns, admitted: npt.NDArray[np.bool_]) -> Scored:
        """Scores by all members' columns, or by its own where that is agreed, and says which.

        A person whom a feature holder refuses is denied, and nobody is told why. So is one whom the members
        do not have in common, unless its own columns may do.

        Args:
            calling: On whose behalf, and whom.
            columns: Values of the label holder's own columns, one per subject.
            admitted: Who is scored.

        Raises:
            ServingError: ``scoring.partner-…`` when a feature holder does not answer, and nothing is agreed
                for that.
        """
        all_refs = [self.pseudonymiser.ref(subject) for subject in calling.subjects]
        is_admitted = admitted.tolist()
        self.forget([ref for ref, is_in in zip(all_refs, is_admitted, strict=True) if not is_in])
        own = _rows(columns, is_admitted)
        refs = [ref for ref, is_in in zip(all_refs, is_admitted, strict=True) if is_in]
        common = [ref in self.places for ref in refs]
        alone = [not is_common for is_common in common]
        asked = REASONS in calling.outputs and REASONS in self.outputs
        why = Why(self.agreement.agreement, self.member, len(refs)) if asked else None
        try:
            joint = await self._joint(calling, [ref for ref in refs if ref in self.places], own, common, why)
            probabilities = _spread(joint, common)
        except ServingError as error:
            if self.fallback is None or error.code not in _FALLS_BACK:
                raise
            alone = [True] * len(refs)
            probabilities = np.full(len(refs), np.nan)
        if self.fallback is not None and any(alone):
            mine = _rows(own, alone)
            probabilities[np.array(alone, dtype=np.bool_)] = self.fallback.scores(mine, {})
            if why is not None:
                why.note(np.flatnonzero(alone), self.fallback, mine, {})
        outputs, marks = _told(probabilities.tolist(), alone, is_admitted)
        if why is not None:
            outputs[REASONS] = why.output(admitted)
        return Scored(probabilities, outputs, marks, alone=all(alone))

    def forget(self, refs: Sequence[str]) -> None:
        """Drops what is kept of people who have withdrawn.

        Args:
            refs: Pseudonyms.
        """
        for partner in self.partners:
            partner.cache.purge(refs)

    async def _joint(
        self,
        calling: Calling,
        refs: Sequence[str],
        own: Columns,
        common: Sequence[bool],
        why: Why | None,
    ) -> npt.NDArray[np.float64]:
        """Scores of common people; NaN for whom a feature holder refuses."""
        if not refs:
            return np.zeros(0)
        asking = Asking(calling.caller, calling.purpose, self._until(calling))
        places = [self.places[ref] for ref in refs]
        heard = await _all([partner.answers(places, asking) for partner in self.partners])
        answered = [None not in row for row in zip(*heard, strict=True)] or [True] * len(refs)
        if not any(answered):
            return np.full(len(refs), np.nan)
        said = {
            partner.name: rows_of(_kept(rows, answered), partner.model.form)
            for partner, rows in zip(self.partners, heard, strict=True)
        }
        each = iter(answered)
        chosen = [is_common and next(each) for is_common in common]
        mine = _rows(own, chosen)
        scores = self.part.scores(mine, said)
        if why is not None:
            why.note(np.flatnonzero(chosen), self.part, mine, said)
        return _spread(scores, answered)

    def _until(self, calling: Calling) -> float:
        """When waiting ends: with time left to answer the call otherwise, and to log it."""
        now = asyncio.get_running_loop().time()
        if calling.until is None:
            return now + self.patience_s
        left_s = calling.until - now
        return now + min(self.patience_s, left_s - min(_LONGEST_RESERVE_S, 0.25 * max(left_s, 0.0)))


def _told(
    probabilities: Sequence[float], alone: Sequence[bool], admitted: Sequence[bool]
) -> tuple[dict[str, Sequence[bytes]], dict[str, str]]:
    """On which columns each score rests, and all of them."""
    rests = [
        "" if math.isnan(one) else OWN_COLUMNS if is_alone else JOINT
        for one, is_alone in zip(probabilities, alone, strict=True)
    ]
    used = sorted({*rests} - {""})
    basis = used[0] if len(used) == 1 else "mixed"
    each = iter(rests)
    rows = [next(each).encode() if is_in else b"" for is_in in admitted]
    return {BASIS_OUTPUT: rows}, {BASIS_OUTPUT: basis} if used else {}


def _spread(scores: npt.NDArray[np.float64], known: Sequence[bool]) -> npt.NDArray[np.float64]:
    """Scores of those of whom they are known, in their places; NaN in the others."""
    if all(known):
        return scores
    spread = np.full(len(known), np.nan)
    spread[np.array(known, dtype=np.bool_)] = scores
    return spread


async def _all(asked: Sequence[Coroutine[Any, Any, list[Heard]]]) -> list[list[Heard]]:
    """Waits for all; when one fails, nobody waits for the others, and their questions go on unheard."""
    if len(asked) == 1:
        return [await asked[0]]
    tasks: list[asyncio.Future[list[Heard]]] = []
    try:
        tasks += map(begin, asked)
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _kept(rows: Sequence[Heard], answered: Sequence[bool]) -> list[bytes]:
    return [row or b"" for row, is_answered in zip(rows, answered, strict=True) if is_answered]


def _rows(columns: Columns, chosen: Sequence[bool]) -> Columns:
    if all(chosen):
        return columns
    where = np.array(chosen, dtype=np.bool_)
    return {name: values[where] for name, values in columns.items()}
