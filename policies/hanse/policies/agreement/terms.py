"""How private a run is, how many there must be, what scores are for, and for how long things are kept."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.fields import (
    Classification,
    ColumnName,
    Count,
    Country,
    Document,
    Many,
    Name,
    Positive,
    PurposeKey,
    Sha256Hex,
    Text,
    UtcTime,
    require_unique,
)


class Privacy(Document):
    """The (epsilon, delta) that every member's records have over all runs of the agreement."""

    unit: Literal["record"]
    adjacency: Literal["add-or-remove-one"]
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]


class Robustness(Document):
    """How updates that would spoil the model are kept out of it, where each member's update is seen.

    Attributes:
        rule: ``screened-mean`` judges each update and leaves out what is wrong; ``mean`` takes every update
            within the agreed norm; ``median``, ``trimmed-mean`` and ``multi-krum`` combine updates so that a
            few do not matter, and name nobody for their direction or length.
        faulty: How many members ``trimmed-mean`` and ``multi-krum`` stand; 0 for the others.
    """

    rule: Literal["screened-mean", "mean", "median", "trimmed-mean", "multi-krum"] = "screened-mean"
    faulty: Annotated[int, Field(ge=0, le=100)] = 0

    @model_validator(mode="after")
    def _faulty_fits_rule(self) -> Self:
        if (self.faulty > 0) != (self.rule in ("trimmed-mean", "multi-krum")):
            raise PydanticCustomError("faulty", "give faulty to trimmed-mean and multi-krum, and to no other")
        return self

    @property
    def fewest(self) -> int:
        """Members that the rule needs at least."""
        return {"trimmed-mean": 2 * self.faulty + 1, "multi-krum": 2 * self.faulty + 3}.get(self.rule, 1)


class Aggregation(Document):
    """How the members' figures come together.

    Attributes:
        mode: ``secure``: from three members on, the coordinator learns sums over them and nothing of one;
            with a privacy budget the members share the noise of each sum. Two members have no sum that would
            hide either, and send figures of their own. ``individual``: every member sends figures of its own,
            with all the noise that a budget asks for, so that the coordinator can compare updates.
    """

    mode: Literal["secure", "individual"] = "secure"


class Cohort(Document):
    """How many there must be.

    Attributes:
        minimum_rows: Subjects that a member must admit to take part.
        minimum_members: Members in every aggregate.
        suppress_below: Counts below this leave a member only as "fewer than".
    """

    minimum_rows: Count
    minimum_members: Annotated[int, Field(ge=2)]
    suppress_below: Count


class Caller(Document):
    """A system that may ask for scores.

    Attributes:
        name: Its name, as its certificate is registered at the scorer.
        daily_quota: Subjects that it may ask about in a day.
        opt_out_available: Whether whom it contacts can say no to it (PIPL 24, GDPR 21(2)).
        non_personalised_path: Whether it serves people without a score as well.
    """

    name: Name
    daily_quota: Count
    opt_out_available: bool
    non_personalised_path: bool


Output: TypeAlias = Literal["score", "band", "decile", "segment", "flag", "list"]
"""The forms in which scores may leave; see :class:`Scoring`."""

MOST_BANDS: Final = 20

_Share = Annotated[float, Field(gt=0, lt=1)]
_SegmentNames = Annotated[Many[Text], Field(min_length=4, max_length=4)]


class Segments(Document):
    """People divided by how likely they are and by what they are worth, as RFM tables are.

    Attributes:
        value: A numeric column, or an amount that the model predicts.
        value_from: From which value on somebody counts as of high value.
        score_from: From which score on somebody counts as likely.
        names: Of those who are likely and of high value; likely, of low value; unlikely, of high value;
            neither. A value that is not known counts as low.
    """

    value: ColumnName
    value_from: float
    score_from: _Share
    names: _SegmentNames = ("high-value", "to-develop", "at-risk", "other")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        require_unique("the names of segments", self.names)
        return self


