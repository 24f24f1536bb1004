"""The model, what it predicts, and how it is trained.

Fields that an older agreement does not have are left out of its text while they have their default, so its
digest and its signatures hold.
"""

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.fields import ColumnName, Document, Many, Positive, Text, require_unique

MAX_TARGETS: Final = 16

Model: TypeAlias = Literal[
    "logistic", "mlp", "wide_and_deep", "scorecard", "trees", "late_fusion", "split_network"
]
"""The kinds of models."""

VERTICAL_ONLY: Final = ("late_fusion", "split_network")
"""Kinds that need members with different columns of the same people."""

MOST_TREES: Final = 10_000
"""Of one model."""

MOST_TRIALS: Final = 64
"""Combinations that an agreement may have tried."""

_DEEP: Final = ("mlp", "wide_and_deep", "split_network")
_EMBEDDING: Final = ("wide_and_deep", "split_network")
_Small = Annotated[int, Field(ge=1, le=10_000)]


def _is(default: object) -> Callable[[object], bool]:
    return lambda value: value == default


class Target(Document):
    """Something that the model predicts beside the agreement's label, with an output of its own.

    Attributes:
        name: Column of every member that holds it; where it is empty, the record has no part in this output.
        kind: ``label`` for a yes or no; ``amount`` for a number such as a customer's value, which is
            predicted as the probability that it is above zero times its mean where it is.
        positive: Value of a label that counts as yes; null for an amount.
        bound: Amount above which every larger one counts as this one, in the column's unit; null for a
            label. It is public, so that one record's pull on the model is bounded whatever its amount.
    """

    name: ColumnName
    kind: Literal["label", "amount"]
    positive: Text | None = None
    bound: Positive | None = None

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        given = (self.positive is not None, self.bound is not None)
        if given != (self.kind == "label", self.kind == "amount"):
            raise PydanticCustomError("target", "give positive to a label, bound to an amount")
        return self

    @property
    def outputs(self) -> int:
        """Outputs of the model: one for a label, two for an amount."""
        return 1 if self.kind == "label" else 2


class PointScale(Document):
    """How a scorecard writes log-odds as points.

    Attributes:
        points: Points of a person whose odds are ``odds``.
        odds: Odds of yes against no at that many points.
        doubling: Points that double the odds.
    """

    points: Annotated[int, Field(ge=0, le=100_000)]
    odds: Positive
    doubling: Annotated[int, Field(ge=1, le=10_000)]


class Trees(Document):
    """How boosted trees are grown.

    Attributes:
        depth: Splits between the root and the deepest leaf.
        min_rows: Fewest records of a side of a split, over all members.
        l2: Pulls the values of leaves with few records towards zero; as many records that say nothing.
    """

    depth: Annotated[int, Field(ge=1, le=10)]
    min_rows: Annotated[int, Field(ge=1, le=1_000_000)]
    l2: Annotated[float, Field(ge=0, le=1e9)]


class Trials(Document):
    """What may be tried instead of what the training says, to find out what serves the model best.

    Every combination of the choices may be tried once in a sweep. A setting without choices stays as it is.

    Attributes:
        learning_rate: Choices of the step size.
        rounds: Of the rounds of one run.
        depth: Of the depth of ``trees``.
        l2: Of the pull on the leaves of ``trees``.
    """

    learning_rate: Many[Positive] = Field(default=(), max_length=MOST_TRIALS, exclude_if=_is(()))
    rounds: Many[_Small] = Field(default=(), max_length=MOST_TRIALS, exclude_if=_is(()))
    depth: Many[Annotated[int, Field(ge=1, le=10)]] = Field(default=(), max_length=10, exclude_if=_is(()))
    l2: Many[Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default=(), max_length=MOST_TRIALS, exclude_if=_is(())
    )

    @model_validator(mode="after")
    def _are_several(self) -> Self:
        for name, choices in self.choices.items():
            require_unique(f"the choices of {name}", choices)
        if not 1 < prod(map(len, self.choices.values())) <= MOST_TRIALS:
            raise PydanticCustomError(
                "trials", "let there be 2 to 64 combinations of choices, or leave trials out"
            )
        return self

    @property
    def choices(self) -> dict[str, tuple[float, ...]]:
        """The choices by setting, without settings that have none."""
        named = {name: getattr(self, name) for name in ("learning_rate", "rounds", "depth", "l2")}
        return {name: choices for name, choices in named.items() if choices}


