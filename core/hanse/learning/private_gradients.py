"""The member's half of DP-SGD over many members; see :mod:`hanse.learning.private`."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import vector_to_parameters

from hanse.aggregation import Query, Vector
from hanse.aggregation.body import decode_body
from hanse.enforcement import AdmittedExamples
from hanse.errors import PolicyError, ProtocolError
from hanse.learning.dpsgd import clipped_gradient, make_clipper
from hanse.learning.models import build
from hanse.learning.private import GRADIENT_KIND, MAX_ROWS, ROWS_KIND, Charge, NoisyContributor, PrivateRun
from hanse.learning.random_source import SecureRandom
from hanse.learning.shapes import MAX_WEIGHT, check_weights
from hanse.learning.training import MAX_FEATURE


class PrivateGradientContributor:
    """A member's half: answers :data:`GRADIENT_KIND` and :data:`ROWS_KIND`.

    Args:
        run: What was agreed.
        examples: The member's training records. One that is not finite is never used.
        charge: Charges for an answer; it must be durable when it returns.
        random: Source of coins and noise, secret and this member's own.
        steps: Which steps it answers, a part of the schedule; None for all.
    """

    def __init__(
        self,
        run: PrivateRun,
        examples: AdmittedExamples,
        charge: Charge,
        random: SecureRandom,
        steps: range | None = None,
    ) -> None:
        self._noisy = NoisyContributor(
            _ExactSums(run, examples, random, range(run.schedule.steps) if steps is None else steps),
            {GRADIENT_KIND: run.gradient_noise, ROWS_KIND: run.rows_noise},
            charge,
            random,
        )

    def contribute(self, query: Query) -> Vector:
        """See :class:`hanse.aggregation.Contributor`.

        Args:
            query: The next step, or the number of records, once.

        Returns:
            The noised sum.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` if a step was answered before or is not planned,
                ``protocol.malformed``.
            HanseError: What the charge raises.
        """
        return self._noisy.contribute(query)


class _ExactSums:
    """What the noise is added to. Never let out by itself."""

    def __init__(
        self, run: PrivateRun, examples: AdmittedExamples, random: SecureRandom, steps: range
    ) -> None:
        if not 0 < len(examples.features) <= MAX_ROWS:
            raise PolicyError("policy.cohort", "no row is admitted", rule="P15")
        self._run = run
        self._random = random
        self._x = examples.features
        self._y = examples.labels
        self._usable = _usable(examples)
        self._model = build(run.training, run.n_features, run.groups).double()
        self._clipper = make_clipper(self._model, run.schedule.clip_norm)
        self._next_step, self._last_step = steps.start, steps.stop - 1
        self._counted = False

    def contribute(self, query: Query) -> Vector:
        header, arrays = decode_body(query.body)
        return self._rows() if query.kind == ROWS_KIND else self._gradient(header.get("step"), arrays)

    def _rows(self) -> Vector:
        if self._counted:
            raise ProtocolError("protocol.unexpected-step", "the records were counted before")
        self._counted = True
        return np.array([float(len(self._x))])

    def _gradient(self, step: object, arrays: tuple[NDArray[np.generic], ...]) -> Vector:
        run = self._run
        if type(step) is not int or not self._next_step <= step <= self._last_step:
            raise ProtocolError("protocol.unexpected-step", "the step was answered before, or is not planned")
        if len(arrays) != 1 or arrays[0].dtype != np.float32:
            raise ProtocolError("protocol.malformed", "a step has one array of weights")
        weights = arrays[0].astype(np.float32)
        check_weights(run.training, run.n_features, weights, MAX_WEIGHT, run.groups)
        self._next_step = step + 1
        vector_to_parameters(torch.from_numpy(weights.astype(np.float64)), self._model.parameters())
        coins = self._random.uniform(len(self._x)) < run.schedule.sample_rate
        drawn = np.flatnonzero(coins & self._usable)
        x = torch.from_numpy(self._x[drawn].astype(np.float64))
        return clipped_gradient(self._clipper, x, torch.from_numpy(self._y[drawn].astype(np.float64)))


def _usable(examples: AdmittedExamples) -> NDArray[np.bool_]:
    """Records whose gradient is finite whatever the weights; each is judged by itself alone."""
    labels = examples.labels if examples.labels.ndim > 1 else examples.labels[:, None]
    known = (labels >= 0) & (labels <= 1)
    within = np.abs(examples.features) <= MAX_FEATURE
    return np.asarray(np.concatenate([within, known | np.isnan(labels)], axis=1).all(axis=1), dtype=np.bool_)
