"""The terminal tables of a demo run. Names are printed as they are, never read as markup."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from hanse.demo.results import DemoResult, MemberQuality, RoundFacts

_NONE: Final = "-"
_LOST: Final = "lost in noise"


def rounds_table(rounds: Sequence[RoundFacts]) -> Table:
    """One line per round: AUC, loss, rows, the largest epsilon of a member, and seconds."""
    table = Table(title="Rounds", caption="AUC and loss are exact on the test rows: demo only")
    for heading in ("round", "AUC", "private estimate", "log loss", "rows admitted", "epsilon", "seconds"):
        table.add_column(heading, justify="right")
    for entry in rounds:
        estimate = (
            f"{entry.auc_estimate:.3f} ± {entry.auc_standard_error:.3f}" if _has_estimate(entry) else _LOST
        )
        table.add_row(
            str(entry.round),
            f"{entry.auc_exact:.3f}",
            estimate,
            _number(entry.loss_exact, 3),
            f"{sum(entry.admitted.values()):,}" if entry.admitted else _NONE,
            _number(max(entry.epsilon.values(), default=None), 2),
            f"{entry.duration_s:.1f}",
        )
    return table


def _has_estimate(entry: RoundFacts) -> bool:
    return entry.auc_estimate is not None


def _number(value: float | None, decimals: int) -> str:
    return _NONE if value is None else f"{value:.{decimals}f}"


def members_table(result: DemoResult) -> Table:
    """One line per member: rows, how many were excluded, AUC on its own test rows, epsilon."""
    table = Table(title="Members", caption="AUC: exact, on the test rows of the member's kind; demo only")
    table.add_column("member")
    for heading in ("rows", "admitted", "excluded", "alone", "federated", "pooled", "epsilon"):
        table.add_column(heading, justify="right")
    quality = {member.name: member for member in result.quality.members}
    for member in result.members:
        table.add_row(
            Text(member.name),
            f"{member.rows:,}",
            f"{member.admitted:,}",
            f"{sum(member.excluded_by_rule.values()):,}",
            *_own_figures(quality.get(member.name)),
            _number(member.epsilon, 2),
        )
    return table


def _own_figures(own: MemberQuality | None) -> tuple[str, str, str]:
    """Alone, federated, pooled; a member that is not in the comparison has none."""
    if own is None:
        return _NONE, _NONE, _NONE
    return _number(own.alone_own, 3), _number(own.federated_own, 3), _number(own.pooled_own, 3)


def rules_table(result: DemoResult) -> Table:
    """One line per rule that removed something: rows and single values, over all members."""
    table = Table(title="What the rules removed, by the first rule that each row or value fails")
    table.add_column("rule")
    table.add_column("what it says")
    table.add_column("rows", justify="right")
    table.add_column("values", justify="right")
    rows: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for member in result.members:
        rows.update(member.excluded_by_rule)
        values.update(member.hidden_by_rule)
    for rule in sorted({*rows, *values}):
        table.add_row(rule, Text(result.rules.get(rule, "")), f"{rows[rule]:,}", f"{values[rule]:,}")
    return table


def summary_table(result: DemoResult) -> Table:
    """What the run showed, one figure per line, each with what it is compared to."""
    quality, agreement = result.quality, result.agreement
    table = Table(title="Summary")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("beside it")
    table.add_row(
        "AUC, federated",
        f"{quality.federated:.3f}",
        f"± {quality.standard_error:.3f} (1 s.e.) on {quality.test_rows:,} test rows that no member has",
    )
    table.add_row(
        "AUC, members alone", f"{quality.alone_mean:.3f}", _difference(quality.federated, quality.alone_mean)
    )
    table.add_row("AUC, pooled", f"{quality.pooled:.3f}", _difference(quality.federated, quality.pooled))
    table.add_row(
        "AUC, without noise",
        f"{quality.federated_without_privacy:.3f}",
        f"{quality.federated_without_privacy - quality.pooled:+.3f} against pooled",
    )
    spent = max((member.epsilon for member in result.members if member.epsilon is not None), default=None)
    table.add_row("epsilon", _number(spent, 2), _budget(result))
    admitted, considered = (
        sum(member.admitted for member in result.members),
        sum(member.considered for member in result.members),
    )
    table.add_row("rows admitted", f"{admitted:,}", f"of {considered:,} considered in round 1")
    allowed = sum(call.allowed for call in result.scoring)
    table.add_row(
        "scoring calls",
        str(len(result.scoring)),
        f"{allowed} allowed, {len(result.scoring) - allowed} denied",
    )
    verified = sum(log.verified for log in result.logs)
    table.add_row(
        "log entries",
        f"{sum(log.entries for log in result.logs):,}",
        f"{verified} of {len(result.logs)} logs verified",
    )
    table.add_row(
        "seconds", f"{result.duration_s:.0f}", Text(f"agreement {agreement.id}, model {result.model.name}")
    )
    return table


def _difference(federated: float, other: float) -> str:
    return f"federated is {federated - other:+.3f}"


def _budget(result: DemoResult) -> str:
    agreement = result.agreement
    if agreement.epsilon is None or agreement.delta is None:
        return "the agreement has no budget"
    return f"of {agreement.epsilon:g} at delta {agreement.delta:g}, per {agreement.unit}, largest of a member"
