"""What the draft of a vertical agreement needs to know: who has what, how people are found, which model."""

from collections.abc import Iterator
from typing import Final

from hanse.client.asking import Question, Site, ask, one_of, some_of
from hanse.client.replies import Answers, count, count_or_none, number, yes
from hanse.learning.vertical.recipe import STEPS
from hanse.policies.agreement import IdentifierRule
from hanse.policies.agreement.vertical import (
    LARGEST_EPSILON,
    MAXIMUM_LEAKAGE,
    MIN_KEY_BITS,
    SMALLEST_EPSILON,
)

_DIRECT: Final = ("late_fusion", "split_network")
"""Models of which members send each other what they need as it is."""

_DAY_S: Final = 86_400


def training_questions(site: Site, answers: Answers) -> Iterator[Question]:
    """All of them; later ones depend on earlier answers."""
    yield from _holdings(site)
    yield from _alignment()
    yield from _model(answers)
    yield from _trust(answers)
    yield from _limits()
    yield from _scored(answers)


def identifier_of(answer: str) -> IdentifierRule:
    """A kind of identifier: ``KIND:NORMALISATION``, and of a phone number the country code behind it.

    Raises:
        ValueError: It is none.
    """
    kind, _, rest = answer.strip().partition(":")
    normalisation, _, country = rest.partition(":")
    given = {"kind": kind, "normalisation": normalisation, "country_code": country or None}
    try:
        return IdentifierRule.model_validate(given)
    except ValueError as error:
        known = "email, email_untagged, phone, code or exact"
        raise ValueError(f"write KIND:NORMALISATION ({known}), as email:email or phone:phone:49") from error


