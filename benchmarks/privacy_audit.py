"""Does the audit of private training hold its peace on a correct one, and speak up at each planted fault?

The procedure is a member's own :class:`hanse.learning.training.LocalTrainer` over all rounds of a run on
the bundled bank data, at epsilon 3. Ten correct runs, then one with each fault; wrong verdicts are counted.
"""

import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from common import Figure, finish, parse_options
from hanse.demo.data import load
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import SecureRandom, Transform, count_cells, parameter_count
from hanse.learning.auditing import PrivacyAudit, Procedure, audit_privacy
from hanse.learning.training import LocalTrainer
from hanse.policies import Training
from hanse.privacy import SampledGaussian, calibrate

EPSILON: Final = 3.0
DELTA: Final = 1e-5
RUNS: Final = 10
ROWS: Final = 2_000
SMALLEST_CELL: Final = 10
ROUNDS: Final = 10
LOCAL_STEPS: Final = 10
SAMPLE_RATE: Final = 0.2
CLIP_NORM: Final = 2.0
LEARNING_RATE: Final = 0.02  # privacy does not depend on it; the canaries' strength does (audit_privacy)
KEY: Final = bytes(range(32))
LOOSE_CLIP: Final = 8.0


class RepeatingRandom(SecureRandom):
    """A fault: the noise of the first step again in every step."""

    @override
    def normal(self, size: int) -> NDArray[np.float64]:
        return SecureRandom(KEY).normal(size)


def schedule(clip_norm: float = CLIP_NORM) -> Training:
    """The audited schedule."""
    return Training(
        model="logistic",
        hidden=(),
        rounds=ROUNDS,
        local_steps=LOCAL_STEPS,
        sample_rate=SAMPLE_RATE,
        learning_rate=LEARNING_RATE,
        clip_norm=clip_norm,
        max_update_norm=1e6,
        round_timeout_s=60,
        holdout_fraction=0.2,
    )


def noise_for(steps: int) -> float:
    """The noise multiplier that keeps so many steps within epsilon."""
    return calibrate(lambda noise: [SampledGaussian(noise, SAMPLE_RATE, steps)], EPSILON, DELTA)


def procedure(
    training: Training, noise: float, make_random: Callable[[], SecureRandom] = SecureRandom
) -> Procedure:
    """All rounds of one member: the weights before the first round and after each."""

    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        width = features.shape[1]
        examples = simulated_examples(features, labels)
        trainer = LocalTrainer(training, width, noise, make_random())
        states = [np.zeros(parameter_count(training, width), dtype=np.float32)]
        for number in range(1, training.rounds + 1):
            update = trainer.run_round(states[-1], examples, number, training.local_steps)
            states.append(states[-1] + update.delta)
        return np.stack(states)[:, :width]

    return train


def faults(noise: float) -> dict[str, Procedure]:
    """Procedures that leak more than they claim."""
    return {
        "half the noise": procedure(schedule(), noise / 2),
        "8x the clipping norm": procedure(schedule(CLIP_NORM * LOOSE_CLIP), noise / LOOSE_CLIP),
        "seed used again by the next run": procedure(schedule(), noise, lambda: SecureRandom(KEY)),
        "same noise in every step": procedure(schedule(), noise, RepeatingRandom),
        "engine anew each round": procedure(schedule(), noise_for(LOCAL_STEPS)),
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
    noise = noise_for(ROUNDS * LOCAL_STEPS)

    def audit(train: Procedure) -> PrivacyAudit:
        rng = np.random.default_rng()
        return audit_privacy(train, rows, labels, claimed_epsilon=EPSILON, delta=DELTA, rng=rng)

    start = time.process_time()
    correct = [audit(procedure(schedule(), noise)) for _ in range(1 if options.quick else RUNS)]
    seconds = (time.process_time() - start) / len(correct)
    names = list(faults(noise))[: 2 if options.quick else None]
    faulty = {name: audit(faults(noise)[name]) for name in names}
    alarms = sum(finding.verdict == "refuted" for finding in correct)
    missed = sum(finding.verdict == "consistent" for finding in faulty.values())
    figures = [
        Figure(f"correct runs refuted, of {len(correct)}", alarms, "runs", 0),
        Figure(f"faults missed, of {len(faulty)}", missed, "faults", 0),
        Figure("claimed by all", EPSILON, "epsilon"),
        Figure("correct: largest bound by fit", max(one.fitted_bound for one in correct), "epsilon", EPSILON),
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
