"""The private run over members that an agreement stands for, as members and coordinator derive it alike.

Everything but the levels of the noise follows from the agreement. The levels follow from its budget and from
what earlier runs have left of it at the member that has least: every member says what it needs, and the
largest of each is used by all (:class:`NoiseLevels`).

Every cell of the agreement has a feature, whether it has rows or not: which cells are rare is not asked, so
nothing is released to fit the preprocessing, and what it is depends on no record. The noise of training
drowns what a rare cell would say by itself.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final, Self

import numpy as np

from hanse.aggregation import FixedPoint, Query, decode_body, encode_body
from hanse.crypto import JsonValue
from hanse.errors import PrivacyError, ProtocolError
from hanse.learning.evaluation.grid import COARSE
from hanse.learning.evaluation.questions import SCORES
from hanse.learning.grid_noise import GridNoise
from hanse.learning.private import FloatVector, PrivateRun
from hanse.learning.recipe import PrivateSchedule, recommend_honest_shares
from hanse.learning.shapes import MAX_WEIGHT, check_weights, parameter_count
from hanse.learning.transform import Transform
from hanse.policies import Agreement

PLAN_KIND: Final = "noise.plan"
"""Tells the levels; whoever keeps within its budget with them reserves that and answers 1."""

MIN_LEVEL: Final = 0.1
MAX_LEVEL: Final = 1e6

_NAMES: Final = ("gradients", "rows", "histograms")


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """Noise multipliers of a run: standard deviation over L2 sensitivity.

    Attributes:
        gradients: Of each step.
        rows: Of the number of training records.
        histograms: Of each score histogram.

    Raises:
        ProtocolError: ``protocol.malformed`` for a level that no accountant knows.
    """

    gradients: float
    rows: float
    histograms: float

    def __post_init__(self) -> None:
        if not all(MIN_LEVEL <= level <= MAX_LEVEL for level in astuple(self)):  # False for NaN
            raise ProtocolError("protocol.malformed", f"noise is from {MIN_LEVEL} to {MAX_LEVEL:g}")

    @classmethod
    def loudest(cls, levels: Iterable[Self]) -> Self:
        """The largest of each, which is enough for everybody."""
        return cls(*map(max, zip(*map(astuple, levels), strict=True)))

    def covers(self, needed: "NoiseLevels") -> bool:
        """Whether none is below what is needed."""
        return all(own >= least for own, least in zip(astuple(self), astuple(needed), strict=True))

    def query(self, contributors: int) -> Query:
        """The question :data:`PLAN_KIND`."""
        return Query(PLAN_KIND, encode_body({"noise": self.to_json()}), 1, FixedPoint(1.0, contributors, 0))

    @classmethod
    def read(cls, query: Query) -> Self:
        """Levels of :meth:`query`.

        Raises:
            ProtocolError: ``protocol.malformed`` for any other question.
        """
        header, arrays = decode_body(query.body)
        levels = cls.from_json(header.get("noise"))
        if arrays or len(header) != 1 or levels.query(query.encoding.contributors) != query:
            raise ProtocolError("protocol.malformed", "not a question about noise")
        return levels

    def to_json(self) -> dict[str, JsonValue]:
        """By name."""
        return dict(zip(_NAMES, astuple(self), strict=True))

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Reads what :meth:`to_json` wrote, from anywhere.

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        levels = [value.get(name) for name in _NAMES] if isinstance(value, dict) else []
        numbers = [float(level) for level in levels if type(level) in (int, float)]  # type: ignore[arg-type]
        if not isinstance(value, dict) or len(value) != len(_NAMES) or len(numbers) != len(_NAMES):
            raise ProtocolError("protocol.malformed", "not three levels of noise")
        return cls(*numbers)


@dataclass(frozen=True, slots=True)
class PrivateState:
    """What a private run knows between its rounds; all of it is public.

    Attributes:
        levels: Of the noise.
        rows: The noisy number of training records of all members, at least 1.
        weights: One flat vector.
    """

    levels: NoiseLevels
    rows: float
    weights: FloatVector

    def to_bytes(self) -> bytes:
        """As it travels and is kept."""
        return encode_body({"noise": self.levels.to_json(), "rows": self.rows}, self.weights)

    @classmethod
    def from_bytes(cls, data: bytes, run_of: "SharedRun") -> Self:
        """Reads what :meth:`to_bytes` wrote, from anywhere.

        Args:
            data: Bytes.
            run_of: What the weights must fit.

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        header, arrays = decode_body(data)
        rows = header.get("rows")
        if len(header) != 2 or len(arrays) != 1 or type(rows) not in (int, float):  # noqa: PLR2004
            raise ProtocolError("protocol.malformed", "not the state of a private run")
        weights = arrays[0]
        if weights.dtype != np.float32 or not 1 <= float(rows) <= MAX_TOTAL_ROWS:  # type: ignore[arg-type]
            raise ProtocolError("protocol.malformed", "weights are float32, records at least one")
        run_of.check(weights.astype(np.float32))
        return cls(NoiseLevels.from_json(header.get("noise")), float(rows), weights.astype(np.float32))  # type: ignore[arg-type]


MAX_TOTAL_ROWS: Final = 2.0**40


class SharedRun:
    """The run of an agreement with a budget and sums.

    Args:
        agreement: Of the run.

    Attributes:
        transform: One feature for each cell of the agreement.
        honest_shares: Shares that make up the noise.

    Raises:
        PrivacyError: ``privacy.unsupported`` for several outputs or weighted classes.
        TrainingError: ``run.unprepared`` for columns whose cells have to be learned.
    """

    def __init__(self, agreement: Agreement) -> None:
        training = agreement.training
        if training.outputs > 1 or training.positive_weight != 1:
            raise PrivacyError("privacy.unsupported", "with privacy a model has one label, unweighted")
        self._agreement = agreement
        self.transform = Transform.fit(agreement.columns, None, 0)
        self.honest_shares = recommend_honest_shares(len(agreement.members))

    @property
    def schedule(self) -> PrivateSchedule:
        """One sum a step, over all rounds."""
        training = self._agreement.training
        return PrivateSchedule(
            training.rounds * training.local_steps,
            training.sample_rate,
            training.clip_norm,
            training.learning_rate,
        )

    def steps(self, round_number: int) -> range:
        """The steps of a round, from 1."""
        each = self._agreement.training.local_steps
        return range((round_number - 1) * each, round_number * each)

    def private(self, levels: NoiseLevels) -> PrivateRun:
        """What both halves of its training are made of."""
        return PrivateRun(
            training=self._agreement.training,
            n_features=self.transform.n_features,
            schedule=self.schedule,
            noise_multiplier=levels.gradients,
            rows_noise_multiplier=levels.rows,
            members=len(self._agreement.members),
            honest_shares=self.honest_shares,
            groups=self.transform.groups,
        )

    def score_noises(self, levels: NoiseLevels) -> dict[str, GridNoise]:
        """Noise of a score histogram, by kind of question: a record is in one bin of one class."""
        return {SCORES: GridNoise(levels.histograms, 1.0, 2 * COARSE.bins, self.honest_shares, whole=True)}

    def zeros(self) -> FloatVector:
        """Weights that say nothing."""
        transform = self.transform
        return np.zeros(
            parameter_count(self._agreement.training, transform.n_features, transform.groups), np.float32
        )

    def check(self, weights: FloatVector) -> None:
        """Refuses weights that are none of this model.

        Raises:
            ProtocolError: ``protocol.malformed``.
        """
        transform = self.transform
        check_weights(self._agreement.training, transform.n_features, weights, MAX_WEIGHT, transform.groups)
