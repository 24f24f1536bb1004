"""The report of a rehearsal: one document, and what people read of it.

The document's canonical bytes have a digest that goes into the agreement (``assessment.rehearsal``), so that
the impact assessment says exactly which rehearsal it rests on. It holds counts of made-up subjects only.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from hanse.crypto import canonical_json, sha256_hex
from hanse.demo.results import ScoringCall
from hanse.policies import RULES

Count = Annotated[int, Field(ge=0)]
Table: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, headings and cells."""

_NOTE: Final = (
    "Every subject, row and consent of this report is made up. It shows that the rules find what they are "
    "there to find, and what would leave each site; it says nothing about how good a real model would be."
)


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Admitted(_Facts):
    """The subjects of one member in the first round: considered, planted to be admitted, admitted."""

    member: str
    considered: Count
    planted: Count
    admitted: Count


class PlantedKind(_Facts):
    """A kind of subject: the rule that ought to leave it out (None: admitted), and how many were made."""

    kind: str
    rule: str | None
    words: str
    subjects: Count


class PlantedRule(_Facts):
    """What one rule ought to find at one member, and what it found."""

    member: str
    rule: str
    planted: Count
    found: Count


class HiddenColumn(_Facts):
    """Values of an optional column that ought to be hidden at one member, and that were."""

    member: str
    column: str
    planted: Count
    found: Count


class Withdrawal(_Facts):
    """One subject withdrew after a round: admitted rows of its member before and in the next round."""

    member: str
    after_round: Count
    admitted_before: Count
    admitted_after: Count

    @property
    def effective(self) -> bool:
        """Whether exactly one row less was used."""
        return self.admitted_after == self.admitted_before - 1


class Flow(_Facts):
    """Something that leaves a member's site.

    Attributes:
        content: What it is.
        numbers: How many numbers it has each time.
        times: How often it is sent in a run.
        protection: What is done to it before.
        to: Who receives it.
    """

    content: str
    numbers: Count
    times: Count
    protection: str
    to: str


