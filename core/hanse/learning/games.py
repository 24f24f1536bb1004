"""What each member adds to a model: leave-one-out and Shapley values of a game over subsets of members.

The worth of a subset is given as a function, e.g. the area under the ROC curve of the model that the
subset's updates make, on the federated validation set. A subset smaller than the agreement's minimum is
never evaluated: its model would say too much about too few. It is worth a fixed floor, as the empty subset
is, so the game is another one than without a minimum: whoever completes a subset of the minimum size is
credited with all that it is worth above the floor, and a member that adds nothing to any larger subset still
gets up to 1/n of that.

Shapley values (Shapley, "A Value for n-Person Games", 1953) of this game add up to the worth of all members
above the floor; equal members get equal values; one that changes the worth of no subset gets 0.

Evaluating a subset must not reveal an update. A secure sum over a subset hides the members in it, but sums
of *the same* updates over many subsets do not: the sums with and without a member differ by its update
(:func:`exposed_group` finds such groups). So a subset is either trained anew, with fresh noise, and charged
to the ledgers of all members in it; or its model is evaluated where nobody sees the model, and only the
worth comes out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.errors import ConfigurationError
from hanse.learning.aggregation import Update, aggregate

Subset: TypeAlias = frozenset[str]
Worth: TypeAlias = Callable[[Subset], float]
Method: TypeAlias = Literal["leave-one-out", "shapley-exact", "shapley-sampled"]

MAX_EXACT_MEMBERS: Final = 12
"""Up to so many, all subsets are at most 4,096."""

MINIMUM_PERMUTATIONS: Final = 20
"""With fewer, a standard error is not worth stating."""


@dataclass(slots=True)
class Game:
    """Who could have taken part, and what it would have been worth.

    Attributes:
        members: Everybody; at least two.
        worth: Worth of a subset of at least ``minimum`` members; called once per subset.
        minimum: Fewest members of a subset that is evaluated.
        floor: Worth of every smaller subset, in the unit of ``worth``: that of the model without training.
    """

    members: tuple[str, ...]
    worth: Worth
    minimum: int
    floor: float
    _known: dict[Subset, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if len(set(self.members)) != len(self.members) or len(self.members) < 2:  # noqa: PLR2004
            raise ConfigurationError("config.invalid", "a game needs two members or more, each once")
        if not 1 <= self.minimum <= len(self.members):
            raise ConfigurationError("config.invalid", "the smallest subset is larger than all members")

    @property
    def evaluations(self) -> int:
        """How many subsets were evaluated: what is charged to ledgers if subsets are trained anew."""
        return len(self._known)

    @property
    def total(self) -> float:
        """Worth of all members above the floor."""
        return self.of(frozenset(self.members)) - self.floor

    def of(self, subset: Subset) -> float:
        """Worth of a subset.

        Raises:
            ConfigurationError: ``config.invalid`` if the worth is not finite.
        """
        if len(subset) < self.minimum:
            return self.floor
        if subset not in self._known:
            worth = float(self.worth(subset))
            if not np.isfinite(worth):
                raise ConfigurationError("config.invalid", "the worth of a subset is not finite")
            self._known[subset] = worth
        return self._known[subset]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one member adds.

    Attributes:
        member: Its name.
        value: In the unit of the game's worth; may be negative.
        standard_error: Of sampling permutations; 0 where nothing is sampled. That the worth itself is
            measured on few rows, or with noise, is not in it.
    """

    member: str
    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """What all members add.

    Attributes:
        method: How it was found.
        each: One per member, by name.
        total: Worth of all members above the floor; the Shapley values add up to it.
        permutations: How many were sampled; 0 where nothing is.
    """

    method: Method
    each: tuple[Contribution, ...]
    total: float
    permutations: int


def game_of_updates(
    weights: NDArray[np.float32],
    updates: Sequence[Update],
    evaluate: Callable[[NDArray[np.float32]], float],
    minimum: int,
) -> Game:
    """The game in which a subset is worth what the model that its updates make is worth.

    For whoever may see the updates, or stands where nobody sees them.

    Args:
        weights: Weights without the updates; their worth is the floor.
        updates: One per member.
        evaluate: Worth of weights, e.g. area under the ROC curve.
        minimum: Fewest members of a subset; at least 2, because a mean of one is that one's.

    Returns:
        The game.
    """
    by_member = {update.member: update for update in updates}

    def worth(subset: Subset) -> float:
        return evaluate(aggregate(weights, [by_member[member] for member in sorted(subset)], minimum))

    return Game(tuple(sorted(by_member)), worth, max(minimum, 2), evaluate(weights))


