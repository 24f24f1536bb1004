"""DP-SGD over many members, one secure sum a step: the coordinator's half, and noise for any other sum.

The member's half (:mod:`hanse.learning.private_gradients`, which loads torch) samples its own records with
its own coins (never from anything that identifies a person: one person's records at two members would then
enter the same step, which costs much more), clips each record's gradient, sums, rounds, and adds its share of
the noise. The coordinator's half asks for such sums
and takes the steps. What it sees is one noisy sum a step, as if all records were in one place (federated
SGD); with :attr:`PrivateRun.honest_shares` 1 every part is private on its own, and the code is the same.

What a member answers is charged before it leaves, whatever becomes of the sum afterwards: a masked part that
has left may be added up by somebody. A step is answered once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Aggregator, Contributor, FixedPoint, Query, Vector
from hanse.aggregation.body import encode_body
from hanse.errors import PrivacyError, ProtocolError, TrainingError
from hanse.learning.grid_noise import GridNoise, NoiseSource
from hanse.learning.random_source import SecureRandom
from hanse.learning.recipe import PrivateSchedule, fewest_sharing
from hanse.learning.shapes import MAX_WEIGHT, Groups, check_weights, parameter_count
from hanse.policies import Training

GRADIENT_KIND: Final = "sgd.gradient"
"""Asks for one noised gradient sum; the body has the header ``{"step": k}``, k from 0, and the weights."""

ROWS_KIND: Final = "sgd.rows"
"""Asks for the noised number of training records; the body has the header ``{}``."""

MAX_ROWS: Final = 2**31
"""Of one member."""

FloatVector: TypeAlias = NDArray[np.float32]

Charge: TypeAlias = Callable[[str], None]
"""Called with the kind of a query before its answer leaves; raises to keep the answer in."""


@dataclass(frozen=True)
class PrivateRun:
    """What members and coordinator agree on before the first step.

    Attributes:
        training: The model; of its schedule nothing is used.
        n_features: Width of the transformed rows.
        schedule: Steps, sample rate, clipping norm, step size.
        noise_multiplier: Of each step, relative to the clipping norm.
        rows_noise_multiplier: Of the number of records.
        members: Members at the start.
        honest_shares: Members whose shares make up the noise: ``members`` less those who may collude or drop
            out. 1: every member adds the whole noise, for two members and for runs without a secure sum.
        groups: Features of each categorical column, for models that read them.

    Raises:
        PrivacyError: ``privacy.unsupported`` if the noise would be shared by all members, or by none.
    """

    training: Training
    n_features: int
    schedule: PrivateSchedule
    noise_multiplier: float
    rows_noise_multiplier: float
    members: int
    honest_shares: int
    groups: Groups = ()

    def __post_init__(self) -> None:
        # Every member knows its own share and sees every model: with all shares counted, each could take off
        # its own and be left with less noise than was promised.
        if not (self.honest_shares == 1 or 1 < self.honest_shares < self.members):
            raise PrivacyError("privacy.unsupported", "noise is shared by fewer than all members")

    @cached_property
    def size(self) -> int:
        """Number of parameters."""
        return parameter_count(self.training, self.n_features, self.groups)

    @cached_property
    def gradient_noise(self) -> GridNoise:
        """Noise of a step."""
        return GridNoise(self.noise_multiplier, self.schedule.clip_norm, self.size, self.honest_shares)

    @cached_property
    def rows_noise(self) -> GridNoise:
        """Noise of the number of records."""
        return GridNoise(self.rows_noise_multiplier, 1.0, 1, self.honest_shares, whole=True)

    @property
    def fewest(self) -> int:
        """Fewest members of a sum: :func:`hanse.learning.recipe.fewest_sharing` of the shares."""
        return fewest_sharing(self.honest_shares)

    def check_members(self, members: int) -> None:
        """Refuses a sum in which too many shares of the noise are missing.

        The members themselves must hold the secure sum to the same minimum: by the time the coordinator sees
        a sum, it is out.

        Args:
            members: Members in a sum.

        Raises:
            TrainingError: ``run.insufficient-members`` (rule P17).
        """
        if members < self.fewest:
            raise TrainingError(
                "run.insufficient-members",
                f"{members} members are not {self.honest_shares} shares of noise beside one's own",
                rule="P17",
            )


class NoisyContributor:
    """Adds a member's share of noise to what another contributor answers, and charges for it.

    For counts and histograms of every sort: whatever is asked of the members in a private run goes through
    one of these, and a kind without a stated sensitivity is refused.

    Args:
        inner: Gives exact answers.
        noises: Noise by kind of query. The other contributor's answers must have the sensitivity that it
            states, whatever the query says.
        charge: Charges for an answer.
        random: Source of the noise.
    """

    def __init__(
        self,
        inner: Contributor,
        noises: Mapping[str, GridNoise],
        charge: Charge,
        random: SecureRandom,
    ) -> None:
        self._inner = inner
        self._noises = dict(noises)
        self._charge = charge
        self._random = random
        self._sources: dict[str, NoiseSource] = {}

    def contribute(self, query: Query) -> Vector:
        """See :class:`hanse.aggregation.Contributor`.

        Args:
            query: Of a known kind, with an encoding that carries the noise.

        Returns:
            The noised answer.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` for other kinds, ``protocol.malformed`` if the query
                does not fit the noise.
            HanseError: What the other contributor or the charge raises; then nothing leaves.
        """
        noise = self._noises.get(query.kind)
        if noise is None:
            raise ProtocolError("protocol.unexpected-step", "a query of a kind that no budget covers")
        bound = _room(query, noise)
        answer = self._inner.contribute(query)
        if query.kind not in self._sources:
            self._sources[query.kind] = noise.source(self._random)
        self._charge(query.kind)
        return self._sources[query.kind].add_to(answer, bound)


def _room(query: Query, noise: GridNoise) -> float:
    """How large an exact element may be in the query's encoding."""
    bound = query.encoding.bound - noise.reach
    if query.length != noise.length or query.encoding.fraction_bits < noise.fraction_bits or bound <= 0:
        raise ProtocolError("protocol.malformed", "the query's encoding does not carry the noise")
    return bound


class PrivateSgdCoordinator:
    """The coordinator's half. What it computes is computed from noisy sums alone, and costs nothing more.

    Args:
        aggregator: Access to the members.
        run: What was agreed.
        weights: Weights to start from; float32.
        rows: The noisy number of records, if the members were asked for it before.
    """

    def __init__(
        self, aggregator: Aggregator, run: PrivateRun, weights: FloatVector, rows: float | None = None
    ) -> None:
        check_weights(run.training, run.n_features, weights, MAX_WEIGHT, run.groups)
        self._aggregator = aggregator
        self._run = run
        self._weights = weights.astype(np.float64)
        self._rows = rows

    @property
    def weights(self) -> FloatVector:
        """Weights after the last step."""
        return self._weights.astype(np.float32)

    @property
    def rows(self) -> float:
        """Noisy number of the members' training records together, at least 1; asked for once."""
        if self._rows is None:
            body = encode_body({})
            encoding = self._run.rows_noise.encoding(float(MAX_ROWS), self._run.members)
            total = self._aggregator.aggregate(Query(ROWS_KIND, body, 1, encoding))
            self._run.check_members(len(total.members))
            self._rows = max(1.0, float(total.values[0]))
        return self._rows

    def train(self, steps: range | None = None) -> FloatVector:
        """Takes steps.

        Args:
            steps: Which; None for all.

        Returns:
            The trained weights.

        Raises:
            HanseError: What the members or the sum raise. The steps that were taken are in :attr:`weights`;
                go on with :meth:`take_step` after the one that failed, which is spent.
        """
        for step in range(self._run.schedule.steps) if steps is None else steps:
            self.take_step(step)
        return self.weights

    def take_step(self, step: int) -> None:
        """Asks for one gradient and follows it.

        Args:
            step: Number of the step, from 0; later than every one before.

        Raises:
            HanseError: As for :meth:`train`.
        """
        run, schedule = self._run, self._run.schedule
        body = encode_body({"step": step}, self.weights)
        query = Query(GRADIENT_KIND, body, run.size, self._encoding())
        total = self._aggregator.aggregate(query)
        run.check_members(len(total.members))
        size = schedule.learning_rate * (1 - step / schedule.steps)
        moved = self._weights - size / (schedule.sample_rate * self.rows) * total.values
        self._weights = np.clip(moved, -MAX_WEIGHT, MAX_WEIGHT)

    def _encoding(self) -> FixedPoint:
        """Room for twice the expected batch of all members, of which no member alone has more."""
        schedule = self._run.schedule
        batch = 2 * schedule.sample_rate * self.rows + _SMALL_BATCH
        return self._run.gradient_noise.encoding(schedule.clip_norm * batch, self._run.members)


_SMALL_BATCH: Final = 64
