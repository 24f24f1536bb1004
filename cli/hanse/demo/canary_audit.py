"""Canaries through the private training of an agreement: does it leak more than its accountant says?

The software and the recipe are audited, not anybody's rows: the rows beside the canaries are made up, and the
noise does not depend on them. The recipe is the agreement's: noise for its budget, number of steps, sample
rate, clipping norm, and whether members share the noise of a sum. Three things differ, on none of which the
privacy of DP-SGD depends: the model is logistic, with a column for every canary; the step is so small that a
canary's score stays near one half; and no update is shortened to the agreed norm, which happens after the
noise.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.enforcement.simulation import simulated_examples
from hanse.errors import PrivacyError
from hanse.learning import SecureRandom, parameter_count, recommend_honest_shares
from hanse.learning.auditing import CANARIES, PrivacyAudit, Procedure, audit_privacy
from hanse.learning.auditing.canaries import VALUE
from hanse.learning.private import PrivateRun, PrivateSgdCoordinator
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.learning.recipe import PrivateSchedule
from hanse.learning.training import LocalTrainer
from hanse.policies import Agreement, Training
from hanse.privacy import Budget, SampledGaussian, epsilon, make_plan, make_shared_plan

ROWS: Final = 2_000
COLUMNS: Final = 20
LITTLE_BUDGET: Final = 2.5
"""Epsilon below which it takes four times as many canaries to tell half of the noise from all of it."""

_DRIFT: Final = 0.15
"""How far noise and canaries move a canary's score in a whole run, at most about."""

_FAR_LESS: Final = 0.6
"""Share of the noise below which a fault must be found; of few rounds, one needs nearly as much as all."""

_LOOSE: Final = 8.0
_KEY: Final = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A private training as an agreement has it, right or with a fault.

    Attributes:
        training: Its schedule.
        noise_multiplier: Of every step, relative to the clipping norm.
        rows_noise_multiplier: Of the number of records, where members share the noise.
        members: Members that share the noise of a sum; 1 where each adds all of it.
        key: Of all random numbers, the same in every run: a fault; None draws it.
    """

    training: Training
    noise_multiplier: float
    rows_noise_multiplier: float
    members: int
    key: bytes | None = None


def recipe_of(agreement: Agreement, rounds: int | None = None) -> Recipe:
    """The recipe of an agreement.

    Args:
        agreement: With a privacy budget.
        rounds: As many rounds as the noise is planned for; None for all of them.

    Raises:
        PrivacyError: ``privacy.unsupported`` without a budget: nothing is claimed that could be refuted.
    """
    if agreement.privacy is None:
        raise PrivacyError("privacy.unsupported", "the agreement has no budget, so that nothing is claimed")
    training = agreement.training
    planned = training if rounds is None else training.model_copy(update={"rounds": rounds})
    if not agreement.secure_sums:
        plan = make_plan(planned, agreement.privacy, len(agreement.columns))
        return Recipe(training, plan.training.noise_multiplier, 0.0, 1)
    shared = make_shared_plan(
        Budget(agreement.privacy.epsilon, agreement.privacy.delta),
        steps=planned.rounds * planned.local_steps,
        sample_rate=planned.sample_rate,
        shared=True,
    )
    noises = shared.gradients.noise_multiplier, shared.rows.noise_multiplier
    return Recipe(training, *noises, len(agreement.members))


def claimed_epsilon(recipe: Recipe, delta: float) -> float:
    """What the accountant says of all steps of a recipe."""
    training = recipe.training
    steps = training.rounds * training.local_steps
    return epsilon([SampledGaussian(recipe.noise_multiplier, training.sample_rate, steps)], delta)


def faulty(agreement: Agreement, recipe: Recipe) -> dict[str, Recipe]:
    """The same recipe with a fault each, which an audit must find."""
    training = recipe.training
    loose = training.model_copy(update={"clip_norm": training.clip_norm * _LOOSE})
    found = {
        "half of the noise": replace(recipe, noise_multiplier=recipe.noise_multiplier / 2),
        "8 times the clipping norm": replace(
            recipe, training=loose, noise_multiplier=recipe.noise_multiplier / _LOOSE
        ),
        "a seed that is used again": replace(recipe, key=_KEY),
    }
    once = recipe_of(agreement, rounds=1)
    if once.noise_multiplier <= _FAR_LESS * recipe.noise_multiplier:
        found["noise for one round only"] = once
    return found


def audit_recipe(
    recipe: Recipe, claimed: float, delta: float, rng: np.random.Generator, canaries: int | None = None
) -> PrivacyAudit:
    """Runs a recipe with canaries, and bounds its epsilon from below.

    Args:
        recipe: The training.
        claimed: Epsilon that the accountant says of it.
        delta: Of the claim.
        rng: The coins that decide which canaries are included, and the made-up rows.
        canaries: How many; None for as many as the claim needs.

    Returns:
        The finding.

    Raises:
        ConfigurationError: ``config.invalid`` with too few canaries.
    """
    number = canaries or (CANARIES if claimed >= LITTLE_BUDGET else 4 * CANARIES)
    rows = (rng.random((ROWS, COLUMNS)) < 0.3).astype(np.float32)  # noqa: PLR2004 - any sparse rows
    labels = (rng.random(ROWS) < 0.3).astype(np.float32)  # noqa: PLR2004
    return audit_privacy(
        _local(recipe) if recipe.members == 1 else _shared(recipe),
        rows,
        labels,
        claimed_epsilon=claimed,
        delta=delta,
        rng=rng,
        canaries=number,
    )


def _step_size(recipe: Recipe, rows: int) -> float:
    """A step by which neither noise nor a canary's own gradient moves its score far."""
    training = recipe.training
    steps = training.rounds * training.local_steps
    by_noise = recipe.noise_multiplier * math.sqrt(steps / 3)
    by_canary = training.sample_rate * steps / 2
    per_step = training.clip_norm / (training.sample_rate * rows) * VALUE
    return _DRIFT / (per_step * max(by_noise, by_canary))


