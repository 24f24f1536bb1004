"""The rows of the common people, in the order that all members have them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.client.gate import Admitted
from hanse.errors import ConfigurationError, TrainingError
from hanse.policies import Label


@dataclass(frozen=True, slots=True)
class CommonRows:
    """What a member has of the common people.

    Attributes:
        columns: Its own columns, by name.
        labels: 1.0 for yes, else 0.0; all 0.0 at members without the label.
        held_out: Which rows are kept for evaluation.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.float32]
    held_out: npt.NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """How many common people there are."""
        return len(self.labels)

    def of(self, chosen: npt.NDArray[np.bool_]) -> "CommonRows":
        """Some of the people.

        Args:
            chosen: Shape (rows,).
        """
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return CommonRows(columns, self.labels[chosen], self.held_out[chosen])

    def holding_out(self, held_out: npt.NDArray[np.bool_]) -> "CommonRows":
        """The same people with others kept for evaluation."""
        return replace(self, held_out=held_out)

    def require_both_labels(self, label: Label) -> None:
        """Refuses labels that nothing can be learned from.

        Args:
            label: Of the agreement.

        Raises:
            ConfigurationError: ``config.bad-data`` if the rows to train on are all of one class, as they are
                when the data set writes the label otherwise than the agreement does.
        """
        labels = self.labels[~self.held_out]
        if labels.any() and not labels.all():
            return
        raise ConfigurationError(
            "config.bad-data",
            f"column {label.name}: {'all' if labels.any() else 'none'} of the common people that are trained "
            f"on have the label {label.positive!r}; compare how the column and the agreement write it",
        )


def common_rows(admitted: Admitted, subject_ids: Sequence[str]) -> CommonRows:
    """Brings what was admitted into the common order.

    Args:
        admitted: Both parts of what was admitted.
        subject_ids: The common people in their order, by the site's own identifiers.

    Raises:
        TrainingError: ``run.alignment-stale`` if somebody of them is not admitted: a consent was withdrawn
            since the alignment, and no other member may know whose.
    """
    places = {subject: place for place, subject in enumerate(admitted.subject_ids)}
    if len(places) != len(subject_ids) or not places.keys() >= set(subject_ids):
        raise TrainingError("run.alignment-stale", "people were aligned who are admitted no longer")
    order = np.array([places[subject] for subject in subject_ids], dtype=np.int64)
    training, holdout = admitted.training, admitted.holdout
    return CommonRows(
        {
            name: np.concatenate([values, holdout.columns[name]])[order]
            for name, values in training.columns.items()
        },
        np.concatenate([training.labels, holdout.labels])[order],
        order >= training.rows,
    )
