"""A split network with defended labels, at a member."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch.nn import Module

from hanse.client.vertical.kinds.kind import Conversations, Files, Site
from hanse.client.vertical.kinds.own import fit_own, hold_out_last
from hanse.client.vertical.records import CommonRows
from hanse.errors import ConfigurationError, ProtocolError
from hanse.exchange.transcript import Transcript
from hanse.learning.vertical.leakage.split import split_report
from hanse.learning.vertical.own_model import OwnModel, logistic
from hanse.learning.vertical.runs.figures import Figures, alone, held_out_figures
from hanse.learning.vertical.runs.leakage import Reports
from hanse.learning.vertical.split.agreed import split_settings
from hanse.learning.vertical.split.description import SplitDescription
from hanse.learning.vertical.split.feature_holder import FeatureHolder
from hanse.learning.vertical.split.inputs import Inputs
from hanse.learning.vertical.split.label_holder import LabelHolder, logits_of
from hanse.learning.vertical.split.parts import SplitPart

if TYPE_CHECKING:
    from hanse.learning.vertical.split.networks import LabelHalf


class SplitNetwork:
    """See :class:`hanse.client.vertical.kinds.kind.Kind`.

    Args:
        site: The member.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = split_settings(site.agreement)
        self._inputs: Inputs | None = None
        self._label: LabelHolder | None = None
        self._half: LabelHalf | None = None
        self._feature: FeatureHolder | None = None
        self._alone: OwnModel | None = None

    def require(self) -> None:
        """Nothing."""

    def divide(self, rows: CommonRows) -> CommonRows:
        """The last of the common order: of them nobody sends anything in the training."""
        return hold_out_last(self._site, rows)

    def train_alone(self, rows: CommonRows) -> Files:
        """Binned logistic regression of own columns."""
        self._alone = fit_own(self._site, rows)
        return {"part.json": self._alone.encode()}

    def train(self, rows: CommonRows, root: bytes, talk: Conversations) -> Files:
        """Trains bottoms as far as they are trained, then the label holder its half."""
        taught = rows.of(~rows.held_out)
        self._inputs = Inputs.fit(taught.columns, self._site.vertical.minimum_bin_rows)
        if not self._inputs.width:
            raise ConfigurationError("config.bad-data", "no value of a column has enough common people")
        numbers = self._inputs.apply(taught.columns)
        # States of earlier attempts are not kept: a run that was cut begins again, with another alignment.
        if self._site.has_label:
            holder = LabelHolder(numbers, taught.labels == 1, self._settings, root, {})
            self._half = holder.take_part(self._in_order(talk))
            self._label = holder
            return self._files(self._inputs, self._half)
        self._feature = FeatureHolder(numbers, self._settings, root, {})
        self._feature.take_part(talk.peers[self._site.vertical.label_holder])
        return self._files(self._inputs, self._feature.network)

    def attack(self, rows: CommonRows) -> Reports:
        """On the gradients that went to each feature holder."""
        if self._label is None:
            return ()
        labels, rng = rows.labels[~rows.held_out] == 1, np.random.default_rng()
        witnessed = sorted(self._label.witnessed.items())
        return tuple(split_report(name, one, labels, self._settings, rng) for name, one in witnessed)

    def evaluate(self, rows: CommonRows, talk: Conversations) -> Figures:
        """Feature holders send embeddings of held-out people."""
        kept = rows.of(rows.held_out)
        if self._inputs is None:
            raise ProtocolError("protocol.unexpected-step", "an evaluation before the training")
        numbers = self._inputs.apply(kept.columns)
        if self._feature is not None:
            self._feature.send_embeddings(talk.peers[self._site.vertical.label_holder], numbers)
        if self._label is None or self._half is None or self._alone is None:
            return {}
        heard = [self._label.receive(peer, kept.rows) for peer in self._in_order(talk).values()]
        joint = _figures(logits_of(self._half, numbers, heard), kept)
        return joint | alone(_figures(self._alone.logits(kept.columns), kept))

    def _files(self, inputs: Inputs, network: Module) -> Files:
        holders = self._site.vertical.feature_holders if self._site.has_label else ()
        described = SplitDescription(settings=self._settings, inputs=inputs, holders=holders)
        description, weights = SplitPart(described, network).encode()
        return {"part.json": description, "part.safetensors": weights}

    def _in_order(self, talk: Conversations) -> dict[str, Transcript]:
        """Channels to feature holders in the agreement's order, which is that of the half's embeddings."""
        return {name: talk.peers[name] for name in self._site.vertical.feature_holders}


def _figures(logits: NDArray[np.float64], kept: CommonRows) -> Figures:
    return held_out_figures(logistic(logits), kept.labels)
