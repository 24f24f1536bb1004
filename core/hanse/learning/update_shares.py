"""What each member's update did for a round, where the updates are seen and no subset may be evaluated.

Models of subsets would have to be shown to those who hold the rows, and from them members could compute each
other's updates. So the game is over the updates alone: a subset is worth how much its members' updates, each
weighted by its rows, pull the same way in pairs. That is a sum over pairs, whose Shapley values (Shapley, "A
Value for n-Person Games", 1953) are exact and in closed form: half of what each pulls together with all
others. Nobody is measured by its own update: length alone, and privacy noise, which is independent, count for
nothing on average.

A round's fall of the federated loss is then divided by these values. Since the mean update is about the
loss's negative gradient, that is the first order of what the round would have lost without the member.

Limits: who has something to say that no other member's rows say is valued too low, and copied rows are valued
like their originals. The loss itself is measured on held-out rows of the members, with noise if there is a
budget.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from hanse.learning.aggregation import Update
from hanse.policies.fields import Count, Document, Many, Name

_Figure = Annotated[float, Field(ge=-1e12, le=1e12)]

MEASURE: Final = "fall of the log loss on all members' held-out rows, nats per row, by shared direction"
"""What a contribution of a run is, for people."""


class MemberContribution(Document):
    """What one member added to a run.

    Attributes:
        member: Its name.
        contribution: In nats per held-out row; may be negative.
    """

    member: Name
    contribution: _Figure


class RunContributions(Document):
    """What all members added to a run; they add up to the fall of the loss.

    Attributes:
        schema_version: Version of this form.
        method: See the module docstring.
        rounds: Rounds that were divided.
        first_loss: Log loss of the model before the first of them, in nats per held-out row.
        last_loss: Of the model after the last.
        each: By name.
    """

    schema_version: Literal[1] = 1
    method: Literal["shapley-of-updates"] = "shapley-of-updates"
    rounds: Count
    first_loss: _Figure
    last_loss: _Figure
    each: Annotated[Many[MemberContribution], Field(min_length=2)]


def shares_of_round(updates: Sequence[Update]) -> dict[str, float]:
    """Which part of a round's fall of the loss is each member's.

    Args:
        updates: Those that were combined, finite.

    Returns:
        By member; they add up to 1, and may be negative. Equal ones where updates do not pull together.
    """
    rows = np.array([update.rows for update in updates], dtype=np.float64)
    weighted = (
        np.stack([update.delta for update in updates]).astype(np.float64) * (rows / rows.sum())[:, None]
    )
    others = weighted.sum(axis=0) - weighted
    values = (weighted * others).sum(axis=1)
    total = float(values.sum())
    # Where updates cancel, dividing by what is left would blow up each one's share.
    if total <= _LEAST * float(np.abs(values).sum()):
        return {update.member: 1 / len(updates) for update in updates}
    return {update.member: float(value / total) for update, value in zip(updates, values, strict=True)}


_LEAST: Final = 0.1


def divide_run(
    members: Sequence[str], losses: Sequence[float | None], shares: Sequence[Mapping[str, float]]
) -> RunContributions | None:
    """Divides a run's fall of the loss.

    Args:
        members: Everybody of the agreement; who left before has what it added until then.
        losses: Log loss before the first round and after each.
        shares: Of each round.

    Returns:
        The contributions; None where noise or data left no loss to divide.
    """
    known = [loss for loss in losses if loss is not None]
    if len(known) != len(losses) or len(shares) != len(losses) - 1 or not shares:
        return None
    falls = -np.diff(known)
    each = {
        member: float(sum(fall * part.get(member, 0.0) for fall, part in zip(falls, shares, strict=True)))
        for member in sorted(members)
    }
    return RunContributions(
        rounds=len(shares),
        first_loss=known[0],
        last_loss=known[-1],
        each=tuple(MemberContribution(member=name, contribution=value) for name, value in each.items()),
    )
