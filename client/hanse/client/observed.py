"""What a member's own folder shows beside a generated document: approval, declarations, consents, rehearsal.

None of it is part of what is approved: it is another at every site and on every day.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.client.settings import NodeSettings
from hanse.policies import Agreement, ConsentLedger, Wording, suppress
from hanse.policies.agreement.words import same, value, word
from hanse.policies.compliance import Dossier, Section, Table
from hanse.policies.compliance.configuration import facts, head
from hanse.policies.compliance.dossier import table
from hanse.policies.fields import format_time, to_ms

STATES: Final = {
    "given": Wording("given", "已同意"),
    "refused": Wording("refused", "拒绝"),
    "withdrawn": Wording("withdrawn", "已撤回"),
    "objected": Wording("objected", "反对"),
    "expired": Wording("expired", "已过期"),
    "invalidated": Wording("invalidated", "已失效"),
    "requested": Wording("requested", "已请求"),
}


def observed(home: MemberHome, agreement: Agreement, dossier: Dossier, now: datetime) -> tuple[Section, ...]:
    """Sections about what the site knows now.

    Args:
        home: The member's folder.
        agreement: The agreement.
        dossier: The document that they are shown after.
        now: The time, with time zone.

    Returns:
        Sections for the end of the document.

    Raises:
        ConfigurationError: When the folder has no valid settings.
        PolicyError: ``policy.ledger`` if the consent ledger cannot be read.
    """
    settings = NodeSettings.load(home.root)
    items = (
        *((_approval(agreement, dossier),) if dossier.kind == "assessment" else ()),
        _declared(agreement, settings),
        *_consents(home, agreement, now),
    )
    title = Wording(
        f"At member '{settings.name}' on {format_time(now)}", f"成员“{settings.name}”，{format_time(now)}"
    )
    return (Section(key="observed", title=title, items=items),)


def _approval(agreement: Agreement, dossier: Dossier) -> Table:
    made = agreement.assessment
    if made.digest is None:
        approved = Wording("no: the agreement names no digest", "否：协议未载明摘要")
    elif made.digest == dossier.digest:
        approved = Wording("yes", "是")
    else:
        approved = Wording("NO: another text was approved", "否：获批的是另一文本")
    rows = {
        "reference": ("reference", "编号", same(made.reference)),
        "approver": ("approved by", "批准人", same(made.approver)),
        "approved": ("approved at", "批准时间", same(format_time(made.approved_at))),
        "expires": ("to be made anew by", "到期时间", same(format_time(made.expires_at))),
        "same": ("this text is the approved one", "本文本为获批文本", approved),
    }
    return facts("approval", "Approval, by the agreement", "批准情况（依协议）", rows)


def _declared(agreement: Agreement, settings: NodeSettings) -> Table:
    """The site's own classes beside those of the agreement; what differs is told."""
    declared = {column.name: column.classification for column in settings.dataset.columns}
    rows: dict[str, tuple[Wording, ...]] = {}
    for column in agreement.columns:
        own = declared.get(column.name)
        fits = value(own == column.classification)
        shown = word("none") if own is None else word(own)
        rows[column.name] = (same(column.name), word(column.classification), shown, fits)
    names = head(
        ("column", "字段"), ("agreed class", "约定分类"), ("declared here", "本节点声明"), ("fits", "一致")
    )
    title = Wording(f"Data set '{settings.dataset.name}'", f"数据集“{settings.dataset.name}”")
    return table("declared", title, names, rows)


def _consents(home: MemberHome, agreement: Agreement, now: datetime) -> Iterator[Table]:
    """How many people stand how; small numbers are not shown."""
    with open_ledger(home) as ledger:
        for purpose in dict.fromkeys((agreement.purpose, agreement.scoring.purpose)):
            counts = suppress(_counted(ledger, purpose, now), agreement.cohort.suppress_below)
            rows = {state: (STATES.get(state, same(state)), same(count)) for state, count in counts.items()}
            title = Wording(f"Consents for '{purpose}', people", f"对“{purpose}”的同意（人数）")
            yield table(f"consents.{purpose}", title, head(("state", "状态"), ("people", "人数")), rows)


def _counted(ledger: ConsentLedger, purpose: str, now: datetime) -> Mapping[str, int]:
    """People by what stands for a purpose now; a grant whose time is over has expired."""
    moment = to_ms(now)
    states: Counter[str] = Counter()
    for row in ledger.standing_rows().rows:
        if row.purpose == purpose:
            over = row.state == "given" and row.expires_ms is not None and row.expires_ms <= moment
            states["expired" if over else row.state] += 1
    return dict(sorted(states.items()))
