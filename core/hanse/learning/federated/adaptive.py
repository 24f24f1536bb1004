"""How the coordinator steps along the members' mean: Adam on what their updates say of the gradient.

Kingma and Ba, "Adam", ICLR 2015; over members: Reddi et al., "Adaptive Federated Optimization", ICLR 2021.

One-hot features differ in frequency by orders of magnitude, and plain steps learn the rare ones last; a
member that takes many steps of its own before it is averaged goes its own way meanwhile. With one step of
each member per round on all its rows, the mean update is a step along the gradient of the pooled rows,
exactly, so members of any kind train the pooled model; and steps scaled by parameter need a tenth of the
rounds.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from hanse.policies import Training

FloatArray = NDArray[np.float64]

MEAN_MEMORY: Final = 0.9
SQUARE_MEMORY: Final = 0.99
SMALLEST: Final = 1e-6
"""Added to the root mean square of a parameter's gradients."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What is remembered of earlier rounds.

    Attributes:
        rounds: Rounds so far.
        mean: Running mean of the gradients.
        square: Running mean of their squares.
    """

    rounds: int
    mean: FloatArray
    square: FloatArray

    @classmethod
    def start(cls, size: int) -> Self:
        """Before the first round of a model with so many parameters."""
        return cls(0, np.zeros(size), np.zeros(size))

    def after(self, mean_update: FloatArray, training: Training) -> Self:
        """The memory after one round more.

        Args:
            mean_update: The members' mean.
            training: The schedule that they stepped by.
        """
        gradient = -mean_update / local_step_sizes(training, self.rounds + 1)
        return type(self)(
            self.rounds + 1,
            MEAN_MEMORY * self.mean + (1 - MEAN_MEMORY) * gradient,
            SQUARE_MEMORY * self.square + (1 - SQUARE_MEMORY) * gradient**2,
        )

    def change(self, training: Training) -> FloatArray:
        """What to add to the weights; the step size falls linearly to zero over the rounds."""
        mean = self.mean / (1 - MEAN_MEMORY**self.rounds)
        square = self.square / (1 - SQUARE_MEMORY**self.rounds)
        step = training.adaptive_step * (1 - (self.rounds - 1) / training.rounds)
        return -step * mean / (np.sqrt(square) + SMALLEST)


def local_step_sizes(training: Training, round_number: int) -> float:
    """Sum of the step sizes that :class:`hanse.learning.training.LocalTrainer` takes in a round."""
    steps = training.rounds * training.local_steps
    first = (round_number - 1) * training.local_steps
    return sum(training.learning_rate * (1 - (first + step) / steps) for step in range(training.local_steps))
