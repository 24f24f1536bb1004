"""The passes in which a feature holder's bottom is trained, towards whatever targets.

For the passes the label holder has a head for each feature holder, over that party's embeddings alone: not
over its own columns, nor over those of a third party. So what a feature holder receives is a function of its
own embeddings and of the targets, and of nothing else.

Targets are an argument: who may call this with true labels is not decided here but in
:mod:`hanse.learning.vertical.split.label_holder`, which never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hanse.errors import ServingError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.messages import Shape, receive, send
from hanse.learning.vertical.split.settings import SplitSettings

Floats32 = NDArray[np.float32]

_PARTS: Final = ("first", "total", "embeddings")


@dataclass(slots=True)
class Seen:
    """What one feature holder has seen of the run, kept by the label holder for the leakage report.

    Attributes:
        first: Gradients of the first epoch, shape (rows, embedding).
        total: Sums of each person's gradients over all epochs, same shape.
        embeddings: What it sent first: made by weights that had seen little of any label.
        epochs: How many there were.
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
        return {f"{part}.{name}": getattr(self, part) for part in _PARTS}

    def note(self, chosen: NDArray[np.intp], gradients: Floats32, embeddings: Floats32) -> None:
        """Takes note of a batch."""
        self.total[chosen] += gradients
        if not self.epochs:
            self.first[chosen] = gradients
            self.embeddings[chosen] = embeddings


def head(settings: SplitSettings) -> nn.Sequential:
    """From the embeddings of one feature holder to a logit, for the joint passes."""
    return nn.Sequential(
        nn.Linear(settings.embedding, settings.hidden), nn.Tanh(), nn.Linear(settings.hidden, 1)
    )


def train_epoch(
    peer: PeerChannel,
    own_head: nn.Module,
    targets: Floats32,
    settings: SplitSettings,
    epoch: int,
    order: NDArray[np.intp],
    seen: Seen,
) -> None:
    """One pass over all people with one feature holder.

    Args:
        peer: The feature holder.
        own_head: Of :func:`head`; it is trained.
        targets: 0 or 1, shape (rows,).
        settings: The run's.
        epoch: From 0.
        order: In which people come.
        seen: Takes note of what the feature holder sees.

    Raises:
        HanseError: As the channel.
    """
    optimizer = torch.optim.Adam(own_head.parameters(), lr=settings.learning_rate)
    batches = -(-len(order) // settings.batch)
    for batch in range(batches):
        chosen = order[batch * settings.batch :][: settings.batch]
        number = epoch * batches + batch
        shape = Shape("f4", (len(chosen), settings.embedding), 1.0)
        _, (received,) = receive(peer, "embeddings", number, shape)
        embeddings = torch.from_numpy(received).requires_grad_()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            own_head(embeddings)[:, 0], torch.from_numpy(targets[chosen])
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        gradient = _gradient(embeddings)
        seen.note(chosen, gradient, received)
        send(peer, "gradients", number, gradient)
    seen.epochs += 1


def _gradient(embeddings: torch.Tensor) -> Floats32:
    if embeddings.grad is None:
        raise AssertionError("every embedding is an input of the head")
    gradient: Floats32 = embeddings.grad.numpy()
    return gradient
