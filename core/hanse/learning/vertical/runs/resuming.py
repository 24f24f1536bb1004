"""Which vertical runs go on after an interruption, and what counts as one: for members and coordinator."""

from typing import Final

RESUMABLE: Final = frozenset({"trees"})
"""Models of which a run goes on from what its members have kept. Others begin again, in another run: a
scorecard and a split network keep nothing on the way, and late fusion would send labels that were flipped
anew."""

GONE: Final = frozenset(
    {
        "exchange.closed",
        "exchange.idle",
        "exchange.lost",
        "exchange.restarted",
        "exchange.unknown-session",
        "sealed.truncated",
    }
)
"""Errors that say that somebody is not there, and not that anybody has done wrong.

That a wait was too long says it only of somebody who has no connection.
"""

MAY_GO_ON: Final = GONE | {"exchange.timeout", "run.interrupted", "run.engine"}
"""Errors after which a member keeps what a run may be gone on with: as far as it knows, somebody is gone."""
