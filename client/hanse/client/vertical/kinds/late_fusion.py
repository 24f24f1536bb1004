"""Late fusion, at a member: each fits a model to its own columns, and the label holder adds the log-odds."""

from typing import Final

import numpy as np

from hanse.client.vertical.kinds.kind import Conversations, Files, Site
from hanse.client.vertical.kinds.own import fit_own, hold_out_last
from hanse.client.vertical.records import CommonRows
from hanse.errors import ProtocolError
from hanse.exchange.transcript import Transcript
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.fusion import (
    Fusion,
    fuse_feature_holder,
    fuse_label_holder,
    receive_logits,
    send_logits,
)
from hanse.learning.vertical.leakage.recorder import Recorder
from hanse.learning.vertical.leakage.watching import sent_report
from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.runs.figures import Figures, alone, held_out_figures, others
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.runs.terms import fusion_settings, own_binning

MODE: Final = "late fusion, label noise"
"""As leakage reports name it."""


class LateFusion:
    """See :class:`hanse.client.vertical.kinds.kind.Kind`.

    Args:
        site: The member.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = fusion_settings(site.agreement)
        self._fusion: Fusion | None = None
        self._own: OwnModel | None = None
        self._recorders: list[Recorder] = []

    def require(self) -> None:
        """Nothing."""

    def divide(self, rows: CommonRows) -> CommonRows:
        """The last of the common order: of them no label is sent, however it is flipped."""
        return hold_out_last(self._site, rows)

    def train_alone(self, rows: CommonRows) -> Files:
        """The label holder's own model."""
        self._own = fit_own(self._site, rows)
        return {"part.json": self._own.encode()}

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """One message of flipped labels each way out, one of log-odds back."""
        taught, settings = rows.of(~rows.held_out), self._settings
        binning = own_binning(self._site.columns, taught.columns)
        if not self._site.has_label:
            holder = talk.peers[self._site.vertical.label_holder]
            self._own = fuse_feature_holder(binning, taught.columns, holder, settings, root)
            return {"part.json": self._own.encode()}
        peers = self._in_order(talk)
        self._recorders = [Recorder(peers[name], taught.rows) for name in peers]
        heard = dict(zip(peers, self._recorders, strict=True))
        labels = taught.labels == 1
        self._fusion = fuse_label_holder(
            binning, taught.columns, labels, heard, settings, root, SecureRandom()
        )
        own, weights = self._fusion.encode()
        return {"part.json": own, "weights.json": weights}

    def attack(self, rows: CommonRows) -> Reports:
        """On the flipped labels that went to each feature holder."""
        labels, rng = rows.labels[~rows.held_out] == 1, np.random.default_rng()
        return tuple(
            sent_report(one, MODE, labels, rng, self._settings.epsilon)
            for one in sorted(self._recorders, key=lambda one: one.peer)
        )

    def evaluate(self, rows: CommonRows, talk: Conversations) -> Figures:
        """Feature holders send log-odds of held-out people."""
        kept = rows.of(rows.held_out)
        if self._own is None:
            raise ProtocolError("protocol.unexpected-step", "an evaluation before the training")
        if self._fusion is None:
            send_logits(self._own, kept.columns, talk.peers[self._site.vertical.label_holder])
            return {}
        heard = [receive_logits(peer, kept.rows) for peer in self._in_order(talk).values()]
        added = np.sum([w * one for w, one in zip(self._fusion.weights[1:-1], heard, strict=True)], axis=0)
        return (
            held_out_figures(logistic(self._fusion.logits(kept.columns, heard)), kept.labels)
            | others(added, kept.labels)
            | alone(held_out_figures(logistic(self._own.logits(kept.columns)), kept.labels))
        )

    def _in_order(self, talk: Conversations) -> dict[str, Transcript]:
        """Channels to feature holders in the agreement's order, which is that of the weights."""
        return {name: talk.peers[name] for name in self._site.vertical.feature_holders}