def _logistic(recipe: Recipe, rows: int) -> Training:
    """The schedule with another model and step, and updates that nobody shortens."""
    changed = {
        "model": "logistic",
        "hidden": (),
        "embedding": 0,
        "scale": None,
        "targets": (),
        "positive_weight": 1.0,
        "learning_rate": _step_size(recipe, rows),
        "max_update_norm": 1e9,
    }
    return recipe.training.model_copy(update=changed)


def _local(recipe: Recipe) -> Procedure:
    """Every member's own DP-SGD: the weights before the first round and after each."""

    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        training, width = _logistic(recipe, len(features)), features.shape[1]
        random = SecureRandom() if recipe.key is None else SecureRandom(recipe.key)
        trainer = LocalTrainer(training, width, recipe.noise_multiplier, random)
        examples = simulated_examples(features, labels)
        states = [np.zeros(parameter_count(training, width), dtype=np.float32)]
        for number in range(1, training.rounds + 1):
            done = trainer.run_round(states[-1], examples, number, training.local_steps)
            states.append(states[-1] + done.delta)
        return np.stack(states)[:, :width]

    return train


def _shared(recipe: Recipe) -> Procedure:
    """Sums of gradients whose noise the members share: the weights after each round."""

    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        training, width, members = _logistic(recipe, len(features)), features.shape[1], recipe.members
        steps = training.rounds * training.local_steps
        run = PrivateRun(
            training=training,
            n_features=width,
            schedule=PrivateSchedule(steps, training.sample_rate, training.clip_norm, training.learning_rate),
            noise_multiplier=recipe.noise_multiplier,
            rows_noise_multiplier=recipe.rows_noise_multiplier,
            members=members,
            honest_shares=recommend_honest_shares(members),
        )
        # No more shares of the noise than it is promised to have, whoever else there is.
        honest = run.honest_shares
        contributors = {
            f"member-{number}": PrivateGradientContributor(
                run,
                simulated_examples(features[number::honest], labels[number::honest]),
                lambda _: None,
                SecureRandom() if recipe.key is None else SecureRandom(recipe.key),
            )
            for number in range(honest)
        }
        start = np.zeros(parameter_count(training, width), dtype=np.float32)
        coordinator = PrivateSgdCoordinator(InProcessAggregator(contributors), run, start)
        states = [start]
        for step in range(steps):
            coordinator.take_step(step)
            if (step + 1) % training.local_steps == 0:
                states.append(coordinator.weights)
        return np.stack(states)[:, :width]

    return train
