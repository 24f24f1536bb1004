"""What whoever signs a vertical agreement relies on, and what each party learns; by the kind of model."""

from typing import Final

from hanse.policies.agreement.vertical import LabelDefence, Vertical
from hanse.policies.rules import Wording

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

CHECKED: Final = Wording(
    "The two members test the numbers that are dealt for a scorecard before its weights are shown, and end "
    "the run if they find a wrong one: it passes with a probability of 2^-40, or of 1/2 for each wrong "
    "number of those that stand for the logistic function. One that passes spoils the model; whoever "
    "deals it learns nothing by it.",
    "双方成员在公开评分卡权重之前核验所分发的随机数，一经发现错误即终止训练：错误的随机数未被发现的概率为2^-40；"
    "对于用于逻辑函数的随机数，每一个错误未被发现的概率为1/2。未被发现的错误会使模型失真；分发方不会因此获知任何信息。",
)
"""What they rely on beside it where the model is a scorecard."""

_SCORED: Final = {
    "sides": Wording(
        "when it scores a common person, on which side of each cut that person is now, or that the other "
        "member refuses",
        "对某一共同个人评分时，该个人当前位于各分裂点的哪一侧，或他方拒绝作答",
    ),
    "log_odds": Wording(
        "when it scores a common person, the log-odds that the other member's own model gives that person "
        "now, or that the other member refuses",
        "对某一共同个人评分时，他方自有模型当前对该个人给出的对数几率，或他方拒绝作答",
    ),
    "points": Wording(
        "when it scores a common person, the points of that person now on the other's half of the card, or "
        "that the other member refuses",
        "对某一共同个人评分时，该个人当前在他方评分卡部分所得的分数，或他方拒绝作答",
    ),
    "embeddings": Wording(
        "when it scores a common person, the numbers that the other member's half makes of that person now, "
        "by which it can estimate the other's columns as after a run, or that the other member refuses",
        "对某一共同个人评分时，他方网络部分当前对该个人得出的数值（可如训练后一样据以估计他方字段），或他方拒绝作答",
    ),
}
"""What a label holder learns by :attr:`hanse.policies.Answers.form`."""

_SCORED_WHO: Final = Wording(
    "which common person is scored, when, and for which calling system",
    "哪一名共同个人在何时为哪一调用系统被评分",
)
_COMMON: Final = Wording(
    "who of its own people are common to all members, and the size of the others' sets, filled up",
    "其自身个人中哪些为全体成员所共有，以及他方集合填充后的规模",
)

_KNOWN_HELD_OUT: Final = Wording(
    "which common people are held out for the evaluation: the last ones of an order that nobody could choose",
    "哪些共同个人留作评估：任何一方均无法选定的次序中的末尾部分",
)
_TOLD: Final = Wording(
    "how much is said between whom and when, and the label holder's figures and leakage reports",
    "各方之间通信的数量与时间，以及标签持有方报告的指标与泄露报告",
)
_GRADIENTS: Final = Wording(
    "gradients of its own numbers towards labels that were flipped once, and its trained half of the network",
    "其自身数值对随机翻转一次的标签的梯度，以及经训练的自身网络部分",
)
_NOTHING: Final = Wording("no label, no gradient, no score", "不获得任何标签、梯度或评分")
_HELD_OUT: Final = {
    "trees": (),
    "scorecard": (_KNOWN_HELD_OUT,),
    "late_fusion": (_KNOWN_HELD_OUT,),
    "split_network": (_KNOWN_HELD_OUT,),
}
_SIZES: Final = {
    "trees": Wording(
        "how many bins each feature holder has, how much is said between whom and when, and the label "
        "holder's figures and leakage reports",
        "各特征持有方的区间总数、各方之间通信的数量与时间，以及标签持有方报告的指标与泄露报告",
    ),
    "scorecard": Wording(
        "how many features each member's cells make, how much is said between whom and when, and the label "
        "holder's figures and leakage reports",
        "各成员区间所形成的特征数量、各方之间通信的数量与时间，以及标签持有方报告的指标与泄露报告",
    ),
    "split_network": _TOLD,
    "late_fusion": _TOLD,
}


NOISED: Final = Wording(
    "Nobody deals randomness and nothing is encrypted for sums. Each feature holder is sent the label of "
    "every common person that is trained on, flipped once at random (randomised response, epsilon {epsilon} "
    "per person and run, {total} over all alignments that the agreement allows): who reads one is right with "
    "probability {right}. The label holder is sent log-odds of common people, made of the others' columns.",
    "不分发随机数，求和亦不加密。每名用于训练的共同个人的标签经一次随机翻转（随机响应，每人每次训练epsilon为"
    "{epsilon}，协议允许的全部对齐合计{total}）后发送给各特征持有方：读取者判断正确的概率为{right}。"
    "标签持有方收到由他方字段得出的共同个人的对数几率。",
)
"""What they rely on with late fusion."""


