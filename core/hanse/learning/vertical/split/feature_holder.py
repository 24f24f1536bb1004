"""The feature holder's half of a run: a bottom on its own columns. It sees no label and no score."""

import os
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hanse.crypto import COIN_BYTES
from hanse.errors import ConfigurationError
from hanse.exchange import PeerChannel
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.messages import Shape, receive, send
from hanse.learning.vertical.split.checkpoints import Checkpoints, keep, recall
from hanse.learning.vertical.split.coin import shuffled, toss_with
from hanse.learning.vertical.split.greeting import greet
from hanse.learning.vertical.split.networks import bottom, initialise, restore, state_of
from hanse.learning.vertical.split.settings import SplitSettings

Floats32 = NDArray[np.float32]

LARGEST_GRADIENT: Final = 1e3
"""Of one number; what is above it is no gradient of a bounded loss, and is refused."""


class FeatureHolder:
    """One run's part of a party without labels.

    Args:
        columns: What it has of the aligned people, in their common order, finite, shape (rows, columns).
        settings: The run's.
        root: Of the alignment.
        checkpoints: Where states are kept.
        entropy: Random bytes.

    Raises:
        ConfigurationError: ``config.bad-data`` if a number is not finite.
    """

    def __init__(
        self,
        columns: Floats32,
        settings: SplitSettings,
        root: bytes,
        checkpoints: Checkpoints,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._columns = checked_columns(columns)
        self._settings = settings
        self._root = root
        self._checkpoints = checkpoints
        self._entropy = entropy
        self.network = bottom(columns.shape[1], settings)

    def take_part(self, label_holder: PeerChannel, progress: Callable[[int], None] = lambda _: None) -> None:
        """Trains, and sends the final embeddings of all people.

        Args:
            label_holder: The other party.
            progress: Called with the number of finished epochs.

        Raises:
            HanseError: As the channel; a run that is begun again goes on from the last common epoch.
        """
        torch.set_num_threads(1)
        seed, first = self._begin(label_holder)
        for epoch in range(first, self._settings.joint_epochs):
            self._train(label_holder, epoch, shuffled(seed, epoch, len(self._columns)))
            self._keep(epoch + 1, seed)
            progress(epoch + 1)
        self.send_embeddings(label_holder, self._columns)

    def send_embeddings(self, label_holder: PeerChannel, columns: Floats32) -> None:
        """Sends what the bottom makes of people, in batches; to score them, or to fit the top."""
        values = checked_columns(columns)
        for number, start in enumerate(range(0, len(values), self._settings.batch)):
            send(label_holder, "final", number, self.embed(values[start : start + self._settings.batch]))

    def embed(self, columns: Floats32) -> Floats32:
        """What the bottom makes of people, shape (rows, embedding), between -1 and 1."""
        with torch.no_grad():
            embedded: Floats32 = self.network(torch.from_numpy(columns)).numpy()
        return embedded

    def _begin(self, label_holder: PeerChannel) -> tuple[bytes, int]:
        offers = sorted(self._checkpoints)
        epoch, parties = greet(label_holder, self._settings, len(self._columns), self._root, offers)
        if epoch is not None:
            state, extras = recall(self._checkpoints, epoch)
            restore(self.network, state)
            return extras["seed"].tobytes(), epoch
        seed = toss_with(self._entropy(COIN_BYTES), label_holder, parties)
        initialise(self.network, SecureRandom(self._entropy(COIN_BYTES)))
        self._keep(0, seed)
        return seed, 0

    def _keep(self, epoch: int, seed: bytes) -> None:
        keep(self._checkpoints, epoch, state_of(self.network), {"seed": np.frombuffer(seed, dtype=np.uint8)})

    def _train(self, label_holder: PeerChannel, epoch: int, order: NDArray[np.intp]) -> None:
        # Moments begin anew with each epoch: a run that goes on from a state takes the same steps.
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self._settings.learning_rate)
        batches = -(-len(order) // self._settings.batch)
        for batch in range(batches):
            chosen = order[batch * self._settings.batch :][: self._settings.batch]
            number = epoch * batches + batch
            embedded = self.network(torch.from_numpy(self._columns[chosen]))
            send(label_holder, "embeddings", number, embedded.detach().numpy())
            shape = Shape("f4", tuple(embedded.shape), LARGEST_GRADIENT)
            _, (gradient,) = receive(label_holder, "gradients", number, shape)
            optimizer.zero_grad()
            embedded.backward(torch.from_numpy(gradient))
            optimizer.step()


def checked_columns(columns: Floats32) -> Floats32:
    """The columns, if a network can take them.

    Raises:
        ConfigurationError: ``config.bad-data`` if they are no table of finite float32.
    """
    if columns.ndim != 2 or columns.dtype != np.float32 or not len(columns):  # noqa: PLR2004
        raise ConfigurationError("config.bad-data", "columns of a split network are a table of float32")
    unknown = ~np.isfinite(columns).all(axis=0)
    if unknown.any():
        raise ConfigurationError(
            "config.bad-data",
            f"{int(unknown.sum())} of {columns.shape[1]} columns have a value that is not finite",
        )
    return columns
