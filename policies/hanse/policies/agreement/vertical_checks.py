"""Holds the vertical part of an agreement against the rest of it, by the kind of model."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

from hanse.policies.agreement.training import Training
from hanse.policies.agreement.vertical import ANSWER_FORMS, MAXIMUM_LEAKAGE, Answers, Vertical
from hanse.policies.fields import require_unique

if TYPE_CHECKING:
    from hanse.policies.agreement.document import Agreement

MOST_STEPS: Final = 500
"""Of a scorecard."""

MOST_PASSES: Final = 1000
MOST_UNITS: Final = 1024
"""Of a split network."""

_TWO: Final = 2


def check_vertical(agreement: "Agreement", vertical: Vertical) -> None:
    """Holds the vertical part of an agreement against the rest of it.

    Args:
        agreement: A document whose parts are valid.
        vertical: Its vertical part.

    Raises:
        PydanticCustomError: If they do not fit; what is not built is refused here, and never left out.
    """
    _check_holdings(agreement, vertical)
    _check_built(agreement)
    _check_model(agreement, vertical)
    named = {identifier.kind.casefold() for identifier in vertical.alignment.identifiers}
    if named & {agreement.label.name.casefold(), *(c.name.casefold() for c in agreement.columns)}:
        raise PydanticCustomError("identifiers", "remove the identifiers from columns and label")
    if vertical.alignment.minimum < agreement.cohort.minimum_rows:
        raise PydanticCustomError("minimum", "let alignment.minimum be at least cohort.minimum_rows")
    if vertical.minimum_bin_rows < agreement.cohort.suppress_below:
        raise PydanticCustomError(
            "minimum_bin_rows", "let minimum_bin_rows be at least cohort.suppress_below"
        )


def _check_holdings(agreement: "Agreement", vertical: Vertical) -> None:
    holders = [holding.member for holding in vertical.holdings]
    require_unique("the members of vertical.holdings", holders)
    if set(holders) != {member.name for member in agreement.members}:
        raise PydanticCustomError("holdings", "give every member of the agreement its holding, and no other")
    if vertical.label_holder not in holders:
        raise PydanticCustomError("label_holder", "let a member of the agreement be the label holder")
    held = [name for holding in vertical.holdings for name in holding.columns]
    require_unique("the columns of vertical.holdings", held)
    if set(held) != {column.name for column in agreement.columns}:
        raise PydanticCustomError("holdings", "let every column of the agreement be held by one member")
    if agreement.cohort.minimum_members != len(holders):
        raise PydanticCustomError(
            "minimum_members", "let cohort.minimum_members be all members: each has what nobody else has"
        )


def _check_built(agreement: "Agreement") -> None:
    training = agreement.training
    if training.rounds != 1:
        raise PydanticCustomError(
            "rounds",
            "write 1 as training.rounds, and trees or steps as training.local_steps: there is one phase",
        )
    if agreement.privacy is not None:
        raise PydanticCustomError(
            "privacy",
            "write privacy: null in a vertical agreement: what is learned of common people is exact",
        )
    unusual = training.targets or training.patience or training.trials or training.positive_weight != 1
    if unusual or training.sample_rate != 1:
        raise PydanticCustomError(
            "training",
            "leave out targets, patience, trials and positive_weight, and write 1 as sample_rate: vertical "
            "models have one label and all common people",
        )
    if agreement.contributions:
        raise PydanticCustomError("contributions", "leave them out of a vertical agreement")


def _check_model(agreement: "Agreement", vertical: Vertical) -> None:
    """Holds the kind of model against what members rely on, and refuses settings that would mean nothing."""
    if (vertical.label_defence is None) == (vertical.trust.mode == "direct"):
        raise PydanticCustomError(
            "label_defence", "give label_defence with the trust mode 'direct', and with no other"
        )
    training = agreement.training
    if training.model not in _CHECKS:
        raise PydanticCustomError(
            "model", "choose trees, scorecard, late_fusion or split_network for such members"
        )
    _CHECKS[training.model](training, vertical)
    if vertical.answers is not None:
        _check_answers(agreement, vertical.answers)
    if training.model == "trees":
        return
    if (training.clip_norm, training.max_update_norm, training.adaptive_step) != (1, 1, 0):
        raise PydanticCustomError(
            "training",
            "write 1 as clip_norm and max_update_norm, and leave out adaptive_step: here they mean nothing",
        )
    cells = ("one_hot", "quantiles", *(("standardised",) if training.model == "split_network" else ()))
    if any(column.transform not in cells for column in agreement.columns):
        raise PydanticCustomError("columns", "cut the columns of a vertical model into cells")


def _check_answers(agreement: "Agreement", answers: Answers) -> None:
    """Holds what is answered when people are scored against the kind of model, and what callers are told."""
    form = ANSWER_FORMS[agreement.training.model]
    if answers.form != form:
        raise PydanticCustomError(
            "answers", "write {form} as vertical.answers.form: {says}", {"form": form, "says": _SAYS[form]}
        )
    if form in _ADDED and agreement.scoring.output == "score":
        raise PydanticCustomError(
            "answers",
            "choose another scoring.output than score: this model adds up what each member says, so whoever "
            "has scores and the label holder's columns has what the others say",
        )


def _check_trees(training: Training, vertical: Vertical) -> None:
    del training
    if vertical.trust.mode == "direct":
        raise PydanticCustomError("trust", "write the mode 'dealer' or 'homomorphic' for trees")


def _check_scorecard(training: Training, vertical: Vertical) -> None:
    _check_rate(training)
    if len(vertical.holdings) != _TWO:
        raise PydanticCustomError("holdings", "let two members make a scorecard: it is shared between two")
    if vertical.trust.mode != "dealer":
        raise PydanticCustomError("trust", "write the mode 'dealer' for a scorecard: it needs one")
    if training.local_steps > MOST_STEPS:
        raise PydanticCustomError("training", "write at most 500 as the local_steps of a scorecard")


def _check_fusion(training: Training, vertical: Vertical) -> None:
    _check_direct(vertical)
    if vertical.label_defence is None or vertical.label_defence.kind != "label_noise":
        raise PydanticCustomError("label_defence", "give late_fusion the label_defence label_noise")
    _check_rate(training)
    if training.local_steps != 1:
        raise PydanticCustomError("training", "write 1 as the local_steps of late_fusion: it has one")
    _check_noise(vertical)


def _check_split(training: Training, vertical: Vertical) -> None:
    _check_direct(vertical)
    if len(training.hidden) != 1 or training.hidden[0] > MOST_UNITS:
        raise PydanticCustomError("hidden", "give a split_network one hidden layer of at most 1024 units")
    if training.local_steps > MOST_PASSES or training.learning_rate > 1:
        raise PydanticCustomError(
            "training", "give a split_network at most 1000 local_steps, and a learning_rate of at most 1"
        )
    defence = vertical.label_defence
    if defence is not None and defence.epsilon is not None and vertical.maximum_leakage <= MAXIMUM_LEAKAGE:
        raise PydanticCustomError(
            "label_defence",
            "choose frozen_bottoms, or name a maximum_leakage above 0.6: with label_noise, averaged "
            "gradients of a split network tell labels apart better than that, however small epsilon is",
        )
    _check_noise(vertical)


def _check_direct(vertical: Vertical) -> None:
    if vertical.trust.mode != "direct":
        raise PydanticCustomError("trust", "write the mode 'direct' for this model: nothing is dealt")


def _check_noise(vertical: Vertical) -> None:
    """Refuses noise with which no model could be released, before anybody is sent anything."""
    defence = vertical.label_defence
    if defence is not None and defence.area > vertical.maximum_leakage:
        raise PydanticCustomError(
            "label_defence",
            "choose a smaller epsilon or a larger maximum_leakage: a flipped label alone has the area "
            "1 / (1 + exp(-epsilon))",
        )


def _check_rate(training: Training) -> None:
    if training.learning_rate != 1:
        raise PydanticCustomError("training", "write 1 as learning_rate: this model has no step size")


_SAYS: Final = {
    "sides": "sides of cuts are those of trees",
    "log_odds": "what a late_fusion adds up",
    "points": "what a scorecard adds up",
    "embeddings": "what the top of a split_network takes",
}
_ADDED: Final = frozenset({"log_odds", "points"})
"""Forms of which a score is a sum."""

_CHECKS: Final[Mapping[str, Callable[[Training, Vertical], None]]] = {
    "trees": _check_trees,
    "scorecard": _check_scorecard,
    "late_fusion": _check_fusion,
    "split_network": _check_split,
}
