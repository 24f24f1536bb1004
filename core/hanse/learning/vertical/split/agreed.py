"""What an agreement means to a split network."""

from hanse.errors import TrainingError
from hanse.learning.vertical.split.settings import Defence, FrozenBottoms, LabelNoise, SplitSettings
from hanse.policies import Agreement


def split_settings(agreement: Agreement) -> SplitSettings:
    """What a run's split network does.

    Args:
        agreement: Of the run, vertical.

    Raises:
        TrainingError: ``run.unsupported`` for an agreement of another kind; without a defence of labels there
            is none.
    """
    training, vertical = agreement.training, agreement.vertical
    if vertical is None or vertical.label_defence is None or len(training.hidden) != 1:
        raise TrainingError("run.unsupported", "the agreement is not about a split network that is defended")
    epsilon = vertical.label_defence.epsilon
    defence: Defence = FrozenBottoms() if epsilon is None else LabelNoise(epsilon=epsilon)
    return SplitSettings(
        defence=defence,
        hidden=training.hidden[0],
        embedding=training.embedding,
        epochs=training.local_steps,
        learning_rate=training.learning_rate,
        top_epochs=training.local_steps,
        top_learning_rate=training.learning_rate,
    )
