"""Randomised response on labels (Warner 1965): each is flipped with a stated probability, once."""

import math

import numpy as np
from numpy.typing import NDArray

from hanse.learning.random_source import SecureRandom


def flip_probability(epsilon: float) -> float:
    """Of a label under randomised response: 1 / (1 + e^epsilon)."""
    return 1.0 / (1.0 + math.exp(epsilon))


def largest_area(epsilon: float) -> float:
    """Area under the ROC curve of one who learns a flipped label and nothing else of the person.

    Whoever guesses the flipped label right and takes it for the true one has the area 1 - flip probability.
    """
    return 1.0 - flip_probability(epsilon)


def randomised_response(labels: NDArray[np.bool_], epsilon: float, random: SecureRandom) -> NDArray[np.bool_]:
    """Flips labels.

    Each output is epsilon-differentially private about its own label (replace one label), whatever is
    computed from it, and however often. A second run of the same people with new coins adds its epsilon.

    Args:
        labels: Shape (rows,).
        epsilon: Positive.
        random: The coins; they must stay secret.

    Returns:
        Shape (rows,).
    """
    flipped: NDArray[np.bool_] = labels ^ (random.uniform(len(labels)) < flip_probability(epsilon))
    return flipped
