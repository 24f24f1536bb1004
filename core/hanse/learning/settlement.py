"""From what members add to a model to what they are paid: shares, and an amount in whole cents.

A member whose contribution is negative is not paid and does not pay: it counts as 0. Shares are the
contributions divided by their sum. The amount is divided by largest remainders (Hamilton's method), equal
remainders by name, in exact arithmetic: everybody who divides the same statement gets the same cents.

What the shares cannot say: Shapley values show members whose labels are wrong or made up, because their
updates pull the wrong way or nowhere. They do not show rows that were copied from another member: the copy
is worth as much as the original, and both are paid. Finding that takes an intersection of the members' rows.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from hanse.errors import ConfigurationError
from hanse.learning.games import Contributions, Game
from hanse.learning.update_shares import MEASURE, RunContributions
from hanse.policies.fields import Document, Many, Name, Text, check_form, require_unique

LIMITS: Final = (
    "A share says what a member's updates added on the validation set, not what its rows cost or are worth "
    "elsewhere. Wrong and made-up labels lower it; rows copied from another member do not. A negative "
    "contribution counts as 0. The standard error is that of sampling permutations alone."
)
"""To be read with every statement."""

_Cents = Annotated[int, Field(ge=0, le=10**15)]
_Worth = Annotated[float, Field(ge=-1e12, le=1e12)]
_CLOSE: Final = 1e-9


class SettlementEntry(Document):
    """What one member gets.

    Attributes:
        member: Its name.
        contribution: What it adds, in the unit of the settlement's worth; may be negative.
        standard_error: Of the contribution, from sampling.
        share: Of the amount, 0 to 1.
        cents: Of the amount.
    """

    member: Name
    contribution: _Worth
    standard_error: Annotated[float, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=1)]
    cents: _Cents


class Settlement(Document):
    """A statement that members can be paid by.

    Attributes:
        schema_version: Version of this form.
        model: The model version that is settled.
        worth: What the worth of a subset is, e.g. area under the ROC curve on the validation set.
        method: How contributions were found (:mod:`hanse.learning.games`).
        minimum_members: Subsets of fewer were not evaluated and count as worth the floor.
        floor: Worth of the model without training.
        total: Worth of the model of all members above the floor.
        evaluations: Subsets that were evaluated; models, where no subset is.
        permutations: Orders that were sampled; 0 where nothing is.
        currency: ISO 4217.
        amount_cents: What is divided.
        entries: One per member, by name; the shares add up to 1 and the cents to the amount.
    """

    schema_version: Literal[1] = 1
    model: Text
    worth: Text
    method: Literal["leave-one-out", "shapley-exact", "shapley-sampled", "shapley-of-updates"]
    minimum_members: Annotated[int, Field(ge=1, le=1_000_000)]
    floor: _Worth
    total: _Worth
    evaluations: Annotated[int, Field(ge=1)]
    permutations: Annotated[int, Field(ge=0)]
    currency: Annotated[str, check_form(r"[A-Z]{3}", "write the three-letter code of ISO 4217, as EUR")]
    amount_cents: _Cents
    entries: Annotated[Many[SettlementEntry], Field(min_length=2, max_length=10_000)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """Divides again: a statement whose arithmetic is not this module's is none."""
        members = [entry.member for entry in self.entries]
        require_unique("members", members)
        if members != sorted(members):
            raise ValueError("members are in the order of their names")
        if all(entry.contribution <= 0 for entry in self.entries):
            raise ValueError("no member adds anything")
        shares = _shares([entry.contribution for entry in self.entries])
        if any(abs(entry.share - share) > _CLOSE for entry, share in zip(self.entries, shares, strict=True)):
            raise ValueError("the shares do not follow from the contributions")
        cents = divide(self.amount_cents, [entry.share for entry in self.entries])
        if [entry.cents for entry in self.entries] != cents:
            raise ValueError("the cents do not follow from the shares")
        return self


def settle(
    game: Game, contributions: Contributions, *, model: str, worth: str, currency: str, amount_cents: int
) -> Settlement:
    """Divides an amount by what members added.

    Args:
        game: What was played.
        contributions: What came out.
        model: The model version, for people.
        worth: What the worth is, for people, with its unit.
        currency: ISO 4217.
        amount_cents: What is divided, in hundredths of the currency.

    Returns:
        The statement.

    Raises:
        ConfigurationError: ``config.invalid`` if nobody adds anything: then there is nothing to divide by.
    """
    return Settlement(
        model=model,
        worth=worth,
        method=contributions.method,
        minimum_members=game.minimum,
        floor=game.floor,
        total=contributions.total,
        evaluations=game.evaluations,
        permutations=contributions.permutations,
        currency=currency,
        amount_cents=amount_cents,
        entries=_entries(
            [(one.member, one.value, one.standard_error) for one in contributions.each], amount_cents
        ),
    )


def settle_run(
    run: RunContributions, *, model: str, minimum_members: int, currency: str, amount_cents: int
) -> Settlement:
    """Divides an amount by what members added to a run.

    Args:
        run: From the model's signed manifest.
        model: The model version.
        minimum_members: Fewest members in an aggregate, by agreement.
        currency: ISO 4217.
        amount_cents: What is divided, in hundredths of the currency.

    Returns:
        The statement. The same for everybody who divides by the same manifest.

    Raises:
        ConfigurationError: As :func:`settle`.
    """
    return Settlement(
        model=model,
        worth=MEASURE,
        method=run.method,
        minimum_members=minimum_members,
        floor=-run.first_loss,
        total=run.first_loss - run.last_loss,
        evaluations=run.rounds + 1,
        permutations=0,
        currency=currency,
        amount_cents=amount_cents,
        entries=_entries([(one.member, one.contribution, 0.0) for one in run.each], amount_cents),
    )


def _entries(
    contributions: Sequence[tuple[str, float, float]], amount_cents: int
) -> tuple[SettlementEntry, ...]:
    """One per member, of its contribution and standard error."""
    shares = _shares([value for _, value, _ in contributions])
    cents = divide(amount_cents, shares)
    return tuple(
        SettlementEntry(member=member, contribution=value, standard_error=error, share=share, cents=own)
        for (member, value, error), share, own in zip(contributions, shares, cents, strict=True)
    )


def divide(amount_cents: int, shares: Sequence[float]) -> list[int]:
    """Whole cents by largest remainders; among equal remainders the first one gets the cent.

    Args:
        amount_cents: What is divided, at least 0.
        shares: At least 0, one above 0; they need not add up to 1 to the last digit.

    Returns:
        As many amounts, which add up to the whole.
    """
    exact = [Fraction(share) for share in shares]
    whole = sum(exact)
    due = [amount_cents * share / whole for share in exact]
    cents = [int(part) for part in due]
    by_remainder = sorted(range(len(due)), key=lambda place: (cents[place] - due[place], place))
    for place in by_remainder[: amount_cents - sum(cents)]:
        cents[place] += 1
    return cents


def _shares(contributions: Sequence[float]) -> list[float]:
    """Contributions above 0, divided by their sum."""
    paid = [max(0.0, contribution) for contribution in contributions]
    whole = sum(paid)
    if whole <= 0:
        raise ConfigurationError("config.invalid", "no member adds anything; there is nothing to divide by")
    return [share / whole for share in paid]