class Scoring(Document):
    """Who may ask for scores, for what, in which form.

    Attributes:
        purpose: A purpose of the ``scoring`` branch.
        callers: Who may ask; nobody else.
        output: ``score``: the probability, rounded. ``band``: the number of the band that it is in, from 1.
            ``decile``: tenth of the held-out records of all members that it would be in, 10 for the highest.
            ``segment``: one of four, see :class:`Segments`. ``flag``: whether it reaches a threshold.
            ``list``: who of a call is among its highest; of everybody else, nothing.
        decimals: Decimals that a score is rounded to.
        prohibited_uses: Uses that are denied beside those that always are.
        significant_effect: Whether a decision based on a score affects people significantly.
        human_review: Whether a person can have such a decision reviewed by a person.
        reason_codes: Whether such a decision can be explained by reason codes.
        edges: Where bands begin, but the first; ten of equal width without any.
        threshold: Of ``flag``: the lowest score that is flagged.
        top: Of ``list``: how many of a call are on it.
        segments: Of ``segment``: how people are divided.
        by_id: Whether a caller names people alone, and the site looks up their columns: then it cannot choose
            what the model is asked.

    What an older agreement does not have is left out of the text while it has its default.
    """

    purpose: PurposeKey
    callers: Many[Caller]
    output: Output
    decimals: Annotated[int, Field(ge=0, le=6)]
    prohibited_uses: Many[Name]
    significant_effect: bool
    human_review: bool
    reason_codes: bool
    edges: Annotated[Many[_Share], Field(max_length=MOST_BANDS - 1)] = Field(
        default=(), exclude_if=lambda given: not given
    )
    threshold: _Share | None = Field(default=None, exclude_if=lambda given: given is None)
    top: Count | None = Field(default=None, exclude_if=lambda given: given is None)
    segments: Segments | None = Field(default=None, exclude_if=lambda given: given is None)
    by_id: bool = Field(default=False, exclude_if=lambda given: not given)

    @model_validator(mode="after")
    def _form_is_whole(self) -> Self:
        if self.edges and self.output != "band":
            raise PydanticCustomError("edges", "give edges to output band, and to no other")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise PydanticCustomError("edges", "write the edges in increasing order, each once")
        for output, given in (("flag", self.threshold), ("list", self.top), ("segment", self.segments)):
            if (given is not None) != (self.output == output):
                raise PydanticCustomError(
                    "output",
                    "give threshold to output flag, top to list, segments to segment, each to no other",
                )
        return self

    def caller(self, name: str) -> Caller | None:
        """The caller of a name; None if the agreement does not list it."""
        return next((caller for caller in self.callers if caller.name == name), None)


class Assessment(Document):
    """The impact assessment that was made before, and what it covers (PIPL 55 and 56, GDPR 35).

    Attributes:
        reference: Where it is filed.
        approver: The person who approved it.
        approved_at: When.
        expires_at: When it has to be made anew.
        purposes: Purposes that it covers.
        members: Members that it covers, by name.
        classifications: Classes of data that it covers.
        digest: SHA-256 of the approved document; null if it was made elsewhere.
        rehearsal: SHA-256 of the report of the rehearsal that is attached to it; null if there was none.
    """

    reference: Text
    approver: Text
    approved_at: UtcTime
    expires_at: UtcTime
    purposes: Many[PurposeKey]
    members: Many[Name]
    classifications: Many[Classification]
    digest: Sha256Hex | None
    rehearsal: Sha256Hex | None


class Border(Document):
    """What allows data to be processed in several jurisdictions.

    Attributes:
        mechanism: The mechanism of PIPL 38 or GDPR 46.
        reference: Where it is filed.
        other_places: Where else logs are mirrored and models are served.
    """

    mechanism: Literal["none", "security_assessment", "certification", "standard_contract"]
    reference: Text | None
    other_places: Many[Country]


class Retention(Document):
    """Days for which things are kept; after them they are deleted, and the deletion is logged.

    Attributes:
        rows_days: Consent-bound rows in the data source of the collaboration.
        intermediates_days: Whatever is made on the way: caches, checkpoints, updates.
        model_days: Models.
    """

    rows_days: Count
    intermediates_days: Count
    model_days: Count


class ConsentTerms(Document):
    """How fast a changed consent takes effect everywhere.

    Attributes:
        propagation_hours: Oldest contact with its sources that a member's consent ledger may have.
        running_round: Whether a round that runs when somebody withdraws is finished or aborted.
        acknowledge_hours: Hours in which every member acknowledges a withdrawal.
        retrain_days: Days in which a model that contains a withdrawn subject is trained anew.
    """

    propagation_hours: Count
    running_round: Literal["finish", "abort"]
    acknowledge_hours: Count
    retrain_days: Count
