"""Does the audit of private training hold its peace on a correct one, and speak up at each planted fault?

The procedure is the product's own: gradient sums over members with integer noise
(:mod:`hanse.learning.private`) on the bundled bank data, planned for epsilon 3. Correct runs, half of them of
one member that adds all of the noise, half of three members of whom any two make it up; then one run with
each fault. Wrong verdicts are counted.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from common import Figure, finish, parse_options
from hanse.aggregation import InProcessAggregator
from hanse.demo.data import load
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import SecureRandom, Transform, count_cells, parameter_count, recommend
from hanse.learning.auditing import PrivacyAudit, Procedure, audit_privacy
from hanse.learning.grid_noise import GridNoise, NoiseSource
from hanse.learning.private import PrivateRun, PrivateSgdCoordinator
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.learning.recipe import PrivateSchedule
from hanse.privacy import Budget, SharedPlan, make_shared_plan

BUDGET: Final = Budget(3.0, 1e-5)
RUNS: Final = 10
ROWS: Final = 2_000
SMALLEST_CELL: Final = 10
STEPS: Final = 100
STEPS_SEEN: Final = 10  # the attacker sees the weights after so many; a round of a run
# Privacy does not depend on the step size; the canaries' strength does (audit_privacy).
SCHEDULE: Final = PrivateSchedule(steps=STEPS, sample_rate=0.2, clip_norm=2.0, learning_rate=0.02)
KEY: Final = bytes(range(32))
LOOSE_CLIP: Final = 8.0


class RepeatedNoise(NoiseSource):
    """A fault: the noise of the first step again in every step."""

    def __init__(self, noise: GridNoise) -> None:
        self._noise = noise

    @override
    def add_to(self, values: NDArray[np.float64], bound: float = math.inf) -> NDArray[np.float64]:
        return self._noise.source(SecureRandom(KEY)).add_to(values, bound)


class RepeatingGrid(GridNoise):
    """Hands out that fault."""

    @override
    def source(self, random: SecureRandom) -> NoiseSource:
        plain = GridNoise(self.noise_multiplier, self.sensitivity, self.length, self.honest_shares)
        return RepeatedNoise(plain)


class RepeatingRun(PrivateRun):
    """A run with that fault."""

    @cached_property
    @override
    def gradient_noise(self) -> GridNoise:
        return RepeatingGrid(self.noise_multiplier, self.schedule.clip_norm, self.size, self.honest_shares)


def plan_for(steps: int) -> SharedPlan:
    """The noise that keeps so many steps within the budget."""
    return make_shared_plan(BUDGET, steps=steps, sample_rate=SCHEDULE.sample_rate, shared=False)


def procedure(
    plan: SharedPlan,
    *,
    members: int = 1,
    schedule: PrivateSchedule = SCHEDULE,
    weakened: float = 1.0,
    make_run: type[PrivateRun] = PrivateRun,
    make_random: Callable[[], SecureRandom] = SecureRandom,
) -> Procedure:
    """All steps over some members: the weights before the first step and after every ten."""

    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        width = features.shape[1]
        training = recommend("logistic", ROWS, members, None)
        run = make_run(
            training=training,
            n_features=width,
            schedule=schedule,
            noise_multiplier=plan.gradients.noise_multiplier / weakened,
            rows_noise_multiplier=plan.rows.noise_multiplier,
            members=members,
            honest_shares=max(1, members - 1),
        )
        aggregator = InProcessAggregator(
            {
                f"member-{number}": PrivateGradientContributor(
                    run,
                    simulated_examples(features[number::members], labels[number::members]),
                    lambda _: None,
                    make_random(),
                )
                for number in range(members)
            }
        )
        start = np.zeros(parameter_count(training, width), dtype=np.float32)
        coordinator = PrivateSgdCoordinator(aggregator, run, start)
        states = [start]
        for step in range(schedule.steps):
            coordinator.take_step(step)
            if (step + 1) % STEPS_SEEN == 0:
                states.append(coordinator.weights)
        return np.stack(states)[:, :width]

    return train


def faults(plan: SharedPlan) -> dict[str, Procedure]:
    """Procedures that leak more than they claim."""
    loose = replace(SCHEDULE, clip_norm=SCHEDULE.clip_norm * LOOSE_CLIP)
    return {
        "half the noise": procedure(plan, weakened=2.0),
        "8x the clipping norm": procedure(plan, schedule=loose, weakened=LOOSE_CLIP),
        "seed used again by the next run": procedure(plan, make_random=lambda: SecureRandom(KEY)),
        "same noise in every step": procedure(plan, make_run=RepeatingRun),
        "engine anew each round": procedure(plan_for(STEPS_SEEN)),
    }


def bank_rows() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Transformed rows of the bundled set, and their labels."""
    data = load()
    rows = data.rows.take(np.arange(ROWS))
    columns = data.dictionary.columns
    transform = Transform.fit(columns, count_cells(columns, rows.columns), SMALLEST_CELL)
    return transform.apply(rows.columns), rows.labels.astype(np.float32)


def main() -> int:
    """Measures, prints, writes; 1 when a verdict is wrong."""
    options = parse_options(__doc__ or "")
    torch.set_num_threads(1)
    rows, labels = bank_rows()
    plan = plan_for(STEPS)

    def audit(train: Procedure) -> PrivacyAudit:
        rng = np.random.default_rng()
        return audit_privacy(train, rows, labels, claimed_epsilon=BUDGET.epsilon, delta=BUDGET.delta, rng=rng)

    start = time.process_time()
    runs = 1 if options.quick else RUNS
    correct = [audit(procedure(plan, members=3 if number % 2 else 1)) for number in range(runs)]
    seconds = (time.process_time() - start) / len(correct)
    names = list(faults(plan))[: 2 if options.quick else None]
    faulty = {name: audit(faults(plan)[name]) for name in names}
    alarms = sum(finding.verdict == "refuted" for finding in correct)
    missed = sum(finding.verdict == "consistent" for finding in faulty.values())
    figures = [
        Figure(f"correct runs refuted, of {len(correct)}", alarms, "runs", 0),
        Figure(f"faults missed, of {len(faulty)}", missed, "faults", 0),
        Figure("claimed by all", BUDGET.epsilon, "epsilon"),
        Figure(
            "correct: largest bound by fit",
            max(one.fitted_bound for one in correct),
            "epsilon",
            BUDGET.epsilon,
        ),
        Figure(
            "correct: mean bound by fit", float(np.mean([one.fitted_bound for one in correct])), "epsilon"
        ),
        Figure("correct: largest bound by theorem", max(one.one_run_bound for one in correct), "epsilon"),
        *(
            figure
            for name, finding in faulty.items()
            for figure in (
                Figure(f"{name}: bound by fit", finding.fitted_bound, "epsilon"),
                Figure(f"{name}: bound by theorem", finding.one_run_bound, "epsilon"),
            )
        ),
        Figure("processor time of one audit", seconds, "s"),
    ]
    return finish(f"Privacy audit, {correct[0].canaries} canaries", figures, options)


if __name__ == "__main__":
    sys.exit(main())
