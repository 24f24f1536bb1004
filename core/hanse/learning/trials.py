"""The trials of a sweep beside each other, and which of them is kept."""

from collections.abc import Iterable, Mapping
from typing import Self

from hanse.policies import Training
from hanse.policies.fields import Count, Document, Text


class TrialResult(Document):
    """What one trial of a sweep gave, as the manifest of the kept model tells it.

    Attributes:
        number: Of the trial, from 1.
        run: The run that it was.
        settings: What was tried, by name.
        auc: Area under the ROC curve on held-out records of all members; None where noise or data left none.
        auc_standard_error: Its standard error.
        log_loss: Mean negative log likelihood in nats.
        code: Error that ended it; None if it ended with a model.
        kept: Whether its model is the one that is kept.
    """

    number: Count
    run: Text
    settings: dict[Text, float]
    auc: float | None = None
    auc_standard_error: float | None = None
    log_loss: float | None = None
    code: Text | None = None
    kept: bool = False

    @classmethod
    def of(
        cls,
        number: int,
        run: str,
        settings: Mapping[str, float],
        facts: Mapping[str, float | None],
        code: str,
    ) -> Self:
        """A result of a run.

        Args:
            number: Of the trial.
            run: The run.
            settings: What was tried.
            facts: Its metrics by name.
            code: Error that ended it; empty if none did.
        """
        return cls(
            number=number,
            run=run,
            settings=dict(settings),
            auc=facts.get("auc"),
            auc_standard_error=facts.get("auc_standard_error"),
            log_loss=facts.get("log_loss"),
            code=code or None,
        )


def settings_of(training: Training, names: Iterable[str]) -> dict[str, float]:
    """The settings of a training that trials name."""
    grown = {} if training.trees is None else {"depth": training.trees.depth, "l2": training.trees.l2}
    return {name: grown[name] if name in grown else getattr(training, name) for name in names}


def best_of(results: Iterable[TrialResult]) -> TrialResult | None:
    """The trial with the largest area; of equal ones that with the smaller loss, then the earlier one.

    Its figures are those of the best of several, so that they promise a little too much.

    Args:
        results: Of all trials.

    Returns:
        The result; None if no trial ended with a model that could be judged.
    """
    judged = [(result.auc, result) for result in results if result.code is None and result.auc is not None]
    if not judged:
        return None

    def order(item: tuple[float, TrialResult]) -> tuple[float, float, int]:
        area, result = item
        return -area, float("inf") if result.log_loss is None else result.log_loss, result.number

    return min(judged, key=order)[1]
