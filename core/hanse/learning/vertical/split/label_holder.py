"""The label holder's half of a run: flips labels once, trains bottoms towards them, fits its top alone.

What a feature holder receives are gradients of its own embeddings towards the *flipped* labels; with frozen
bottoms it receives nothing. Only after the last of them does the label holder fit its own half to the true
labels, on the final embeddings, and of that nothing is sent. So all that leaves is computed from labels under
randomised response and from what the receiver sent, whatever its form and over however many epochs: the label
holder's own columns are not in it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hanse.crypto import COIN_BYTES
from hanse.errors import ConfigurationError
from hanse.exchange import PeerChannel
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.labels import randomised_response
from hanse.learning.vertical.messages import Shape, receive
from hanse.learning.vertical.split.checkpoints import Checkpoints, keep, recall
from hanse.learning.vertical.split.coin import shuffled, toss_with_all
from hanse.learning.vertical.split.feature_holder import checked_columns
from hanse.learning.vertical.split.greeting import welcome
from hanse.learning.vertical.split.joint import Seen, head, train_epoch
from hanse.learning.vertical.split.networks import LabelHalf, initialise, restore, state_of
from hanse.learning.vertical.split.settings import LabelNoise, SplitSettings

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What the leakage report of one feature holder is made of.

    Attributes:
        seen: What it saw.
        embeddings: What it sent last, shape (rows, embedding).
    """

    seen: Seen
    embeddings: Floats32


@dataclass(frozen=True, slots=True)
class _State:
    """What the joint passes go on with.

    Attributes:
        seed: Of the common shuffles.
        targets: The flipped labels.
        seen: By feature holder.
    """

    seed: bytes
    targets: NDArray[np.bool_]
    seen: dict[str, Seen]


