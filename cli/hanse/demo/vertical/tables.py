"""What a vertical run comes to, in tables: how good, what crossed the wire, what was learned by whom."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from hanse.demo.vertical.facts import Asked, Attack, Learned, Scored, Sent, VerticalFacts


def quality_table(facts: VerticalFacts) -> Table:
    """Areas under the curve on the same held-out people."""
    title = f"AUC on {facts.held_out:,} held-out of {facts.common:,} common people"
    rows = ((one.name, area(one.auc), one.remark) for one in facts.quality)
    return table(title, ("model", "AUC", ""), rows)


def sent_table(sent: Iterable[Sent]) -> Table:
    """Bytes by phase and direction."""
    rows = (
        (
            one.phase,
            f"{one.sender} to {one.receiver}" if one.digest else f"{one.sender} deals to {one.receiver}",
            size(one.size_bytes),
            one.digest[:16],
        )
        for one in sent
    )
    return table("What crossed the wire", ("phase", "from, to", "bytes", "digest in both logs"), rows)


def learned_table(learned: Iterable[Learned]) -> Table:
    """What each party learned beside what it had."""
    rows = ((one.party, one.text) for one in learned)
    return table("What each party learned", ("party", "learned"), rows)


def attacks_table(attacks: Iterable[Attack], own: float | None) -> Table:
    """The worst attack on what each feature holder was sent, and those on what it may know.

    Args:
        attacks: The attacks.
        own: Area under the curve of the model itself, to compare with.
    """
    beside = "" if own is None else f" (the model's own AUC: {own:.3f})"
    rows = ((one.party, one.name, one.on, reached(one), allowed(one)) for one in attacks)
    return table(
        f"What known attacks learn of labels{beside}", ("at", "attack", "on", "AUC", "allowed"), rows
    )


def asked_table(scored: Scored) -> Table:
    """What a calling system was told of people."""
    rows = (
        (
            call.about,
            call.purpose,
            f"{call.people}",
            f"{call.joint}",
            f"{call.own_columns}",
            denied(call),
            f"{call.latency_ms:.0f} ms",
        )
        for call in scored.calls
    )
    heads = ("asked about", "purpose", "people", "on all columns", "on the brand's own", "denied", "took")
    return table("What the brand's CRM was told, in bands", heads, rows)


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; what others wrote is shown as it is, never as markup."""
    built = Table(title=Text(title), title_justify="left", header_style="bold")
    for head in heads:
        built.add_column(head, overflow="fold")
    for row in rows:
        built.add_row(*map(Text, row))
    return built


def area(value: float | None) -> str:
    """An area under a curve."""
    return "not known" if value is None else f"{value:.3f}"


def reached(attack: Attack) -> str:
    """The area of an attack; nothing where there was nothing to attack."""
    return "" if attack.auc is None else f"{attack.auc:.3f}"


def allowed(attack: Attack) -> str:
    """Up to which area a model is released."""
    return "agreed, not judged" if attack.allowed is None else f"{attack.allowed:.3f}"


def denied(call: Asked) -> str:
    """Who has no score, and by which rule; or why the whole call was refused."""
    return call.code or ", ".join(f"{count} by {rule}" for rule, count in sorted(call.denied.items()))


def size(count: int) -> str:
    """Bytes; MB where a person wants them."""
    return f"{count / 1e6:,.2f} MB" if count >= 1e5 else f"{count:,}"  # noqa: PLR2004 - a tenth of a MB
