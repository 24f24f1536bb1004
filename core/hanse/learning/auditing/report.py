"""What an audit found, for the card of a model."""

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from hanse.learning.auditing.attacks import Attack
from hanse.policies.fields import Count, Document, Many, Positive, Text

Probability = Annotated[float, Field(ge=0, le=1)]
_Epsilon = Annotated[float, Field(ge=0)]

AUDIT_MEANING: Final = (
    "The bounds say how much the procedure leaks at least. A bound above the claimed epsilon refutes the "
    "claim; a bound below it proves nothing. The one-run bound is a theorem; the fitted bound is a test "
    "statistic that takes the procedure for a Gaussian mechanism."
)
MEMBERSHIP_MEANING: Final = (
    "How often two known attacks recognise rows that a model was trained on, among rows of the same source. "
    "A low figure says that these attacks fail on these rows; it does not say that no attack succeeds, or "
    "that every person is as safe as the average."
)


class AttackBound(Document):
    """What one attack on the canaries shows.

    Attributes:
        attack: Which (:mod:`hanse.learning.auditing.attacks`).
        area: Area under the attacker's ROC curve; .5 for one who knows nothing.
        one_run_bound: Lower bound on epsilon by theorem.
        fitted_bound: Lower bound on epsilon if the procedure is Gaussian: a test statistic.
        fitted_epsilon: The estimate that the fitted bound is below, for reading; no verdict is based on it.
    """

    attack: Attack
    area: Probability
    one_run_bound: _Epsilon
    fitted_bound: _Epsilon
    fitted_epsilon: _Epsilon


class PrivacyAudit(Document):
    """Whether a training procedure leaks more than it claims, measured with canaries.

    Attributes:
        schema_version: Version of this form.
        method: How it was measured.
        unit: What the epsilon is about.
        adjacency: What the canaries differ by.
        claimed_epsilon: What the accountant says of the audited run.
        delta: Of all epsilons here.
        one_run_confidence: Probability that no bound by theorem is above the truth, all attacks together.
        fitted_confidence: The same of the fitted bounds, if the procedure is Gaussian.
        canaries: How many there were.
        included: How many of them the procedure was given.
        releases: How many states of the weights the attacker saw.
        attacks: One bound each.
        verdict: ``refuted`` if a bound is above the claim; what it means is :data:`AUDIT_MEANING`.
    """

    schema_version: Literal[1] = 1
    method: Literal["one-run-dirac-canaries"] = "one-run-dirac-canaries"
    unit: Literal["record"] = "record"
    adjacency: Literal["add-or-remove-one"] = "add-or-remove-one"
    claimed_epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    one_run_confidence: Annotated[float, Field(ge=0.5, lt=1)]
    fitted_confidence: Annotated[float, Field(ge=0.5, lt=1)]
    canaries: Count
    included: Count
    releases: Count
    attacks: Annotated[Many[AttackBound], Field(min_length=1, max_length=8)]
    verdict: Literal["consistent", "refuted"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.verdict == "refuted") != (max(self.one_run_bound, self.fitted_bound) > self.claimed_epsilon):
            raise ValueError("the verdict does not follow from the bounds")
        if self.included >= self.canaries:
            raise ValueError("some canaries are left out")
        return self

    @property
    def one_run_bound(self) -> float:
        """The largest bound by theorem."""
        return max(attack.one_run_bound for attack in self.attacks)

    @property
    def fitted_bound(self) -> float:
        """The largest bound by fit."""
        return max(attack.fitted_bound for attack in self.attacks)


class AttackSuccess(Document):
    """How well one attack tells rows that a model was trained on from rows that it was not.

    Attributes:
        area: Area under the attacker's ROC curve, mean over the attacked models; .5 is guessing.
        true_positive_rate: Share of the training rows that it recognises at the stated false positive
            rate, mean over the attacked models; guessing gives that rate itself.
        standard_error: Of the true positive rate, from how much the attacked models differ. They share rows
            and shadows, so it is a little too small.
    """

    area: Probability
    true_positive_rate: Probability
    standard_error: Annotated[float, Field(ge=0)]


class OwnMembership(Document):
    """How well the loss tells one member's training rows from its held-out rows, for one model.

    Of the member's own rows, at the member. Held-out rows are chosen by a keyed hash, so that nothing but the
    training tells them apart.

    Attributes:
        schema_version: Version of this form.
        run: The run that made the model.
        training_rows: Rows that the model was trained on.
        held_out_rows: Rows that it was not.
        area: Area under the attacker's ROC curve; .5 is guessing.
        low: Lower end of its 95 % interval, of drawing the rows.
        high: Upper end.
        true_positive_rate: Share of the training rows that are recognised where one in a hundred held-out
            rows is taken for one; None with fewer than a hundred.
    """

    schema_version: Literal[1] = 1
    run: Text
    training_rows: Count
    held_out_rows: Count
    area: Probability
    low: Probability
    high: Probability
    true_positive_rate: Probability | None


class MembershipInference(Document):
    """What two known attacks learn about who was in the training rows; see :data:`MEMBERSHIP_MEANING`.

    Attributes:
        schema_version: Version of this form.
        false_positive_rate: At which true positives are counted.
        rows: Rows that were drawn from; every model is trained on about half of them.
        models: Models that were trained. Each is attacked in turn with the others as shadows.
        likelihood_ratio: The attack of Carlini et al. ("Membership Inference Attacks From First Principles",
            IEEE S&P 2022) with one variance for all rows, as they advise for few shadows.
        loss: A row is taken for a training row if its loss is small (Yeom et al., CSF 2018).
        claimed_epsilon: What the accountant says of one training; None without privacy.
        delta: Delta of the claim; 0 without.
    """

    schema_version: Literal[1] = 1
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)]
    rows: Count
    models: Count
    likelihood_ratio: AttackSuccess
    loss: AttackSuccess
    claimed_epsilon: Positive | None
    delta: Annotated[float, Field(ge=0, lt=1)]

    @property
    def largest_allowed_rate(self) -> float:
        """What no true positive rate exceeds if the claim holds: e^epsilon times the false, plus delta."""
        if self.claimed_epsilon is None:
            return 1.0
        # Above 50 the product is over 1 anyway, and far above it the exponential has no double.
        return min(1.0, math.exp(min(self.claimed_epsilon, 50.0)) * self.false_positive_rate + self.delta)
