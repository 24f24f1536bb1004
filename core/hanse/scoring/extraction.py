"""Whether what callers may ask and are answered is enough to copy the model.

Measured by the benchmark of extraction: a caller that chooses the rows that it asks about copies a linear
model in any form of scores, from about as many rows as the model has features; coarse forms cost it a few
times more rows. So the control is that it does not choose them. Where it names people alone, and the site
looks up their columns, it learns what its own columns of them tell, however many it asks about.
"""

from typing import Final

from hanse.policies import Agreement, Wording

DOCUMENTED: Final = 0.8
"""Rank correlation that a copy stays below where a draft keeps its default form, whatever the quota.

It holds for callers that know at most a quarter of the columns of the people whom they name, even the quarter
that tells most of the model. It is the highest figure of the benchmark, over its data sets and kinds of
models, rounded up to the next twentieth; the benchmark fails above it.
"""

CHOSEN_ROWS: Final = 256
CHOSEN_REACHED: Final = 0.99
"""About the rank correlation of the copy of a linear model by so many raw scores of chosen rows."""

ABOUT_FORMS: Final = Wording(
    "band (1 to 10), decile, flag:0.3, list:50, segment:COLUMN:VALUE:SCORE; or score:2, the score itself: of "
    f"rows that a caller chooses, {CHOSEN_ROWS} scores copy a linear model to a rank correlation of "
    f"about {CHOSEN_REACHED:g}.",
    "band（1至10）、decile、flag:0.3、list:50、segment:字段:价值:评分；或score:2即评分本身："
    f"若调用方自选输入，{CHOSEN_ROWS}个评分即可将线性模型复制至等级相关约{CHOSEN_REACHED:g}。",
)
"""Of the form of scores, as an interview says it."""

ABOUT_NAMES: Final = Wording(
    "yes: whoever knew a quarter of the columns copied models to a rank correlation of "
    f"{DOCUMENTED:g} at most, however often it asked; who knows all of them copies the model. no: callers "
    "choose what is asked, and copy it.",
    f"是：实测中仅知四分之一字段者，无论查询多少次，复制的等级相关至多{DOCUMENTED:g}；知悉全部字段者可以复制。"
    "否：调用方自选输入，可以复制模型。",
)
"""Of naming people alone, as an interview says it."""

_LINEAR = ("logistic", "scorecard")
_FEWEST_LINEAR = {"score": 66, "band": 256, "decile": 256}
_FEWEST = 1024


def rows_to_copy(agreement: Agreement) -> int:
    """About how many chosen rows give a copy that ranks people much as the model does.

    Args:
        agreement: Its model and its form of scores count.
    """
    if agreement.training.model not in _LINEAR:
        return 4 * _FEWEST
    return _FEWEST_LINEAR.get(agreement.scoring.output, _FEWEST)


def copying_note(agreement: Agreement) -> Wording | None:
    """What to say to whoever drafts an agreement that lets a caller copy the model.

    Args:
        agreement: The draft.

    Returns:
        One sentence; None where callers name people alone, or none may ask about enough of them.
    """
    scoring = agreement.scoring
    rows = rows_to_copy(agreement)
    enough = [caller.name for caller in scoring.callers if caller.daily_quota >= rows]
    if scoring.by_id or not enough:
        return None
    names = ", ".join(enough)
    return Wording(
        f"{names} may choose what the model is asked, more than {rows} times a day: that is enough to copy "
        "it, in this form of scores or any other; have people named alone (--by-id), or lower the quota.",
        f"{names}可自行选择模型输入，每日超过{rows}次，足以以任何评分形式复制模型；"
        "请改为仅提供个人标识（--by-id），或降低每日限额。",
    )
