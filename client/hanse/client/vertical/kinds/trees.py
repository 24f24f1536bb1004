"""Boosted trees on shared or encrypted sums, at a member."""

import os
from typing import Any, Final

import numpy as np

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.client.vertical.kinds.kind import Conversations, Files, Site
from hanse.client.vertical.records import CommonRows
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.leakage.watching import WatchedTrees
from hanse.learning.vertical.runs.figures import Figures, alone, held_out_figures
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.runs.terms import own_binning, trees_terms
from hanse.learning.vertical.trees.feature_holder import FeatureHolder
from hanse.learning.vertical.trees.homomorphic.scheme import require_library
from hanse.learning.vertical.trees.label_holder import LabelHolder
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart
from hanse.learning.vertical.trees.terms import TreesTerms

_SIDES: Final = "sides"
_TABLE: Final = 2


class Trees:
    """See :class:`hanse.client.vertical.kinds.kind.Kind`.

    Args:
        site: The member.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._part: LabelPart | FeaturePart | None = None
        self._alone: LabelPart | None = None
        self._watched: list[WatchedTrees] = []

    def require(self) -> None:
        """Without a dealer, the library that encrypts."""
        if self._site.vertical.trust.key_bits is not None:
            require_library()

    def divide(self, rows: CommonRows) -> CommonRows:
        """As the site's own secret says: nobody else learns who is held out."""
        return rows

    def train_alone(self, rows: CommonRows) -> Files:
        """Trees over own columns."""
        terms = trees_terms(self._site.agreement, rows.rows, b"").model_copy(update={"feature_holders": ()})
        self._alone = self._holder(terms, rows).train({}, None, os.urandom)
        return _files(self._alone)

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """Grows the trees."""
        terms = trees_terms(self._site.agreement, rows.rows, root)
        dealer = talk.dealer if terms.key_bits is None else None
        if self._site.has_label:
            self._watched = [WatchedTrees(channel, rows.rows) for _, channel in sorted(talk.peers.items())]
            peers = {one.channel.peer: one.channel for one in self._watched}
            self._part = self._holder(terms, rows).train(peers, dealer, os.urandom)
        else:
            holder = FeatureHolder(terms, own_binning(self._site.columns, rows.columns), rows.columns)
            self._part = holder.take_part(talk.peers, dealer, os.urandom)
        return _files(self._part)

    def attack(self, rows: CommonRows) -> Reports:
        """On all that went to each feature holder while trees grew."""
        rng = np.random.default_rng()
        return tuple(one.report(rows.labels == 1, rng) for one in self._watched)

    def evaluate(self, rows: CommonRows, talk: Conversations) -> Figures:
        """Feature holders say on which side of each cut every common person is: nobody learns who is kept."""
        if isinstance(self._part, FeaturePart):
            say(talk.peers[self._site.vertical.label_holder], _SIDES, self._part.sides(rows.columns))
            return {}
        if self._part is None or self._alone is None:
            raise ProtocolError("protocol.unexpected-step", "an evaluation before the training")
        heard = {name: _hear_sides(channel) for name, channel in talk.peers.items()}
        kept, labels = rows.held_out, rows.labels[rows.held_out]
        joint = self._part.scores(rows.columns, heard)[kept, 0]
        own = self._alone.scores(rows.columns, {})[kept, 0]
        return held_out_figures(joint, labels) | alone(held_out_figures(own, labels))

    def _holder(self, terms: TreesTerms, rows: CommonRows) -> LabelHolder:
        binning = own_binning(self._site.columns, rows.columns)
        labels = rows.labels.astype(np.float64)
        return LabelHolder(terms, binning, rows.columns, labels, validation=rows.held_out)


def _files(part: LabelPart | FeaturePart) -> Files:
    if isinstance(part, FeaturePart):
        return {"part.json": part.encode()}
    description, trees = part.encode()
    return {"part.json": description, "part.safetensors": trees}


def _hear_sides(channel: PeerChannel) -> np.ndarray[tuple[Any, ...], np.dtype[np.uint8]]:
    fields, arrays = hear_step(channel, _SIDES)
    if fields or len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].ndim != _TABLE:
        raise malformed(channel, "not the sides of cuts")
    return arrays[0]
