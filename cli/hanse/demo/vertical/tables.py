"""What a vertical run comes to, in tables: how good, what crossed the wire, what was learned by whom."""

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from hanse.demo.vertical.rivals import Rivals
from hanse.demo.vertical.serving import Scored
from hanse.learning.vertical.runs.manifest import VerticalManifest
from hanse.policies.agreement.vertical_statements import learned_by

_PHASES = {"prepared": "align", "trained": "train", "evaluated": "evaluate"}


def quality_table(manifest: VerticalManifest, rivals: Rivals) -> Table:
    """Areas under the curve on the same held-out people."""
    metrics = manifest.metrics
    error = metrics.get("auc_standard_error")
    alone, joint = metrics.get("auc_alone"), metrics.get("auc")
    rows = [
        ("label holder alone", _figure(alone), "its own columns; stays if the others leave"),
        *(
            (f"{name} alone, if it had the label", _figure(area), "")
            for name, area in rivals.partners.items()
        ),
        ("late fusion", _figure(rivals.late_fusion), "everybody trains alone, log-odds added"),
        ("joint (this run)", _figure(joint), "" if error is None else f"± {error:.3f} (standard error)"),
        ("pooled", _figure(rivals.pooled), "all columns in one place, which nobody may have"),
    ]
    title = f"AUC on {rivals.held_out:,} held-out of {manifest.aligned:,} common people"
    return table(title, ("model", "AUC", ""), rows)


def wire_table(manifest: VerticalManifest) -> Table:
    """Bytes by phase and direction. What members say to each other is sealed; the coordinator relays it."""
    rows = [
        (
            _PHASES[one.phase],
            f"{one.between[way]} to {one.between[1 - way]}",
            _bytes(one.sent[way]),
            one.digest[:16],
        )
        for one in manifest.conversations
        for way in (0, 1)
    ]
    rows += [
        ("train", f"coordinator deals to {name}", _bytes(count), "") for name, count in manifest.dealt.items()
    ]
    return table("What crossed the wire", ("phase", "from, to", "bytes", "digest in both logs"), rows)


def learned_table(manifest: VerticalManifest) -> Table:
    """What each party learned beside what it had."""
    return table("What each party learned", ("party", "learned"), _learned(manifest))


def leakage_table(manifest: VerticalManifest) -> Table:
    """The worst attack on what each feature holder was sent, and those on what it may know."""
    area = manifest.metrics.get("auc")
    beside = "" if area is None else f" (the model's own AUC: {area:.3f})"
    heads = ("at", "attack", "on", "AUC", "allowed")
    return table(f"What known attacks learn of labels{beside}", heads, _leaked(manifest))


def asked_table(scored: Scored) -> Table:
    """What a calling system was told of people."""
    rows = [
        (
            call.about,
            call.purpose,
            f"{call.people}",
            f"{call.joint}",
            f"{call.own_columns}",
            call.code or ", ".join(f"{count} by {rule}" for rule, count in sorted(call.denied.items())),
            f"{call.latency_ms:.0f} ms",
        )
        for call in scored.calls
    ]
    heads = ("asked about", "purpose", "people", "on all columns", "on the brand's own", "denied", "took")
    return table("What the brand's CRM was told, in bands", heads, rows)


def _leaked(manifest: VerticalManifest) -> Iterator[tuple[str, ...]]:
    for report in manifest.leakage:
        most = f"{max(manifest.vertical.maximum_leakage, report.chance):.3f}"
        worst = report.worst
        if worst is None:
            yield report.party, "none", "nothing that depends on labels was sent", "", most
        else:
            yield report.party, f"{worst.attack}, the worst", worst.seen, _figure(worst.leaked), most
        for known in report.disclosed:
            yield report.party, known.attack, known.seen, _figure(known.area), "agreed, not judged"


def _learned(manifest: VerticalManifest) -> Iterator[tuple[str, str]]:
    for member in (*manifest.parts, "coordinator"):
        for line in learned_by(manifest.vertical, manifest.training.model, member):
            yield member, line.en


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; what others wrote is shown as it is, never as markup."""
    built = Table(title=Text(title), title_justify="left", header_style="bold")
    for head in heads:
        built.add_column(head, overflow="fold")
    for row in rows:
        built.add_row(*map(Text, row))
    return built


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 1e5 else f"{count:,}"  # noqa: PLR2004 - where a person wants MB