class Training(Document):
    """The model and how it is trained.

    Attributes:
        model: ``logistic``, ``mlp``, ``wide_and_deep`` (a linear part beside hidden layers, which read each
            categorical column as a learned embedding), ``scorecard`` (logistic, in whole points), ``trees``
            (boosted, between three members or more, without a privacy budget) or, between members with
            different columns of the same people alone, ``late_fusion`` (each member's own model, log-odds
            added) or ``split_network`` (halves of a network).
        hidden: Units of the hidden layers of ``mlp`` and ``wide_and_deep``; of a ``split_network`` those of
            each half; none for the others.
        rounds: Rounds of one run; with ``patience``, the most.
        local_steps: Steps of one member in one round; of ``trees``, how many are grown in one; of a
            ``split_network``, passes over all people.
        sample_rate: Probability that a step uses a record, in (0, 1].
        learning_rate: Step size at the first step; of ``trees``, the part of each leaf's best value that is
            taken, at most 1.
        clip_norm: L2 bound of one record's gradient; of ``trees`` it is 1, as no gradient is larger.
        max_update_norm: L2 bound of one member's update; a longer one is rejected. Members send none for
            ``trees``: 1.
        round_timeout_s: Seconds after which a round goes on without those who did not answer.
        holdout_fraction: Share of the records that is kept for evaluation.
        embedding: Numbers per categorical column that ``wide_and_deep`` learns; numbers per person that a
            feature holder of a ``split_network`` sends; 0 for the others.
        targets: What is predicted beside the label.
        positive_weight: How much a record of the label's positive class weighs in training, against 1 of the
            other. Scores are corrected for it: they remain probabilities among people as they are.
        patience: Rounds without an improvement after which a run stops and keeps its best weights; 0 for
            never.
        adaptive_step: Step size at which the coordinator follows the members' mean update, scaled for each
            parameter by what earlier rounds said of it; 0 adds the mean as it is.
        scale: Points of a ``scorecard``; null for the others.
        trees: How ``trees`` are grown; null for the others.
        trials: What a sweep may try instead of the settings above; null for no sweeps.
    """

    model: Model
    hidden: Annotated[Many[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=8)]
    rounds: _Small
    local_steps: _Small
    sample_rate: Annotated[float, Field(gt=0, le=1)]
    learning_rate: Positive
    clip_norm: Positive
    max_update_norm: Positive
    round_timeout_s: Annotated[int, Field(ge=1, le=86_400)]
    holdout_fraction: Annotated[float, Field(gt=0, le=0.5)]
    embedding: int = Field(default=0, ge=0, le=256, exclude_if=_is(0))
    targets: Many[Target] = Field(default=(), max_length=MAX_TARGETS, exclude_if=_is(()))
    positive_weight: float = Field(default=1.0, gt=0, le=1000, exclude_if=_is(1.0))
    patience: int = Field(default=0, ge=0, le=10_000, exclude_if=_is(0))
    adaptive_step: float = Field(default=0.0, ge=0, le=10, exclude_if=_is(0.0))
    scale: PointScale | None = Field(default=None, exclude_if=_is(None))
    trees: Trees | None = Field(default=None, exclude_if=_is(None))
    trials: Trials | None = Field(default=None, exclude_if=_is(None))

    @model_validator(mode="after")
    def _options_fit_model(self) -> Self:
        if bool(self.hidden) != (self.model in _DEEP):
            raise PydanticCustomError(
                "hidden", "give hidden layers to a deep model, none to a logistic model, scorecard or trees"
            )
        if bool(self.embedding) != (self.model in _EMBEDDING):
            raise PydanticCustomError(
                "embedding", "give embedding to wide_and_deep or split_network, and to no other model"
            )
        if (self.scale is not None) != (self.model == "scorecard"):
            raise PydanticCustomError("scale", "give scale to a scorecard, and to no other model")
        if self.model == "scorecard" and self.targets:
            raise PydanticCustomError("targets", "a scorecard has one label; give its targets another model")
        require_unique("the targets", (target.name.casefold() for target in self.targets))
        return self

    @model_validator(mode="after")
    def _trees_fit(self) -> Self:
        if (self.trees is not None) != (self.model == "trees"):
            raise PydanticCustomError("trees", "give trees to the model 'trees', and to no other")
        if self.trees is None:
            return self
        if self.rounds * self.local_steps > MOST_TREES:
            raise PydanticCustomError("trees", "let rounds times local_steps, the trees, be at most 10000")
        if self.learning_rate > 1 or (self.clip_norm, self.max_update_norm) != (1, 1):
            raise PydanticCustomError(
                "trees", "give trees a learning_rate of at most 1, and 1 as clip_norm and max_update_norm"
            )
        if self.targets or self.adaptive_step:
            raise PydanticCustomError("trees", "trees have one label and no adaptive_step")
        return self

    @model_validator(mode="after")
    def _trials_fit(self) -> Self:
        if self.trials is not None and self.trees is None and (self.trials.depth or self.trials.l2):
            raise PydanticCustomError(
                "trials", "give choices of depth and l2 to trees, and to no other model"
            )
        if any(point.rounds * point.local_steps > MOST_TREES for point in self.points if point.trees):
            raise PydanticCustomError("trees", "let rounds times local_steps, the trees, be at most 10000")
        if any(point.learning_rate > 1 for point in self.points if point.trees):
            raise PydanticCustomError("trees", "give trees a learning_rate of at most 1")
        return self

    @property
    def points(self) -> tuple["Training", ...]:
        """The training of every combination that may be tried; none of them has trials of its own."""
        choices = {} if self.trials is None else self.trials.choices
        combinations = (dict(zip(choices, each, strict=True)) for each in product(*choices.values()))
        return tuple(self._changed(each) for each in combinations) if choices else ()

    def _changed(self, settings: dict[str, Any]) -> "Training":
        grown: dict[str, Any] = {name: settings[name] for name in ("depth", "l2") if name in settings}
        changed = {name: value for name, value in settings.items() if name not in grown}
        trees = self.trees and self.trees.model_copy(update=grown)
        return self.model_copy(update={**changed, "trees": trees, "trials": None})

    @property
    def outputs(self) -> int:
        """Outputs of the model: the label's, then those of each target."""
        return 1 + sum(target.outputs for target in self.targets)
