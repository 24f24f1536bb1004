"""The one recipe for all data sets: nobody tunes, and nothing is charged to a budget for tuning."""

from typing import Final, Literal

from hanse.policies import Training

_ROUNDS: Final = 10
_LOCAL_STEPS: Final = 30
_SAMPLE_RATE: Final = 0.2
_CLIP_NORM: Final = 2.0
_HIDDEN: Final = (16,)
_LEARNING_RATE: Final = {"logistic": 4.0, "mlp": 1.5}
_PRIVATE_LEARNING_RATE: Final = 4.0
_MIN_PRIVATE_LEARNING_RATE: Final = 0.1
_SIGNAL_PER_STEP: Final = 16.0
_MAX_UPDATE_NORM: Final = 20.0


def recommend(
    model: Literal["logistic", "mlp"], rows_per_member: float, members: int, epsilon: float | None
) -> Training:
    """Schedule of a run, from public figures only.

    Args:
        model: The model; an ``mlp`` gets one hidden layer of 16.
        rows_per_member: Mean number of training rows, roughly.
        members: Number of members, each of which adds its full noise; 1 for a member alone.
        epsilon: Budget of each member for one run at a delta of about 1e-5; None without privacy.

    Returns:
        The training part of an agreement, with a holdout of a fifth and two minutes per round.
    """
    rate = _LEARNING_RATE[model]
    if epsilon is not None:
        steps = _ROUNDS * _LOCAL_STEPS
        noise = _CLIP_NORM * steps * members**0.5 / (epsilon * rows_per_member * members)
        rate = min(_PRIVATE_LEARNING_RATE, max(_MIN_PRIVATE_LEARNING_RATE, 1 / (_SIGNAL_PER_STEP * noise)))
    return Training(
        model=model,
        hidden=_HIDDEN if model == "mlp" else (),
        rounds=_ROUNDS,
        local_steps=_LOCAL_STEPS,
        sample_rate=_SAMPLE_RATE,
        learning_rate=round(rate, 2),
        clip_norm=_CLIP_NORM,
        max_update_norm=_MAX_UPDATE_NORM,
        round_timeout_s=120,
        holdout_fraction=0.2,
    )