_EMBEDDED: Final = Wording(
    "Nobody deals randomness and nothing is encrypted for sums. The label holder is sent numbers of each "
    "common person, made of the others' columns, and keeps them; from such numbers a linear model that knew "
    "200 people recovered two thirds to nine tenths of the variance of the columns.",
    "不分发随机数，求和亦不加密。标签持有方收到并保留由他方字段得出的每名共同个人的若干数值；"
    "已知200人的线性模型可由此类数值还原字段方差的三分之二至十分之九。",
)
_FROZEN: Final = Wording(
    "Nothing that is made of labels is sent to a feature holder.", "不向特征持有方发送任何由标签得出的内容。"
)
_NOISED_BOTTOMS: Final = Wording(
    "Each feature holder is sent gradients made of labels of which each was flipped once at random "
    "(randomised response, epsilon {epsilon} per person and run, {total} over all alignments that the "
    "agreement allows); averaged, they rank people nearly as the model does.",
    "各特征持有方收到由随机翻转一次的标签得出的梯度（随机响应，每人每次训练epsilon为{epsilon}，"
    "协议允许的全部对齐合计{total}）；取平均后，其对个人的排序接近模型本身。",
)


def relied_on(vertical: Vertical, model: str) -> Wording:
    """What whoever signs relies on, and nothing in the software can show.

    Args:
        vertical: Of the agreement.
        model: Kind of the model that is trained.
    """
    if vertical.trust.mode == "homomorphic":
        return ENCRYPTED
    if vertical.label_defence is not None:
        return _defended(vertical, vertical.label_defence, model)
    return _both(ASSUMPTION, CHECKED) if model == "scorecard" else ASSUMPTION


def learned_by(vertical: Vertical, model: str, party: str) -> tuple[Wording, ...]:
    """What a party learns beside what it had, in a run and when people are scored.

    All else is hidden under :func:`relied_on`.

    Args:
        vertical: Of the agreement.
        model: Kind of the model that is trained.
        party: A member, or anybody else for the coordinator.
    """
    if party == vertical.label_holder:
        scored = () if vertical.answers is None else (_SCORED[vertical.answers.form],)
        return (_COMMON, *_HELD_OUT[model], *_by_label_holder(vertical, model), *scored)
    if party in vertical.feature_holders:
        who = () if vertical.answers is None else (_SCORED_WHO,)
        return (_COMMON, *_HELD_OUT[model], *_by_feature_holder(vertical, model), *who)
    return (
        Wording("how many people are common, not who", "共同个人的数量，而非其身份"),
        _SIZES[model],
    )


def _by_label_holder(vertical: Vertical, model: str) -> tuple[Wording, ...]:
    if model == "scorecard":
        return (
            Wording("how many features the other's cells make", "他方区间所形成的特征数量"),
            Wording(
                "of each common person that is held out: its points on the other's half of the card",
                "每名留出的共同个人在他方评分卡部分所得的分数",
            ),
            Wording("its own half of the card", "评分卡中自身字段的部分"),
        )
    if model == "late_fusion":
        return (
            Wording(
                "of each common person the log-odds that each other member's own model gives",
                "每名共同个人在各他方自有模型下的对数几率",
            ),
            Wording("the weights with which they are added", "相加时的权重"),
        )
    if model == "split_network":
        return (
            Wording(
                "of each common person the numbers that the other members' halves make",
                "每名共同个人在各他方网络部分所得的数值",
            ),
            Wording("its own half of the network, and the scores", "网络中自身的部分以及评分"),
        )
    bins = vertical.minimum_bin_rows
    return (
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
    )


def _by_feature_holder(vertical: Vertical, model: str) -> tuple[Wording, ...]:
    if model == "scorecard":
        return (
            Wording(
                "its own half of the card: the points of its cells, by which it can rank people itself",
                "评分卡中自身字段的部分：其各区间的分数，可据以自行对个人排序",
            ),
            Wording("no label, no residual, no score", "不获得任何标签、残差或评分"),
        )
    if model == "late_fusion":
        return (
            Wording(
                "of each common person that is trained on: the label, flipped once at random",
                "每名用于训练的共同个人的标签，经一次随机翻转",
            ),
            Wording(
                "its own model of the label, by which it can rank people itself",
                "其自身字段对标签的模型，可据以自行对个人排序",
            ),
        )
    if model == "split_network":
        noised = vertical.label_defence is not None and vertical.label_defence.epsilon is not None
        return (_GRADIENTS if noised else _NOTHING,)
    return (
        Wording(
            "which of its own columns the trees cut, where, and how often",
            "树模型在其哪些字段、何处及多少次分裂",
        ),
        Wording("no label, no gradient, no score", "不获得任何标签、梯度或评分"),
    )


def _defended(vertical: Vertical, defence: LabelDefence, model: str) -> Wording:
    epsilon = defence.epsilon or 0.0
    figures = {
        "epsilon": f"{epsilon:g}",
        "total": f"{epsilon * vertical.alignment.runs:g}",
        "right": f"{defence.area:.3f}",
    }
    text = NOISED
    if model == "split_network":
        text = _both(_EMBEDDED, _FROZEN if defence.epsilon is None else _NOISED_BOTTOMS)
    return Wording(text.en.format(**figures), text.zh.format(**figures))


def _both(first: Wording, second: Wording) -> Wording:
    return Wording(f"{first.en} {second.en}", f"{first.zh}{second.zh}")
