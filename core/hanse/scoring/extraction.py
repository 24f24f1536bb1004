"""Whether what callers may ask and are answered is enough to copy the model.

Measured by the benchmark of extraction: a caller that chooses the rows that it asks about copies a linear
model in any form of scores, from about as many rows as the model has features; coarse forms cost it a few
times more rows. So the control is that it does not choose them. Where it names people alone, and the site
looks up their columns, it learns what its own columns of them tell, however many it asks about.
"""

from hanse.policies import Agreement, Wording

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
