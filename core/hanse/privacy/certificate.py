"""What a run promises, in one document: the figure, what it is about, and what it rests on.

An epsilon without unit and adjacency says little: the same mechanism reads 1.0 for *add or remove one
record*, 2.06 for *replace one record*, and more for a person with several records. So a certificate states
all of them, and the events from which anybody can compute the figures again.
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from hanse.crypto import JsonValue
from hanse.privacy.accountant import GRID, epsilon
from hanse.privacy.events import PrivacyEvent, events_to_json
from hanse.privacy.person import person_epsilon

_SHOWN_MEMBERS: Final = (2, 3)


def make_certificate(
    training: Sequence[PrivacyEvent],
    holdout: Sequence[PrivacyEvent],
    delta: float,
    *,
    members: int,
    honest_shares: int,
) -> dict[str, JsonValue]:
    """The certificate of what was released.

    Args:
        training: Releases about training records.
        holdout: Releases about held-out records; no record is of both.
        delta: The delta of every figure, in (0, 1).
        members: Members of the run.
        honest_shares: Shares of which shared noise is made; 1 if every member added all of it.

    Returns:
        A JSON value, without anything that depends on a record.

    Raises:
        PrivacyError: ``privacy.unsupported`` if delta is out of range.
    """
    known_to = [k for k in _SHOWN_MEMBERS if k <= members]
    return {
        "epsilon": _finite(max(epsilon(training, delta), epsilon(holdout, delta))),
        "delta": delta,
        "unit": "record",
        "adjacency": "add-or-remove-one",
        "sampling": "poisson, an independent coin per record and step, tossed by its member",
        "person": {str(k): _finite(person_epsilon(training, holdout, delta, k)) for k in known_to},
        "members": members,
        "honest_shares": honest_shares,
        "assumption": _assumption(members, honest_shares),
        "accountant": {
            "method": "privacy loss distributions, pessimistic",
            "grid": GRID,
            "dp-accounting": version("dp-accounting"),
        },
        "training": events_to_json(training),
        "holdout": events_to_json(holdout),
    }


def _finite(figure: float) -> float | None:
    """None stands for an epsilon too large to protect anybody, which JSON has no number for."""
    return figure if math.isfinite(figure) else None


def _assumption(members: int, honest_shares: int) -> str:
    if honest_shares == 1:
        return "the member that holds the record runs the agreed software"
    return (
        f"at most {members - honest_shares} of {members} members collude with a reader of the sums or drop "
        "out of one; the others run the agreed software, and sums with fewer members are refused"
    )