class Rehearsal(_Facts):
    """Everything that a rehearsal found.

    Attributes:
        schema_version: Version of this document.
        version: Version of Hanse.
        software_digest: Digest of the software that ran.
        agreement: Name of the agreement.
        agreement_version: Its version.
        agreement_digest: Digest of the agreement that was handed in.
        policy_digest: Digest of its merged rule packs.
        packs: Digest of each rule pack.
        started_at: Start, UTC.
        rows_per_member: Made-up subjects of each member.
        members: Subjects of the first round.
        kinds: What was planted.
        rules: What ought to be found, and was.
        hidden: What ought to be hidden, and was.
        rounds_planned: Rounds of the agreement.
        rounds_done: Rounds that took place.
        withdrawal: A withdrawal during the run; None in a run of one round.
        calls: Calls to the scorer.
        flows: What left the sites.
    """

    schema_version: Literal[1] = 1
    version: str
    software_digest: str
    agreement: str
    agreement_version: Count
    agreement_digest: str
    policy_digest: str
    packs: dict[str, str]
    started_at: datetime
    rows_per_member: Count
    members: tuple[Admitted, ...]
    kinds: tuple[PlantedKind, ...]
    rules: tuple[PlantedRule, ...]
    hidden: tuple[HiddenColumn, ...]
    rounds_planned: Count
    rounds_done: Count
    withdrawal: Withdrawal | None
    calls: tuple[ScoringCall, ...]
    flows: tuple[Flow, ...]

    def canonical(self) -> bytes:
        """The bytes that the digest is about."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`canonical`, 64 hex digits: for ``assessment.rehearsal``."""
        return sha256_hex(self.canonical())

    @property
    def problems(self) -> tuple[str, ...]:
        """What did not come out as planted; empty if the rehearsal has passed."""
        found = [
            f"{item.member}: rule {item.rule} found {item.found} subjects, {item.planted} were planted"
            for item in self.rules
            if item.found != item.planted
        ]
        found += [
            f"{item.member}: {item.admitted} subjects were admitted, {item.planted} ought to be"
            for item in self.members
            if item.admitted != item.planted
        ]
        found += [
            f"{item.member}: column {item.column} was hidden {item.found} times, {item.planted} were planted"
            for item in self.hidden
            if item.found != item.planted
        ]
        if self.rounds_done != self.rounds_planned:
            found.append(f"{self.rounds_done} of {self.rounds_planned} rounds took place")
        if self.withdrawal is not None and not self.withdrawal.effective:
            found.append(f"{self.withdrawal.member}: the withdrawal was not out in the next round")
        return tuple(found)

    def tables(self) -> list[Table]:
        """The report as tables, the same for terminal, Markdown and HTML."""
        return [
            self._facts_table(),
            self._rules_table(),
            self._kinds_table(),
            self._hidden_table(),
            self._calls_table(),
            (
                "What leaves each site",
                ("what", "numbers", "times", "protection", "to"),
                [(f.content, str(f.numbers), str(f.times), f.protection, f.to) for f in self.flows],
            ),
        ]

    def to_markdown(self) -> str:
        """The report as Markdown, to be attached to the impact assessment."""
        parts = [f"# Rehearsal of {self.agreement}, version {self.agreement_version}", _NOTE, self._verdict()]
        for title, headings, rows in self.tables():
            lines: list[Sequence[str]] = [headings, ["---"] * len(headings), *rows]
            table = "\n".join("| " + " | ".join(map(_markdown, line)) + " |" for line in lines)
            parts += [f"## {title}", table]
        return "\n\n".join(parts) + "\n"

    def to_html(self) -> str:
        """The report as one HTML page that loads nothing."""
        title = escape(f"Rehearsal of {self.agreement}, version {self.agreement_version}")
        body = [f"<h1>{title}</h1>", f"<p>{escape(_NOTE)}</p>", f"<p>{escape(self._verdict())}</p>"]
        for heading, headings, rows in self.tables():
            body += [f"<h2>{escape(heading)}</h2>", _html_table(headings, rows)]
        return _PAGE.format(title=title, body="\n".join(body))

    def _verdict(self) -> str:
        if self.problems:
            return "Not as planted: " + "; ".join(self.problems) + "."
        return "Every rule found what was planted, and nothing else."

    def _facts_table(self) -> Table:
        packs = ", ".join(f"{name} ({digest[:12]}…)" for name, digest in self.packs.items())
        rows = [
            ("digest of this report", self.digest),
            ("agreement", f"{self.agreement} {self.agreement_version}, {self.agreement_digest}"),
            ("rule packs", packs),
            ("software", f"{self.version}, {self.software_digest}"),
            ("started", f"{self.started_at:%Y-%m-%d %H:%M} UTC"),
            ("rounds", f"{self.rounds_done} of {self.rounds_planned}"),
        ]
        rows += [
            (m.member, f"{m.admitted:,} of {m.considered:,} made-up subjects admitted") for m in self.members
        ]
        if self.withdrawal is not None:
            w = self.withdrawal
            out = "out in the next round" if w.effective else "NOT out in the next round"
            said = f"one subject of {w.member} after round {w.after_round}, {out}"
            rows.append(("withdrawal during the run", said))
        return "Rehearsed", ("", ""), rows

    def _rules_table(self) -> Table:
        rows = [
            (
                item.rule,
                RULES[item.rule].message.en,
                item.member,
                str(item.planted),
                str(item.found),
                "as planted" if item.found == item.planted else "NOT as planted",
            )
            for item in sorted(self.rules, key=lambda item: (item.rule, item.member))
        ]
        return "Rules", ("rule", "what it refuses", "member", "planted", "found", ""), rows

    def _kinds_table(self) -> Table:
        rows = [
            (k.kind, k.words, k.rule or "admitted", str(k.subjects) if k.subjects else "not possible here")
            for k in self.kinds
        ]
        return "Made-up subjects", ("kind", "what is peculiar", "rule", "subjects"), rows

    def _hidden_table(self) -> Table:
        rows = [(h.column, h.member, str(h.planted), str(h.found)) for h in self.hidden]
        return "Values hidden from the training", ("column", "member", "planted", "found"), rows

    def _calls_table(self) -> Table:
        rows = [
            (
                call.caller,
                call.purpose,
                f"{call.scored} of {call.subjects} scored" if call.allowed else f"denied ({call.code})",
            )
            for call in self.calls
        ]
        return "Calls for scores", ("caller", "use", "answer"), rows


def _markdown(cell: str) -> str:
    return escape(cell, quote=False).replace("|", "\\|").replace("\n", " ")


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}th,td{{border-bottom:1px solid #ccc;padding:.3rem .6rem;
text-align:left;vertical-align:top;overflow-wrap:anywhere}}</style></head>
<body>
{body}
</body></html>
"""
