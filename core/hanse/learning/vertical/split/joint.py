"""The passes in which the label holder and feature holders train together, towards whatever targets.

Targets are an argument: who may call this with true labels is not decided here but in
:mod:`hanse.learning.vertical.split.label_holder`, which never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hanse.errors import ServingError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.split.messages import Shape, receive, send
from hanse.learning.vertical.split.networks import LabelHalf
from hanse.learning.vertical.split.settings import SplitSettings

Floats32 = NDArray[np.float32]

_PARTS: Final = ("first", "total", "embeddings")


@dataclass(slots=True)
class Seen:
    """What one feature holder has seen of the run, kept by the label holder for the leakage report.

    Attributes:
        first: Gradients of the first recorded epoch, shape (rows, embedding).
        total: Sums of each person's gradients over all recorded epochs, same shape.
        embeddings: What it sent first: made by weights that had seen little of any label.
        epochs: How many were recorded.
    """

    first: Floats32
    total: Floats32
    embeddings: Floats32
    epochs: int = 0

    @classmethod
    def nothing(cls, rows: int, width: int) -> "Seen":
        """Before the first epoch."""
        first, total, embeddings = np.zeros((3, rows, width), dtype=np.float32)
        return cls(first, total, embeddings)

    @classmethod
    def recalled(cls, arrays: Mapping[str, NDArray[np.generic]], name: str, epochs: int) -> "Seen":
        """What :meth:`kept` gave, after so many epochs.

        Raises:
            ServingError: ``model.invalid`` if a party is not in it.
        """
        names = [f"{part}.{name}" for part in _PARTS]
        if not set(names) <= set(arrays):
            raise ServingError("model.invalid", "a state says nothing about a party of the run")
        first, total, embeddings = (arrays[each].astype(np.float32) for each in names)
        return cls(first, total, embeddings, epochs)

    def kept(self, name: str) -> dict[str, Floats32]:
        """Arrays for a checkpoint, by names that end in the party's."""
        return {f"{part}.{name}": value for part, value in zip(_PARTS, self._tables(), strict=True)}

    def _tables(self) -> tuple[Floats32, Floats32, Floats32]:
        return self.first, self.total, self.embeddings

    def note(self, chosen: NDArray[np.intp], gradients: Floats32, embeddings: Floats32) -> None:
        """Takes note of a batch."""
        self.total[chosen] += gradients
        if not self.epochs:
            self.first[chosen] = gradients
            self.embeddings[chosen] = embeddings


@dataclass(frozen=True, slots=True)
class Table:
    """What the label holder trains on.

    Attributes:
        columns: Its own, shape (rows, columns).
        targets: 0 or 1, shape (rows,).
    """

    columns: Floats32
    targets: Floats32


def train_epoch(
    half: LabelHalf,
    table: Table,
    peers: Mapping[str, PeerChannel],
    settings: SplitSettings,
    epoch: int,
    order: NDArray[np.intp],
    seen: Mapping[str, Seen],
) -> None:
    """One pass over all people.

    Args:
        half: The label holder's half; it is trained.
        table: Its own columns, and the targets.
        peers: The feature holders.
        settings: The run's.
        epoch: From 0.
        order: In which people come.
        seen: Takes note of what each feature holder sees.

    Raises:
        HanseError: As the channels.
    """
    optimizer = torch.optim.Adam(half.parameters(), lr=settings.learning_rate)
    batches = -(-len(order) // settings.batch)
    for batch in range(batches):
        chosen = order[batch * settings.batch :][: settings.batch]
        number = epoch * batches + batch
        shape = Shape("f4", (len(chosen), settings.embedding), 1.0)
        received = {
            name: torch.from_numpy(receive(peer, "embeddings", number, shape)[1][0]).requires_grad_()
            for name, peer in peers.items()
        }
        logits = half(torch.from_numpy(table.columns[chosen]), list(received.values()))
        targets = torch.from_numpy(table.targets[chosen])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for name, embeddings in received.items():
            gradient = _gradient(embeddings)
            seen[name].note(chosen, gradient, embeddings.detach().numpy())
            send(peers[name], "gradients", number, gradient)
    for record in seen.values():
        record.epochs += 1


def _gradient(embeddings: torch.Tensor) -> Floats32:
    if embeddings.grad is None:
        raise AssertionError("every embedding is an input of the top")
    gradient: Floats32 = embeddings.grad.numpy()
    return gradient
