"""The words of an agreement's vocabulary, in both languages, and how its values are written for people."""

from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from hanse.policies.fields import format_time
from hanse.policies.rules import Wording

Language: TypeAlias = Literal["en", "zh"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")

_SHORT_DIGITS: Final = 12
_DIGEST_DIGITS: Final = 64

WORDS: Final = MappingProxyType(
    {
        key: Wording(en, zh)
        for key, en, zh in (
            # Purposes
            ("basic_service", "provide the service that was asked for", "提供个人所要求的服务"),
            ("personalisation", "adapt the service to the person", "为个人提供个性化服务"),
            ("joint_modelling", "train models together with named partners", "与指名的合作方联合建模"),
            (
                "joint_modelling.propensity",
                "train models of what a customer is likely to do next, together with named partners",
                "与指名的合作方联合训练客户倾向模型",
            ),
            ("scoring", "compute a score about the person", "以模型对个人评分"),
            ("scoring.marketing", "choose whom to contact with which offer", "决定向谁推送何种营销信息"),
            ("scoring.retention", "notice that a customer is about to leave", "识别可能流失的客户"),
            ("sharing", "provide data to a named recipient", "向指名的接收方提供个人信息"),
            ("sensitive_data", "use sensitive data", "处理敏感个人信息"),
            ("cross_border", "use data across a border", "向境外提供个人信息"),
            # Roles
            ("joint", "joint controller", "共同处理者"),
            ("provider", "provider of data to the others", "向其他方提供个人信息的处理者"),
            ("entrusted", "entrusted processor", "受托人"),
            # Classes of data
            ("basic", "basic", "基本信息"),
            ("behavioural", "behavioural", "行为信息"),
            ("transaction", "transaction", "交易信息"),
            ("sensitive", "sensitive", "敏感个人信息"),
            # Why a column is sensitive
            ("biometrics", "biometrics", "生物识别"),
            ("religion", "religion", "宗教信仰"),
            ("specific_identity", "specific identity", "特定身份"),
            ("medical", "medical", "医疗健康"),
            ("financial_account", "financial account", "金融账户"),
            ("whereabouts", "whereabouts", "行踪轨迹"),
            ("genetic", "genetic", "基因"),
            ("ethnicity", "ethnicity", "种族民族"),
            ("political_opinion", "political opinion", "政治观点"),
            ("union_membership", "union membership", "工会会员身份"),
            ("sex_life", "sex life", "性生活"),
            ("minor", "minor", "未成年人"),
            ("public_place", "recorded in a public place", "公共场所采集"),
            # Columns, model, scores
            ("numeric", "numeric", "数值"),
            ("categorical", "categorical", "类别"),
            ("one_hot", "public cells, one of which is set", "公开区间的独热编码"),
            ("quantiles", "bins of equal size, learned from all members", "由全体成员得出的等频区间"),
            ("standardised", "distance from the mean of all members", "相对全体成员均值的标准化值"),
            ("hashed", "frequent categories of all members, hashed", "全体成员中常见类别的散列"),
            ("members", "every member", "全体成员"),
            ("model", "as part of a model", "作为模型的一部分"),
            ("logistic", "logistic regression", "逻辑回归"),
            ("mlp", "neural network", "神经网络"),
            ("wide_and_deep", "linear model beside a neural network", "线性模型与神经网络并联"),
            ("scorecard", "scorecard", "评分卡"),
            ("trees", "boosted trees", "提升树"),
            ("late_fusion", "each member's own model, log-odds added", "各方独立模型的对数几率相加"),
            ("split_network", "halves of a network, one at each member", "各成员分持的拆分神经网络"),
            ("frozen_bottoms", "nothing that is made of labels is sent", "不发送任何由标签得出的内容"),
            ("label_noise", "each label is flipped once, at random", "每个标签随机翻转一次"),
            ("direct", "what members send each other as it is", "成员间直接发送的内容"),
            ("email", "e-mail address", "电子邮箱"),
            ("email_untagged", "e-mail address without what follows a plus sign", "电子邮箱（不含加号后缀）"),
            ("phone", "phone number (E.164)", "电话号码（E.164）"),
            ("code", "contract or vehicle number", "合同号或车辆编号"),
            ("exact", "exact text", "原文"),
            ("refuse", "the alignment is refused", "拒绝对齐"),
            ("leave_out", "the rows are left out", "不使用相应记录"),
            ("dealer", "randomness from a dealer", "由分发方提供随机数"),
            ("homomorphic", "sums that the label holder has encrypted", "由标签持有方加密的求和"),
            ("coordinator", "the coordinator", "协调方"),
            ("sides", "the side of each of its cuts that a person is on", "个人位于其各分裂点的哪一侧"),
            ("log_odds", "the log-odds that its own model gives a person", "其自有模型对个人给出的对数几率"),
            ("points", "the points of a person on its half of the card", "个人在其评分卡部分所得的分数"),
            (
                "embeddings",
                "the numbers that its half of the network makes of a person",
                "其网络部分对个人得出的数值",
            ),
            ("own_columns", "what the label holder's own columns say", "标签持有方自身字段的评分"),
            ("label", "yes or no", "是或否"),
            ("amount", "amount", "金额"),
            ("record", "one record", "单条记录"),
            ("add-or-remove-one", "add or remove one record", "增加或删除一条记录"),
            ("secure", "in sums over three or more members", "三名以上成员的安全求和"),
            ("individual", "each member's own", "各成员单独发送"),
            ("score", "score", "分数"),
            ("band", "number of a band of scores", "评分所在分段"),
            ("decile", "decile of all held-out records", "全部留出记录中的十分位"),
            ("segment", "segment by score and value", "按评分与价值划分的分群"),
            ("flag", "flag from a score on", "达到阈值的标记"),
            ("list", "list of the highest of a call", "每次请求中评分最高者名单"),
            ("screened-mean", "mean of the updates that pass a screen", "筛查后更新的平均值"),
            ("mean", "mean", "平均值"),
            ("median", "median of each coordinate", "逐坐标中位数"),
            ("trimmed-mean", "mean of each coordinate without its extremes", "逐坐标截尾平均值"),
            ("multi-krum", "mean of the updates nearest to each other (multi-Krum)", "multi-Krum聚合"),
            # Legal bases
            ("consent", "consent", "同意"),
            ("contract", "contract", "合同"),
            ("legal_obligation", "legal obligation", "法定义务"),
            ("vital_interest", "vital interest", "保护生命健康"),
            ("public_task", "public task", "公共职责"),
            ("legitimate_interest", "legitimate interest", "正当利益"),
            # Borders, ends, rounds
            ("none", "none", "无"),
            ("security_assessment", "security assessment", "安全评估"),
            ("certification", "certification", "个人信息保护认证"),
            ("standard_contract", "standard contract", "标准合同"),
            ("delete", "delete", "删除"),
            ("return", "return", "返还"),
            ("finish", "finished", "完成当前轮"),
            ("abort", "aborted", "中止当前轮"),
        )
    }
)
"""What a person reads in the place of a word of the schema."""


def same(text: object) -> Wording:
    """A text that is the same in both languages: a name, a number, a reference."""
    return Wording(str(text), str(text))


def word(key: str) -> Wording:
    """A word of the vocabulary; one that is not in it stands for itself."""
    return WORDS.get(key, same(key))


def listed(parts: Iterable[Wording]) -> Wording:
    """Several texts as one; an empty list is "none"."""
    given = tuple(parts)
    if not given:
        return word("none")
    return Wording(", ".join(part.en for part in given), "、".join(part.zh for part in given))


def value(given: object, *, worded: bool = False) -> Wording:
    """A field's value for a person.

    Args:
        given: A truth becomes yes or no, a digest its beginning, a list its items.
        worded: Whether a text is a word of the vocabulary, and not one that somebody chose.
    """
    if given is None:
        return word("none")
    if isinstance(given, bool):
        return Wording("yes", "是") if given else Wording("no", "否")
    if isinstance(given, datetime):
        return same(format_time(given))
    if isinstance(given, float):
        return same(f"{given:g}")
    if isinstance(given, tuple):
        return listed(value(item, worded=worded) for item in given)
    return word(str(given)) if worded else same(_shortened(str(given)))


def _shortened(text: str) -> str:
    digest = len(text) == _DIGEST_DIGITS and set(text) <= set("0123456789abcdef")
    return f"{text[:_SHORT_DIGITS]}…" if digest else text
