"""A vertical agreement: members that know different things about the same people learn from them together.

One member, the *label holder*, has what is predicted; the others, *feature holders*, have other columns of
the same people. Who is common is found by private intersection of identifiers; what is learned stays in
parts, at each member the part that is about its own columns.

What an agreement says here is checked against the rest of it by :func:`check_vertical`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanse.policies.agreement.alignment import AlignmentRules
from hanse.policies.fields import ColumnName, Count, Document, Many, Name, require_unique
from hanse.policies.rules import Wording

if TYPE_CHECKING:
    from hanse.policies.agreement.document import Agreement

ASSUMPTION: Final = Wording(
    "The coordinator deals the randomness that hides what members compute on, and colludes with no member. "
    "If it told what it dealt to one of them, that member could read the others' columns or labels of the "
    "common people.",
    "协调方分发用于隐藏各成员计算内容的随机数，且不与任何成员串通。若其将所分发的随机数泄露给某一成员，"
    "该成员即可读取其他成员关于共同个人的字段或标签。",
)
"""What the signers of a vertical agreement with a dealer rely on, and nothing in the software can show."""

ENCRYPTED: Final = Wording(
    "Nobody deals randomness: the label holder encrypts what members add up, under a key of its own. Labels "
    "are as safe as the encryption (Okamoto-Uchiyama, a library that is a beta release); the others' columns "
    "rely on a label holder that makes its key as it must and follows the protocol.",
    "无需分发方：标签持有方以其自有密钥加密各成员求和的内容。标签的安全取决于该加密方案"
    "（Okamoto-Uchiyama，所用软件库为测试版）；他方字段的安全依赖于标签持有方如实生成密钥并遵守协议。",
)
"""What the signers rely on where sums are encrypted."""

MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 4096
"""Of the modulus; fewer than the least are not safe today, more than the most take too long."""

MODELS: Final = ("trees",)
"""Kinds of models that members train on each other's columns."""

MAXIMUM_LEAKAGE: Final = 0.60
"""Largest area of an attack on labels with which a model is released, unless another is agreed."""

_MOST_MEMBERS: Final = 8


class Holding(Document):
    """The columns that one member has of the common people.

    Attributes:
        member: Its name.
        columns: Names of columns of the agreement; each belongs to one member.
    """

    member: Name
    columns: Annotated[Many[ColumnName], Field(min_length=1, max_length=5000)]


class Trust(Document):
    """What the members rely on beside themselves.

    Attributes:
        mode: ``dealer``: the products that members compute on hidden values use randomness from a dealer.
            ``homomorphic``: there is no dealer, members add up what the label holder has encrypted.
        dealer: Who deals it; left out without a dealer.
        coordinator_colludes_with_no_member: Must be written as true by whoever relies on it, and left out
            without a dealer; see :data:`ASSUMPTION`.
        key_bits: Length of the label holder's key, from :data:`MIN_KEY_BITS` to :data:`MAX_KEY_BITS`; left
            out with a dealer.
    """

    mode: Literal["dealer", "homomorphic"]
    dealer: Literal["coordinator"] | None = Field(default=None, exclude_if=lambda given: given is None)
    coordinator_colludes_with_no_member: Literal[True] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )
    key_bits: Annotated[int, Field(ge=MIN_KEY_BITS, le=MAX_KEY_BITS)] | None = Field(
        default=None, exclude_if=lambda given: given is None
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        dealt = self.dealer is not None and self.coordinator_colludes_with_no_member is True
        nothing_dealt = self.dealer is None and self.coordinator_colludes_with_no_member is None
        if self.mode == "dealer" and not (dealt and self.key_bits is None):
            raise PydanticCustomError(
                "trust",
                "with mode 'dealer' write dealer and coordinator_colludes_with_no_member, and no key_bits",
            )
        if self.mode == "homomorphic" and not (nothing_dealt and self.key_bits is not None):
            raise PydanticCustomError(
                "trust", "with mode 'homomorphic' write key_bits, and nothing about a dealer"
            )
        return self

    @property
    def assumption(self) -> Wording:
        """What whoever signs relies on."""
        return ASSUMPTION if self.mode == "dealer" else ENCRYPTED


class Answers(Document):
    """What feature holders answer when a label holder scores people; without it they answer nothing.

    Attributes:
        form: ``sides``: of a person on which side of each of its cuts of the model it is. The label holder
            learns that in the evaluation of a run too, of the people in common.
        daily_people: Most people that each feature holder is asked about in a day (UTC).
        keep_s: Longest time for which the label holder keeps an answer in memory, seconds; 0 for never.
        fallback: What a label holder answers while a feature holder does not: ``none``, an error that says
            so; ``own_columns``, what its own columns alone say, marked as such.
    """

    form: Literal["sides"]
    daily_people: Count
    keep_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    fallback: Literal["none", "own_columns"] = "none"


class Vertical(Document):
    """Who has what of the common people, and how they are found.

    Attributes:
        label_holder: The member that has the label; it learns the top of the model and the scores.
        holdings: The columns of each member.
        alignment: What people are known by, and how the members find whom they have in common.
        minimum_bin_rows: Fewest common people of a bin of a feature holder's column; smaller ones are merged.
        trust: What the members rely on.
        maximum_leakage: Largest area under the ROC curve of any attack on labels, run on what a feature
            holder was sent, with which a model is released; .5 is guessing. Left out of the text while it is
            the default, so that older agreements keep their digests.
        answers: What feature holders answer when people are scored; null, and left out of the text so that
            older agreements keep their digests, when they answer nothing.
    """

    label_holder: Name
    holdings: Annotated[Many[Holding], Field(min_length=2, max_length=_MOST_MEMBERS)]
    alignment: AlignmentRules
    minimum_bin_rows: Count
    trust: Trust
    maximum_leakage: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        default=MAXIMUM_LEAKAGE, exclude_if=lambda given: given == MAXIMUM_LEAKAGE
    )
    answers: Answers | None = Field(default=None, exclude_if=lambda given: given is None)

    def columns_of(self, member: str) -> Sequence[str]:
        """Names of a member's columns; none for who is no member."""
        return next((holding.columns for holding in self.holdings if holding.member == member), ())

    @property
    def feature_holders(self) -> tuple[str, ...]:
        """Everybody but the label holder, in the order of the holdings."""
        return tuple(one.member for one in self.holdings if one.member != self.label_holder)