def leave_one_out(game: Game) -> Contributions:
    """The worth that is lost without each member.

    Members that have the same to say look worthless here, each beside the other.

    Args:
        game: The game.

    Returns:
        The contributions; they do not add up to the total.

    Raises:
        ConfigurationError: ``config.invalid`` if all but one are fewer than the minimum.
    """
    everybody = frozenset(game.members)
    if len(everybody) - 1 < game.minimum:
        raise ConfigurationError("config.invalid", "without one member the rest are fewer than the minimum")
    values = {member: game.of(everybody) - game.of(everybody - {member}) for member in game.members}
    return _contributions("leave-one-out", game, values, dict.fromkeys(values, 0.0), 0)


def exact_shapley(game: Game) -> Contributions:
    """Shapley values by evaluating every subset.

    Args:
        game: The game, of at most :data:`MAX_EXACT_MEMBERS` members.

    Returns:
        The contributions, without error.

    Raises:
        ConfigurationError: ``config.invalid`` with more members.
    """
    n = len(game.members)
    if n > MAX_EXACT_MEMBERS:
        raise ConfigurationError("config.invalid", f"exact values are for {MAX_EXACT_MEMBERS} members")
    values = dict.fromkeys(game.members, 0.0)
    for member in game.members:
        others = [other for other in game.members if other != member]
        for size in range(n):
            for chosen in combinations(others, size):
                gain = game.of(frozenset((*chosen, member))) - game.of(frozenset(chosen))
                values[member] += gain / (n * comb(n - 1, size))
    return _contributions("shapley-exact", game, values, dict.fromkeys(values, 0.0), 0)


def sampled_shapley(
    game: Game, rng: np.random.Generator, permutations: int, tolerance: float = 0.0
) -> Contributions:
    """Shapley values from random orders (Ghorbani and Zou, "Data Shapley", ICML 2019, algorithm 1).

    An order is cut short where the worth is within the tolerance of that of all members; what is missing is
    split equally among those who had not arrived, so that the values still add up. That moves a value by at
    most the tolerance.

    Args:
        game: The game.
        rng: Draws the orders.
        permutations: How many; the standard error falls with their square root.
        tolerance: In the unit of the worth; 0 cuts nothing.

    Returns:
        The contributions with their standard errors.

    Raises:
        ConfigurationError: ``config.invalid`` with fewer than :data:`MINIMUM_PERMUTATIONS`.
    """
    if permutations < MINIMUM_PERMUTATIONS:
        raise ConfigurationError("config.invalid", f"{MINIMUM_PERMUTATIONS} permutations are the fewest")
    n = len(game.members)
    gains = np.zeros((permutations, n))
    for number in range(permutations):
        order = rng.permutation(n)
        gains[number, order] = _arrivals(game, [game.members[i] for i in order], tolerance)
    errors = gains.std(axis=0, ddof=1) / np.sqrt(permutations)
    return _contributions(
        "shapley-sampled",
        game,
        dict(zip(game.members, gains.mean(axis=0), strict=True)),
        dict(zip(game.members, errors, strict=True)),
        permutations,
    )


def _arrivals(game: Game, order: Sequence[str], tolerance: float) -> NDArray[np.float64]:
    """What each adds on arrival."""
    gains = np.zeros(len(order))
    final = game.of(frozenset(order))
    before = game.floor
    for place in range(len(order)):
        if tolerance > 0 and place >= game.minimum and abs(final - before) <= tolerance:
            gains[place:] = (final - before) / (len(order) - place)
            break
        worth = game.of(frozenset(order[: place + 1]))
        gains[place] = worth - before
        before = worth
    return gains


def _contributions(
    method: Method,
    game: Game,
    values: Mapping[str, float],
    errors: Mapping[str, float],
    permutations: int,
) -> Contributions:
    each = (Contribution(member, float(values[member]), float(errors[member])) for member in sorted(values))
    return Contributions(method, tuple(each), game.total, permutations)


def exposed_group(
    subsets: Collection[Subset], members: Sequence[str], minimum: int
) -> tuple[str, ...] | None:
    """Finds members about whom sums of the same updates over these subsets say more than they may.

    Some combination of the sums depends on the updates of a group alone exactly if the row space of the
    subsets' 0/1 matrix holds a vector that is zero outside the group.

    Args:
        subsets: The subsets that are summed over.
        members: Everybody.
        minimum: Fewest members that a sum may be about.

    Returns:
        A smallest such group of fewer than the minimum, or None.
    """
    matrix = np.array([[member in subset for member in members] for subset in subsets], dtype=np.float64)
    if not len(matrix):
        return None
    rank = np.linalg.matrix_rank(matrix)
    for size in range(1, minimum):
        for group in combinations(range(len(members)), size):
            rest = np.delete(matrix, group, axis=1)
            if rest.shape[1] == 0 or np.linalg.matrix_rank(rest) < rank:
                return tuple(members[i] for i in group)
    return None