def identifiers_of(answer: str) -> tuple[IdentifierRule, ...]:
    """Kinds of identifiers with commas between them, the best one first.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(identifier_of(part) for part in answer.replace("，", ",").split(","))


def area_of(answer: str) -> float:
    """An area under a ROC curve, from .5 to less than 1.

    Raises:
        ValueError: It is none.
    """
    try:
        area = float(answer)
    except ValueError:
        area = 0.0
    if not 0.5 <= area < 1:  # noqa: PLR2004 - guessing, and everything
        raise ValueError("write an area from 0.5 to less than 1")
    return area


def seconds_of(answer: str) -> int:
    """Seconds, a whole number from 0 to a day's.

    Raises:
        ValueError: It is none.
    """
    seconds = 0 if answer.strip() == "0" else count(answer)
    if seconds > _DAY_S:
        raise ValueError(f"write a whole number from 0 to {_DAY_S}")
    return seconds


def _holdings(site: Site) -> Iterator[Question]:
    members = [member.name for member in site.members]
    yield ask(
        "label_holder",
        "Which member has the label?",
        "哪个成员持有标签？",
        ("It learns the top of the model, and the scores.", "由其获得模型的最终部分及评分。"),
        members[0],
        one_of(*members),
    )
    known = [column.name for column in site.columns]
    for member in site.members:
        yield ask(
            f"holding.{member.name}",
            f"Which columns of the dictionary has {member.organisation}?",
            f"{member.organisation}持有数据字典中的哪些字段？",
            ("Names with commas; each column belongs to one member.", "以逗号分隔；每一字段只属于一个成员。"),
            None,
            some_of(known, "columns"),
        )


def _alignment() -> Iterator[Question]:
    yield ask(
        "identifier",
        "By what are common people found, the best first?",
        "依何种标识符查找共同个人（最优者在前）？",
        (
            "KIND:NORMALISATION with commas, as email:email_untagged, phone:phone:49.",
            "种类:归一化，以逗号分隔，如email:email_untagged, phone:phone:49。",
        ),
        None,
        identifiers_of,
    )
    for key, en, zh, about in (
        (
            "duplicates",
            "What if an identifier stands at several rows?",
            "标识符重复时如何处理？",
            (
                "leave_out: these rows take no part; refuse: the run ends.",
                "leave_out：不使用；refuse：终止。",
            ),
        ),
        (
            "malformed",
            "What if one has not its form?",
            "标识符格式错误时如何处理？",
            ("leave_out: as if the row had none; refuse: the run ends.", "leave_out：视为无；refuse：终止。"),
        ),
    ):
        yield ask(key, en, zh, about, "leave_out", one_of("leave_out", "refuse"))
    for key, en, zh, about, default in (
        (
            "minimum_common",
            "Fewest people in common?",
            "共同个人的最少人数？",
            ("With fewer, nothing is learned.", "少于此数则不进行任何计算。"),
            "1000",
        ),
        (
            "smallest_set",
            "To what size are sets filled up at least?",
            "集合至少填充至多大规模？",
            ("Others learn no more of a set's size.", "他方只能获知填充后的规模。"),
            "10000",
        ),
        (
            "alignments",
            "How many alignments does the agreement allow?",
            "协议允许多少次对齐？",
            ("Each run makes one.", "每次训练对齐一次。"),
            "10",
        ),
    ):
        yield ask(key, en, zh, about, default, count)


def _model(answers: Answers) -> Iterator[Question]:
    yield ask(
        "model",
        "Which model?",
        "使用哪种模型？",
        (
            "trees; scorecard, of two members; late_fusion: models of their own, added; split_network.",
            "trees：提升树；scorecard：评分卡，限两个成员；late_fusion：各方独立模型相加；split_network：拆分网络。",
        ),
        "trees",
        one_of(*STEPS),
    )
    if answers["model"] == "late_fusion":
        return
    yield ask(
        "steps",
        "How many trees, or steps of another model?",
        "多少棵树（或其他模型的步数）？",
        ("The usual is enough on the sets that were measured.", "默认值在已测数据集上足够。"),
        str(next((steps for kind, steps in STEPS.items() if kind == answers["model"]), 1)),
        count,
    )


def _trust(answers: Answers) -> Iterator[Question]:
    if answers["model"] == "split_network":
        yield _defence()
    if answers["model"] == "late_fusion" or answers.get("label_defence") == "label_noise":
        yield _epsilon()
    if answers["model"] in _DIRECT:
        return
    modes = ("dealer", "homomorphic") if answers["model"] == "trees" else ("dealer",)
    yield ask(
        "trust",
        "What do members rely on?",
        "成员依赖何种保护？",
        (
            "dealer: random numbers of the coordinator; homomorphic: sums that are encrypted, slower.",
            "dealer：协调方分发随机数；homomorphic：加密求和，较慢。",
        ),
        "dealer",
        one_of(*modes),
    )
    if answers.get("trust") == "dealer":
        yield ask(
            "no_collusion",
            "Is it certain that the coordinator colludes with no member?",
            "能否确认协调方不与任何成员串通？",
            (
                "If it told what it dealt, a member could read the others' columns or labels.",
                "若其泄露所分发的随机数，成员可读取他方字段或标签。",
            ),
            None,
            _certain,
        )
    if answers.get("trust") == "homomorphic":
        yield ask(
            "key_bits",
            "How long is the label holder's key?",
            "标签持有方密钥的位数？",
            ("2048 to 4096 bits.", "2048至4096位。"),
            str(MIN_KEY_BITS),
            count,
        )


def _defence() -> Question:
    return ask(
        "label_defence",
        "How are labels protected?",
        "如何保护标签？",
        (
            "frozen_bottoms: nothing made of labels is sent; label_noise: each is flipped once, leaks more.",
            "frozen_bottoms：不发送由标签得出的内容；label_noise：随机翻转一次，泄露更多。",
        ),
        None,
        one_of("frozen_bottoms", "label_noise"),
    )


def _epsilon() -> Question:
    return ask(
        "label_epsilon",
        "Epsilon of the noise on labels that members are sent?",
        "发送给成员的标签所加噪声的epsilon？",
        (
            "Per person and run; its area, 1/(1+exp(-epsilon)), must be below --maximum-leakage: .73 for 1.",
            "每人每次训练。翻转后标签的AUC为1/(1+exp(-epsilon))，epsilon为1时为0.73；须不超过--maximum-leakage。",
        ),
        None,
        _epsilon_of,
    )


def _epsilon_of(answer: str) -> float:
    epsilon = number(answer)
    if epsilon is None or not SMALLEST_EPSILON <= epsilon <= LARGEST_EPSILON:
        raise ValueError(f"write a number from {SMALLEST_EPSILON} to {LARGEST_EPSILON:g}")
    return epsilon


def _limits() -> Iterator[Question]:
    yield ask(
        "maximum_leakage",
        "Up to which area of an attack on labels is a model released?",
        "标签攻击的AUC不超过多少时可发布模型？",
        (".5 is guessing; attacks are run on what members were sent.", "0.5为随机猜测。"),
        str(MAXIMUM_LEAKAGE),
        area_of,
    )
    yield ask(
        "minimum_bin_rows",
        "Fewest common people of a bin?",
        "每个区间至少多少名共同个人？",
        ("Smaller ones are merged, or have no points.", "不足者将被合并或不计分。"),
        "20",
        count,
    )
    yield ask(
        "minimum_rows",
        "How many people does a member need to take part?",
        "成员参与至少需要多少人？",
        (
            "A default of ours, not of the law; rule P15 refuses too few.",
            "本软件默认值，并非法律规定；P15拒绝过少者。",
        ),
        "1000",
        count,
    )


def _scored(answers: Answers) -> Iterator[Question]:
    """What feature holders answer when the label holder scores people."""
    yield ask(
        "daily_people",
        "About how many people may a member be asked in a day when they are scored?",
        "评分时，每日最多可就多少人询问其他成员？",
        (
            "The label holder learns what its part of the model says of each. none: no scores.",
            "由标签持有方询问，并由其获知模型该部分对每人的结果。none：不提供评分。",
        ),
        "none",
        count_or_none,
    )
    if count_or_none(answers["daily_people"]) is None:
        return
    yield ask(
        "keep_s",
        "For how many seconds may the label holder keep an answer in memory?",
        "标签持有方可在内存中保留结果多少秒？",
        ("A withdrawal deletes it at once; 0 for never.", "撤回同意即删除；0为不保留。"),
        "0",
        seconds_of,
    )
    yield ask(
        "fallback",
        "What does the label holder answer while a member does not?",
        "其他成员未应答时，标签持有方如何回应？",
        (
            "none: an error; own_columns: what its own columns say, marked as such.",
            "none：错误；own_columns：仅依自有字段，并予标明。",
        ),
        "none",
        one_of("none", "own_columns"),
    )


def _certain(answer: str) -> bool:
    if not yes(answer):
        raise ValueError("write yes, or rely on encrypted sums: --trust homomorphic")
    return True