def learned_by(vertical: Vertical, member: str) -> tuple[Wording, ...]:
    """What a party learns in a run beside what it had; all else is hidden under :attr:`Trust.assumption`.

    Args:
        vertical: Of the agreement.
        member: A member, or anybody else for the coordinator.
    """
    bins, answers = vertical.minimum_bin_rows, vertical.answers is not None
    if member == vertical.label_holder:
        return (
            _COMMON,
            Wording(
                f"of each column of the others: its number of bins, and for bins of at least {bins} common "
                "people the sums of its own gradients",
                f"他方每一字段的区间数，以及不少于{bins}名共同个人的区间内其自身梯度之和",
            ),
            Wording(
                "on which side of each cut of the trees every common person is; not what is cut, or where",
                "每名共同个人位于各分裂点的哪一侧；不含字段名称与取值",
            ),
            Wording("the trees, and the scores of common people", "树模型以及共同个人的评分"),
            *((_SCORED_SIDES,) if answers else ()),
        )
    if member in vertical.feature_holders:
        return (
            _COMMON,
            Wording(
                "which of its own columns the trees cut, where, and how often",
                "树模型在其哪些字段、何处及多少次分裂",
            ),
            Wording("no label, no gradient, no score", "不获得任何标签、梯度或评分"),
            *((_SCORED_WHO,) if answers else ()),
        )
    return (
        Wording("how many people are common, not who", "共同个人的数量，而非其身份"),
        Wording(
            "how many bins each feature holder has, how much is said between whom and when, and the label "
            "holder's figures and leakage reports",
            "各特征持有方的区间总数、各方之间通信的数量与时间，以及标签持有方报告的指标与泄露报告",
        ),
    )


_SCORED_SIDES: Final = Wording(
    "when it scores a common person, on which side of each cut that person is now, or that the other member "
    "refuses",
    "对某一共同个人评分时，该个人当前位于各分裂点的哪一侧，或他方拒绝作答",
)
_SCORED_WHO: Final = Wording(
    "which common person is scored, when, and for which calling system",
    "哪一名共同个人在何时为哪一调用系统被评分",
)
_COMMON: Final = Wording(
    "who of its own people are common to all members, and the size of the others' sets, filled up",
    "其自身个人中哪些为全体成员所共有，以及他方集合填充后的规模",
)


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
    if training.model not in MODELS:
        raise PydanticCustomError("model", "choose the model 'trees' for a vertical agreement")
    if training.rounds != 1:
        raise PydanticCustomError(
            "rounds", "write 1 as training.rounds, and the trees as training.local_steps: one phase grows all"
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
            "trees have one label and all common people",
        )
    if agreement.contributions:
        raise PydanticCustomError("contributions", "leave them out of a vertical agreement")
