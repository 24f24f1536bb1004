"""How long a step of DP-SGD takes, beside a plain one and beside Opacus, in one run.

An MLP 64-128-64-1 on one core; see README.md in this folder for what is measured and how.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

from common import Figure, Options, finish, parse_options
from hanse.learning import SecureRandom
from hanse.learning.dpsgd import PrivateSgd
from hanse.learning.plain_sgd import PlainSgd

Step = Callable[[], None]

FEATURES: Final = 64
BARS: Final = {256: 1.5, 4096: 2.0}
STEPS: Final = {256: 5, 4096: 1}
REPETITIONS: Final = 400
QUICK_REPETITIONS: Final = 80
SLOW_EVERY: Final = 40
"""Opacus' hooks take that much longer, and are measured that much less often."""


def model() -> nn.Sequential:
    """The network, with torch's own start."""
    return nn.Sequential(nn.Linear(FEATURES, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 1))


def ours(x: np.ndarray, y: np.ndarray) -> dict[str, Step]:
    """The product's plain step and its private one, noise included."""
    plain = PlainSgd(model())
    private = PrivateSgd(model(), noise_multiplier=1.0, clip_norm=1.0, random=SecureRandom())
    rows = float(len(x))
    return {
        "plain": lambda: plain.step(x, y, expected_rows=rows, learning_rate=0.01),
        "private": lambda: private.step(x, y, expected_rows=rows, learning_rate=0.01),
    }


def opacus_hooks(x: torch.Tensor, y: torch.Tensor) -> Step:
    """Opacus' default: per-record gradients. Its noise is torch's, which is faster and no secret."""
    wrapped = GradSampleModule(model(), loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=0.01),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=len(x),
        loss_reduction="sum",
    )
    loss = nn.BCEWithLogitsLoss(reduction="sum")

    def step() -> None:
        optimizer.zero_grad()
        loss(wrapped(x)[:, 0], y).backward()
        optimizer.step()

    return step


def opacus_ghost(x: torch.Tensor, y: torch.Tensor) -> Step:
    """Opacus' ghost clipping: two backward passes."""
    wrapped = GradSampleModuleFastGradientClipping(
        model(),
        loss_reduction="sum",
        max_grad_norm=1.0,  # pyright: ignore[reportArgumentType] # Opacus' default is an int
        use_ghost_clipping=True,
    )
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(wrapped.parameters(), lr=0.01),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=len(x),
        loss_reduction="sum",
    )
    loss = DPLossFastGradientClipping(wrapped, optimizer, nn.BCEWithLogitsLoss(reduction="sum"), "sum")

    def step() -> None:
        optimizer.zero_grad()
        loss(wrapped(x)[:, 0], y).backward()
        optimizer.step()

    return step


def best_ms(steps: dict[str, Step], batch: int, repetitions: int) -> dict[str, float]:
    """Milliseconds of one core per step: the best of many turns, which other work only ever slows."""
    best = dict.fromkeys(steps, float("inf"))
    for repetition in range(repetitions):
        for name, step in steps.items():
            slow = name == "hooks"
            if slow and repetition % SLOW_EVERY:
                continue
            number = 1 if slow else STEPS[batch]
            started = time.thread_time()
            for _ in range(number):
                step()
            best[name] = min(best[name], (time.thread_time() - started) / number * 1e3)
    return best


def figures(options: Options) -> Iterator[Figure]:
    """Ratios to the plain step, for both batches."""
    rng = np.random.default_rng(0)
    for batch, bar in BARS.items():
        x = rng.random((batch, FEATURES), dtype=np.float32)
        y = (rng.random(batch) < 0.3).astype(np.float32)  # noqa: PLR2004 - a share of positives
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        steps = ours(x, y) | {"ghost": opacus_ghost(inputs, labels), "hooks": opacus_hooks(inputs, labels)}
        found = best_ms(steps, batch, QUICK_REPETITIONS if options.quick else REPETITIONS)
        yield Figure(f"batch {batch}: plain step", found["plain"], "ms")
        yield Figure(f"batch {batch}: private step", found["private"] / found["plain"], "x plain", bar)
        yield Figure(f"batch {batch}: Opacus, ghost", found["ghost"] / found["plain"], "x plain")
        yield Figure(f"batch {batch}: Opacus, hooks", found["hooks"] / found["plain"], "x plain")


def main() -> int:
    """Measures, prints, and says whether a bar was missed."""
    options = parse_options(__doc__ or "")
    torch.set_num_threads(1)
    return finish("Step of DP-SGD", list(figures(options)), options)


if __name__ == "__main__":
    sys.exit(main())
