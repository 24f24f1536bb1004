"""What the fields under ``vertical`` are called: a part of the table of :mod:`.meaning`."""

from typing import Final

from hanse.policies.agreement.effects import Effect, Meaning
from hanse.policies.agreement.looks import LESS_PROTECTION, MORE_PROTECTION, NARROWS, NEUTRAL, WIDENS, says

VERTICAL: Final[tuple[tuple[str, str, str, Meaning, Meaning], ...]] = (
    (
        "vertical",
        "the terms of a vertical collaboration",
        "纵向协作条款",
        says(
            Effect.WIDENS,
            "members learn from each other's columns of the same people",
            "成员就同一批个人互用字段",
        ),
        says(Effect.WIDENS, "all members use the same columns", "全体成员使用相同字段"),
    ),
    ("vertical.label_holder", "who has the label", "标签持有方", WIDENS, WIDENS),
    ("vertical.holdings", "the holding of", "所持字段的成员", WIDENS, NARROWS),
    ("vertical.holdings.member", "the member of a holding", "所持字段的成员", WIDENS, NARROWS),
    ("vertical.holdings.columns", "the columns that {0} has", "{0}所持字段", WIDENS, NARROWS),
    (
        "vertical.alignment.identifiers",
        "the identifier by which common people are found,",
        "用于查找共同个人的标识符",
        says(Effect.WIDENS, "one more identifier is read", "多读取一种标识符"),
        NARROWS,
    ),
    ("vertical.alignment.identifiers.kind", "the kind of an identifier", "标识符的种类", WIDENS, NARROWS),
    ("vertical.alignment.identifiers.normalisation", "the spelling of {0}", "{0}的归一化", NEUTRAL, NEUTRAL),
    (
        "vertical.alignment.identifiers.country_code",
        "the country code of {0}",
        "{0}的国家区号",
        NEUTRAL,
        NEUTRAL,
    ),
    (
        "vertical.alignment.identifiers.trunk_prefix",
        "the trunk prefix of {0}",
        "{0}的长途字冠",
        NEUTRAL,
        NEUTRAL,
    ),
    ("vertical.alignment.duplicates", "what repeated identifiers do", "重复标识符的处理", NEUTRAL, NEUTRAL),
    (
        "vertical.alignment.malformed",
        "what malformed identifiers do",
        "格式错误标识符的处理",
        NEUTRAL,
        NEUTRAL,
    ),
    (
        "vertical.alignment.minimum",
        "the fewest common people",
        "共同个人的最少人数",
        MORE_PROTECTION,
        LESS_PROTECTION,
    ),
    (
        "vertical.alignment.smallest_set",
        "the size that sets are filled up to",
        "集合填充后的最小规模",
        MORE_PROTECTION,
        LESS_PROTECTION,
    ),
    (
        "vertical.alignment.runs",
        "the alignments that the agreement allows",
        "协议允许的对齐次数",
        LESS_PROTECTION,
        MORE_PROTECTION,
    ),
    (
        "vertical.minimum_bin_rows",
        "the fewest common people of a bin",
        "每个区间共同个人的最少人数",
        MORE_PROTECTION,
        LESS_PROTECTION,
    ),
    ("vertical.trust.mode", "what members rely on", "成员所依赖的信任方式", WIDENS, WIDENS),
    (
        "vertical.maximum_leakage",
        "the largest area of an attack on labels with which a model is released",
        "可发布模型的标签攻击AUC上限",
        LESS_PROTECTION,
        MORE_PROTECTION,
    ),
    ("vertical.trust.dealer", "who deals the randomness", "随机数分发方", WIDENS, WIDENS),
    (
        "vertical.trust.key_bits",
        "the length of the key that sums are encrypted under, in bits",
        "求和所用加密密钥的位数",
        MORE_PROTECTION,
        LESS_PROTECTION,
    ),
    (
        "vertical.trust.coordinator_colludes_with_no_member",
        "the assumption that the coordinator colludes with no member",
        "协调方不与任何成员串通的假设",
        NEUTRAL,
        NEUTRAL,
    ),
    (
        "vertical.answers",
        "what feature holders answer when people are scored",
        "评分时特征持有方的作答",
        says(
            Effect.WIDENS,
            "the label holder learns of who is scored what their cuts say of that person",
            "标签持有方在评分时获知他方字段对该个人的分裂结果",
        ),
        NARROWS,
    ),
    ("vertical.answers.form", "what feature holders answer", "特征持有方作答的内容", WIDENS, WIDENS),
    (
        "vertical.answers.daily_people",
        "the people that a feature holder is asked about in a day",
        "每日向特征持有方查询的人数",
        WIDENS,
        NARROWS,
    ),
    (
        "vertical.answers.keep_s",
        "the seconds for which an answer is kept",
        "作答结果的保留秒数",
        LESS_PROTECTION,
        MORE_PROTECTION,
    ),
    (
        "vertical.answers.fallback",
        "what is answered while a feature holder does not",
        "特征持有方不作答时的处理",
        NEUTRAL,
        NEUTRAL,
    ),
)
"""Path, English, Chinese, more, less, as in the table there."""
