"""Boosted trees on shared or encrypted sums, at a member."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.client.vertical.conversations import conversation_digest
from hanse.client.vertical.kinds.kind import Conversations, Files, Site
from hanse.client.vertical.records import CommonRows
from hanse.client.vertical.unfinished import Unfinished
from hanse.errors import ProtocolError, TrainingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.leakage.recorder import Tables
from hanse.learning.vertical.leakage.watching import WatchedTrees
from hanse.learning.vertical.runs.figures import Figures, alone, held_out_figures
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.runs.terms import own_binning, trees_terms
from hanse.learning.vertical.serving.kept import KeptPart
from hanse.learning.vertical.serving.trees import TreesFeature, TreesLabel
from hanse.learning.vertical.trees.feature_holder import FeatureHolder
from hanse.learning.vertical.trees.homomorphic.scheme import require_library
from hanse.learning.vertical.trees.label_holder import LabelHolder
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart
from hanse.learning.vertical.trees.points import POINT_FILE, TREES_FILES
from hanse.learning.vertical.trees.terms import TreesTerms

_SENT_FILE: Final = "sent.safetensors"
_SIDES: Final = "sides"
_TABLE: Final = 2


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a member keeps how far a run has come.

    Attributes:
        unfinished: The files.
        goes_on: Is told the digest of the point from which an attempt at the training goes on.
    """

    unfinished: Unfinished
    goes_on: Callable[[str], object]


class Trees:
    """See :class:`hanse.client.vertical.kinds.kind.Kind`.

    Args:
        site: The member.
        keeping: Where it keeps how far the run has come.
    """

    def __init__(self, site: Site, keeping: Keeping) -> None:
        self._site = site
        self._keeping = keeping
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

    def restore(self, part: KeptPart) -> None:
        """Takes over what an earlier process has trained."""
        for half in (part.label, part.feature):
            if isinstance(half, TreesLabel | TreesFeature):
                self._part = half.part
        self._alone = part.alone.part if isinstance(part.alone, TreesLabel) else None

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """Grows the trees, or the rest of them."""
        terms = trees_terms(self._site.agreement, rows.rows, root)
        dealer = talk.dealer if terms.key_bits is None else None
        if self._site.has_label:
            noted = self._noted()
            self._watched = [
                WatchedTrees(channel, rows.rows, noted.get(name))
                for name, channel in sorted(talk.peers.items())
            ]
            peers = {one.channel.peer: one.channel for one in self._watched}
            keeper = _Keeper(self._site.member, self._keeping, talk, self._watched)
            self._part = self._holder(terms, rows).train(peers, dealer, os.urandom, keeper=keeper)
        else:
            keeper = _Keeper(self._site.member, self._keeping, talk, ())
            binning = own_binning(self._site.columns, rows.columns)
            holder = FeatureHolder(terms, binning, rows.columns, keeper=keeper)
            self._part = holder.take_part(talk.peers, dealer, os.urandom)
        return _files(self._part)

    def _noted(self) -> Mapping[str, Tables]:
        """What earlier attempts have noted of what each feature holder was sent, as far as that is known."""
        if self._watched:  # of this process: nothing is missing
            return {one.channel.peer: one.channel.tables() for one in self._watched}
        data = self._keeping.unfinished.read(_SENT_FILE)
        return {} if data is None else _read_sent(data)

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


class _Keeper:
    """See :class:`hanse.learning.vertical.trees.points.Keeper`.

    Args:
        member: Whose.
        keeping: Where.
        talk: With whom it talks in this attempt.
        watched: What each feature holder was sent, at the label holder.
    """

    def __init__(
        self, member: str, keeping: Keeping, talk: Conversations, watched: Sequence[WatchedTrees]
    ) -> None:
        self._member = member
        self._keeping = keeping
        self._talk = talk
        self._watched = watched

    def load(self) -> Files:
        found = {name: self._keeping.unfinished.read(name) for name in (POINT_FILE, *TREES_FILES)}
        return {name: data for name, data in found.items() if data is not None}

    def keep(self, files: Files) -> None:
        sent = {_SENT_FILE: _write_sent(self._watched)} if self._watched else {}
        self._keeping.unfinished.keep({**sent, **files})

    def said(self, peer: str) -> str:
        return conversation_digest(self._member, self._talk.peers[peer])

    def goes_on(self, digest: str) -> None:
        self._keeping.goes_on(digest)


def _write_sent(watched: Sequence[WatchedTrees]) -> bytes:
    return save(
        {
            f"{one.channel.peer}/{name}": table
            for one in watched
            for name, table in one.channel.tables().items()
        }
    )


def _read_sent(data: bytes) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise TrainingError("run.interrupted", "what was noted of sent messages cannot be read") from error
    for name, table in arrays.items():
        peer, _, own = name.partition("/")
        found.setdefault(peer, {})[own] = table
    return found


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