class LabelHolder:
    """One run's part of the party with the labels.

    Args:
        columns: What it has of the aligned people, in their common order, finite, shape (rows, columns).
        labels: Shape (rows,).
        settings: The run's.
        root: Of the alignment.
        checkpoints: Where states are kept, and with them the flipped labels: who loses them and begins the
            same run again spends its epsilon again.
        entropy: Random bytes.

    Raises:
        ConfigurationError: ``config.bad-data`` if columns are not finite, or labels are not yes or no.
    """

    def __init__(
        self,
        columns: Floats32,
        labels: NDArray[np.bool_],
        settings: SplitSettings,
        root: bytes,
        checkpoints: Checkpoints,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._columns = checked_columns(columns)
        if labels.dtype != np.bool_ or labels.shape != (len(columns),):
            raise ConfigurationError("config.bad-data", "a label is yes or no, one for each person")
        self._labels = labels
        self._settings = settings
        self._root = root
        self._checkpoints = checkpoints
        self._entropy = entropy
        self.witnessed: dict[str, Witnessed] = {}

    def take_part(
        self, feature_holders: Mapping[str, PeerChannel], progress: Callable[[int], None] = lambda _: None
    ) -> LabelHalf:
        """Trains with the feature holders, then alone.

        Args:
            feature_holders: The other parties.
            progress: Called with the number of finished epochs.

        Returns:
            The trained half. :attr:`witnessed` then has what each feature holder saw.

        Raises:
            HanseError: As the channels; a run that is begun again goes on from the last common epoch.
        """
        torch.set_num_threads(1)
        rows = len(self._labels)
        heads = torch.nn.ModuleList(head(self._settings) for _ in feature_holders)
        state, first = self._begin(heads, feature_holders)
        for epoch in range(first, self._settings.joint_epochs):
            self._train_bottoms(heads, feature_holders, state, epoch)
            self._keep(epoch + 1, heads, state)
            progress(epoch + 1)
        final = {name: self.receive(peer, rows) for name, peer in feature_holders.items()}
        self.witnessed = {name: Witnessed(state.seen[name], final[name]) for name in final}
        return self._fit_alone(list(final.values()))

    def receive(self, feature_holder: PeerChannel, rows: int) -> Floats32:
        """The embeddings of so many people, as :meth:`FeatureHolder.send_embeddings` sends them."""
        width, batch = self._settings.embedding, self._settings.batch
        parts = [
            receive(feature_holder, "final", number, Shape("f4", (min(batch, rows - start), width), 1.0))[1][
                0
            ]
            for number, start in enumerate(range(0, rows, batch))
        ]
        return np.concatenate(parts)

    def _train_bottoms(
        self,
        heads: torch.nn.ModuleList,
        feature_holders: Mapping[str, PeerChannel],
        state: _State,
        epoch: int,
    ) -> None:
        order = shuffled(state.seed, epoch, len(self._labels))
        targets = state.targets.astype(np.float32)
        for own_head, (name, peer) in zip(heads, feature_holders.items(), strict=True):
            train_epoch(peer, own_head, targets, self._settings, epoch, order, state.seen[name])

    def _begin(self, heads: torch.nn.ModuleList, peers: Mapping[str, PeerChannel]) -> tuple[_State, int]:
        rows, width = len(self._labels), self._settings.embedding
        offers = sorted(self._checkpoints)
        epoch = welcome(peers, self._settings, rows, self._root, offers)
        if epoch is not None:
            network, extras = recall(self._checkpoints, epoch)
            restore(heads, network)
            seen = {name: Seen.recalled(extras, name, epoch) for name in peers}
            return _State(extras["seed"].tobytes(), extras["targets"].astype(np.bool_), seen), epoch
        seed = toss_with_all(self._entropy(COIN_BYTES), peers)
        initialise(heads, SecureRandom(self._entropy(COIN_BYTES)))
        state = _State(seed, self._flip(), {name: Seen.nothing(rows, width) for name in peers})
        self._keep(0, heads, state)
        return state, 0

    def _flip(self) -> NDArray[np.bool_]:
        """The flipped labels; of an earlier attempt if there was one: others would be a second release."""
        for epoch in self._checkpoints:
            return recall(self._checkpoints, epoch)[1]["targets"].astype(np.bool_)
        defence = self._settings.defence
        if isinstance(defence, LabelNoise):
            return randomised_response(self._labels, defence.epsilon, SecureRandom(self._entropy(COIN_BYTES)))
        return np.zeros_like(self._labels)  # of frozen bottoms; nobody trains towards them

    def _keep(self, epoch: int, heads: torch.nn.ModuleList, state: _State) -> None:
        extras: dict[str, NDArray[np.generic]] = {
            "seed": np.frombuffer(state.seed, dtype=np.uint8),
            "targets": state.targets.astype(np.uint8),
        }
        for name, seen in state.seen.items():
            extras.update(seen.kept(name))
        keep(self._checkpoints, epoch, state_of(heads), extras)

    def _fit_alone(self, received: list[Floats32]) -> LabelHalf:
        """Fits this half to the true labels; from here on nothing is sent."""
        half = LabelHalf(self._columns.shape[1], len(received), self._settings)
        initialise(half, SecureRandom(self._entropy(COIN_BYTES)))
        settings = self._settings
        optimizer = torch.optim.AdamW(
            half.parameters(), lr=settings.top_learning_rate, weight_decay=settings.weight_decay
        )
        own, others = torch.from_numpy(self._columns), [torch.from_numpy(values) for values in received]
        labels = torch.from_numpy(self._labels.astype(np.float32))
        random = SecureRandom(self._entropy(COIN_BYTES))
        steps = settings.top_epochs * -(-len(labels) // settings.batch)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
        for _ in range(settings.top_epochs):
            order = torch.from_numpy(np.argsort(random.uniform(len(labels))))
            for chosen in torch.split(order, settings.batch):
                logits = half(own[chosen], [values[chosen] for values in others])
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        return half


def logits_of(half: LabelHalf, columns: Floats32, received: list[Floats32]) -> NDArray[np.float64]:
    """Raw scores of people.

    Args:
        half: A trained one.
        columns: Of the label holder, shape (rows, columns).
        received: Their embeddings, of the feature holders in the order of training.

    Returns:
        Shape (rows,).
    """
    with torch.no_grad():
        logits = half(torch.from_numpy(checked_columns(columns)), [torch.from_numpy(one) for one in received])
    scores: NDArray[np.float64] = logits.numpy().astype(np.float64)
    return scores
