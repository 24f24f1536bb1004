"""A rule pack: which rules a legal regime or a site selects, with which articles and which thresholds."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from hanse.policies.agreement.parties import LegalBasis, PackReference
from hanse.policies.consent import Method
from hanse.policies.documents import to_yaml
from hanse.policies.fields import (
    Count,
    Document,
    Many,
    Name,
    Positive,
    Text,
    check_form,
    require_unique,
)
from hanse.policies.texts import WrittenDocument

HEADER: Final = "hanse rule pack v1\n"
MAX_ARTICLES: Final = 20
MAX_LIMITS: Final = 30

RuleId = Annotated[str, check_form(r"P(0[1-9]|[12][0-9]|3[0-2])", "write a rule from P01 to P32")]
_Use = Annotated[
    str,
    check_form(r"[a-z][a-z_.-]{0,62}", "write a use in lower-case letters, as pricing or scoring.marketing"),
]


def cite(regime: str, article: str) -> str:
    """An article with the name of its law, as ``PIPL 13``; one that starts with a letter names it already."""
    return f"{regime.upper()} {article}" if article[0].isdigit() else article


class Bilingual(Document):
    """A text in English and in Chinese."""

    en: Text
    zh: Text


class PackRule(Document):
    """A rule that the pack selects.

    Attributes:
        id: ``P01`` … ``P32``.
        articles: What it comes from: a number for the pack's own law, else with the name of the law.
    """

    id: RuleId
    articles: Annotated[Many[Text], Field(max_length=MAX_ARTICLES)] = ()


class Thresholds(Document):
    """What the pack sets; what is left out is not restricted by it. Days, hours and seconds are whole.

    Attributes:
        child_below_years: Age below which a guardian must act.
        minimum_cohort_subjects: Smallest cohort that an agreement may ask for.
        suppress_below: Smallest count that may leave a member.
        minimum_members: Smallest number of members in an aggregate.
        maximum_epsilon: Largest epsilon of a privacy budget.
        maximum_assessment_age_days: Oldest impact assessment.
        maximum_snapshot_age_s: Oldest copy of the consent ledger.
        maximum_propagation_age_hours: Longest silence of a source of consent.
        maximum_grant_age_days: Oldest grant.
        acknowledgement_hours: Longest time to acknowledge a withdrawal.
        retraining_days: Longest time to train a model anew after a withdrawal.
        retraining_withdrawn_share: Share of withdrawals from which on that is due at once.
        alignments_per_day: Alignments of two members in 24 hours.
        alignment_window_days: Days for which similar sets are not aligned again.
        minimum_set_change: People by which sets must differ within that time.
        scores_per_caller_per_day: People that a caller may ask about in 24 hours.
        score_decimals: Most decimals of a score.
        unused_column_runs: Trainings without contribution after which a column is to be dropped.
        access_log_days: Shortest time for which access logs are kept.
        records_days: Shortest time for which records and assessments are kept.
        maximum_model_days: Longest time for which a model is kept.
        active_methods: Methods that show that a person acted.
        legal_bases: Legal bases that count.
        prohibited_uses: Uses of scores that are never allowed.
    """

    child_below_years: Annotated[int, Field(ge=1, le=30)] | None = None
    minimum_cohort_subjects: Count | None = None
    suppress_below: Count | None = None
    minimum_members: Annotated[int, Field(ge=2, le=100)] | None = None
    maximum_epsilon: Positive | None = None
    maximum_assessment_age_days: Count | None = None
    maximum_snapshot_age_s: Count | None = None
    maximum_propagation_age_hours: Count | None = None
    maximum_grant_age_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    acknowledgement_hours: Count | None = None
    retraining_days: Count | None = None
    retraining_withdrawn_share: Annotated[float, Field(ge=0, le=1)] | None = None
    alignments_per_day: Count | None = None
    alignment_window_days: Count | None = None
    minimum_set_change: Count | None = None
    scores_per_caller_per_day: Count | None = None
    score_decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    unused_column_runs: Count | None = None
    access_log_days: Count | None = None
    records_days: Count | None = None
    maximum_model_days: Count | None = None
    active_methods: Annotated[Many[Method], Field(min_length=1, max_length=10)] | None = None
    legal_bases: Annotated[Many[LegalBasis], Field(min_length=1, max_length=10)] | None = None
    prohibited_uses: Annotated[Many[_Use], Field(min_length=1, max_length=100)] | None = None

    def given(self) -> dict[str, object]:
        """Those that the pack sets."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class RulePack(WrittenDocument):
    """One rule pack, in version 1 of its form.

    Attributes:
        schema_version: Version of the form.
        id: Short name, as agreements refer to it.
        version: Version of this pack, from 1.
        title: What it is, in one line.
        regime: Law that it follows, as ``pipl``; or ``custom``.
        rules: Rules that it selects, beside those that always apply.
        thresholds: What it sets.
        ours: Names of thresholds that are a default of who wrote the pack, and not of the law.
        limits: What the pack does not cover.
    """

    header = HEADER
    called = "a rule pack"

    schema_version: Literal[1]
    id: Name
    version: Count
    title: Bilingual
    regime: Name
    rules: Annotated[Many[PackRule], Field(max_length=32)]
    thresholds: Thresholds
    ours: Many[Text]
    limits: Annotated[Many[Bilingual], Field(max_length=MAX_LIMITS)]

    @field_validator("rules")
    @classmethod
    def _rules_differ(cls, rules: tuple[PackRule, ...]) -> tuple[PackRule, ...]:
        require_unique("the rules", (rule.id for rule in rules))
        return rules

    @model_validator(mode="after")
    def _ours_are_set(self) -> Self:
        require_unique("the names in ours", self.ours)
        if not set(self.ours) <= set(self.thresholds.given()):
            raise PydanticCustomError("ours", "name in ours only thresholds that the pack sets")
        return self

    @override
    def to_yaml(self) -> str:
        """Writes the pack as YAML that :meth:`from_yaml` reads as an equal one."""
        document = self.model_dump(mode="json")
        given = self.thresholds.given()
        document["thresholds"] = {
            name: value for name, value in document["thresholds"].items() if name in given
        }
        return to_yaml(document)

    @property
    def source(self) -> str:
        """Identifier and version, as ``pipl/1``: what restrictions name as where they come from."""
        return f"{self.id}/{self.version}"

    @property
    def reference(self) -> PackReference:
        """What an agreement says of the pack."""
        return PackReference(id=self.id, version=self.version, digest=self.digest)

    def articles(self, rule_id: str) -> tuple[str, ...]:
        """Articles of a rule; none if the pack does not select it."""
        return next((rule.articles for rule in self.rules if rule.id == rule_id), ())
