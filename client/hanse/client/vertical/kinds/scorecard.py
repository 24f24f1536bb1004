"""A scorecard on secret shares, at a member."""

from typing import Final

import numpy as np

from hanse.client.vertical.kinds.kind import Conversations, Files, Site
from hanse.client.vertical.kinds.own import fit_own, hold_out_last
from hanse.client.vertical.records import CommonRows
from hanse.errors import ProtocolError
from hanse.learning.vertical.leakage.recorder import Recorder
from hanse.learning.vertical.leakage.watching import sent_report
from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.runs.figures import Figures, alone, held_out_figures, others
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.runs.terms import card_settings, own_binning
from hanse.learning.vertical.scorecard.card import HalfCard, probabilities
from hanse.learning.vertical.scorecard.parties import (
    receive_points,
    send_points,
    train_feature_holder,
    train_label_holder,
)

MODE: Final = "scorecard"
"""As leakage reports name it."""


class Scorecard:
    """See :class:`hanse.client.vertical.kinds.kind.Kind`.

    Args:
        site: The member.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._half: HalfCard | None = None
        self._alone: OwnModel | None = None
        self._recorder: Recorder | None = None

    def require(self) -> None:
        """Nothing."""

    def divide(self, rows: CommonRows) -> CommonRows:
        """The last of the common order: both parties leave them out of what they share."""
        return hold_out_last(self._site, rows)

    def train_alone(self, rows: CommonRows) -> Files:
        """A card of own columns, in log-odds."""
        self._alone = fit_own(self._site, rows)
        return {"part.json": self._alone.encode()}

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """Fits both halves."""
        taught, settings = rows.of(~rows.held_out), card_settings(self._site.agreement, rows.rows)
        binning = own_binning(self._site.columns, taught.columns)
        [(_, peer)] = talk.peers.items()
        if self._site.has_label:
            self._recorder = Recorder(peer, taught.rows)
            labels = taught.labels == 1
            self._half = train_label_holder(
                binning, taught.columns, labels, settings, root, self._recorder, talk.dealer
            )
        else:
            self._half = train_feature_holder(binning, taught.columns, settings, root, peer, talk.dealer)
        return {"part.json": self._half.encode()}

    def attack(self, rows: CommonRows) -> Reports:
        """On all shares and masked numbers that went to the feature holder."""
        if self._recorder is None:
            return ()
        return (sent_report(self._recorder, MODE, rows.labels[~rows.held_out] == 1, np.random.default_rng()),)

    def evaluate(self, rows: CommonRows, talk: Conversations) -> Figures:
        """The feature holder sends its points of held-out people."""
        kept = rows.of(rows.held_out)
        [(_, peer)] = talk.peers.items()
        half = self._half
        if half is None:
            raise ProtocolError("protocol.unexpected-step", "an evaluation before the training")
        if self._alone is None:
            send_points(half, kept.columns, peer)
            return {}
        theirs = receive_points(peer, kept.rows)
        points = half.score(half.binning.encode(kept.columns)) + theirs
        return (
            held_out_figures(probabilities(half.scale, points), kept.labels)
            | others(theirs.astype(np.float64), kept.labels)
            | alone(held_out_figures(logistic(self._alone.logits(kept.columns)), kept.labels))
        )
