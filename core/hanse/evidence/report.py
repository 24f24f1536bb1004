"""The report of a package: one HTML file, no script, nothing loaded, every text escaped. Pure.

For a compliance officer: what the log says, what was checked of it, and what that does not show. Plain
functions, as for the generated documents (docs/adr/0013). Whatever becomes part of the page passes through
:func:`_text`, or is a constant of this module.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from hanse.audit import Counts, Entry
from hanse.audit.findings import Finding
from hanse.evidence import verify
from hanse.evidence.charts import bars, steps
from hanse.evidence.figures import (
    Row,
    glance,
    in_two,
    over_time,
    row_bars,
    runs,
    spending,
    step_of,
    without_admitted,
)
from hanse.evidence.words import facts, says
from hanse.policies import Agreement
from hanse.policies.rules import RULES

_STYLE: Final = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_SHOWN_ENTRIES: Final = 500
_SHOWN_RUNS: Final = 20
_CLASSES: Final = {
    **dict.fromkeys(("", "check", "time (UTC)", "who", "rule", "whose", "step"), ' class="t"'),
    **dict.fromkeys(("entry", "considered", "admitted", "used"), ' class="n"'),
}
"""How the cells of a column are set, by its heading."""

Result = tuple[str, str, str]
"""Check, verdict, detail: as :mod:`hanse.evidence.verify` gives it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says.

    Attributes:
        origin: Which log.
        size: Number of its entries.
        root: Root of their tree.
        run: The run whose entries are disclosed; None if all are.
        rows: Index and entry of what is disclosed, at least one.
        keys: Who holds which key: role and verifier key.
        results: What was checked.
        findings: What the log does not account for; None if that was not looked for.
        agreements: The agreements that are in the package, by digest.
        later: Entries that the log had after the checkpoint of the package.
    """

    origin: str
    size: int
    root: bytes
    run: str | None
    rows: Sequence[Row]
    keys: Sequence[tuple[str, str]]
    results: Sequence[Result]
    findings: Sequence[Finding] | None
    agreements: Mapping[str, Agreement]
    later: int

    @property
    def failures(self) -> int:
        """Number of checks that do not hold, and of findings that are not mere notes."""
        found = sum(not finding.is_note for finding in self.findings or ())
        return found + sum(verdict == verify.FAIL for _, verdict, _ in self.results)


def to_html(report: Report) -> bytes:
    """Writes the report.

    Args:
        report: What it says.

    Returns:
        A whole HTML document, UTF-8.
    """
    title = f"Evidence from the log {report.origin}"
    body = "".join(_body(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_text(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"{_header(report, title)}<main>\n{body}</main>\n"
        "<footer><p>Made from the log alone. Times are UTC, as the writers' clocks gave them.</p></footer>\n"
        "</body>\n</html>\n"
    ).encode()


def _body(report: Report) -> Iterator[str]:
    yield _section("At a glance", _glance(report))
    yield _section("What was checked", _checked(report))
    yield _section("What this does not show", _limits())
    yield _section("Rows, by round and rule", _rows(report))
    yield _section("Privacy spent", _spent(report))
    yield _section("Entries over time", _over_time(report))
    yield _section("Denials and refusals", _denials(report))
    yield _section("Agreements", _agreements(report))
    yield _section("Keys", _keys(report))
    yield _section("Entries", _entries(report))
    yield _section("Check it yourself", _commands(report))


def _header(report: Report, title: str) -> str:
    first, last = report.rows[0][1].time, report.rows[-1][1].time
    scope = "all of them" if report.run is None else f"of which this package shows those of {report.run}"
    lead = f"{report.size:,} entries, {scope}, written from {_time(first)} to {_time(last)} UTC."
    bad = report.failures
    if bad:
        verdict = f"{bad} of the checks below do not hold. Read them before anything else."
    else:
        verdict = "Every check below held when this was made. Make them again: the last section says how."
    later = (
        f"<p>The log had {report.later:,} later entries that are not covered by this checkpoint.</p>\n"
        if report.later
        else ""
    )
    return (
        f"<header>\n<h1>{_text(title)}</h1>\n<p>{_text(lead)}</p>\n{later}"
        f"<p>Root of the log's tree: <code>{report.root.hex()}</code></p>\n</header>\n"
        f'<div class="verdict {"bad" if bad else "good"}"><p>{_text(verdict)}</p></div>\n'
    )


def _glance(report: Report) -> str:
    cards = "".join(
        f"<div><dt>{_text(g.label)}</dt><dd>{_text(g.value)}</dd></div>" for g in glance(report.rows)
    )
    return f'<dl class="cards">{cards}</dl>\n'


def _checked(report: Report) -> str:
    lines = [
        (f'<span class="{verdict}">{verdict}</span>', _text(name), _text(detail))
        for name, verdict, detail in report.results
    ]
    return _grid("", ("", "check", "outcome"), lines) + _findings(report)


def _findings(report: Report) -> str:
    if report.findings is None:
        return "<p>Only some entries are disclosed: whether others are missing was not looked for.</p>\n"
    if not report.findings:
        return "<p>Nothing was found that the log, read as a whole, does not account for.</p>\n"
    lines = [
        (
            f'<span class="{"note" if f.is_note else "FAIL"}">{"note" if f.is_note else "FAIL"}</span>',
            "" if f.entry is None else str(f.entry),
            _text(f.meaning),
            _text(f.detail),
            _text(f.remedy),
        )
        for f in report.findings
    ]
    return _grid("What the log does not account for", ("", "entry", "what", "detail", "what to do"), lines)


def _limits() -> str:
    items = "".join(f"<li>{_text(limit)}</li>\n" for limit in verify.LIMITS)
    return f"<p>A log that verifies is as it was written. It does not show:</p>\n<ul>\n{items}</ul>\n"


def _rows(report: Report) -> str:
    parts = []
    for run, rows in [*runs(report.rows).items()][-_SHOWN_RUNS:]:
        if values := row_bars(rows):
            parts.append(bars(f"{run}: rows admitted and left out", "rows", [*map(in_two, values)]))
        if left_out := [bar for bar in map(without_admitted, values) if bar.parts]:
            parts.append(bars(f"{run}: rows left out, by the first rule that each failed", "rows", left_out))
    if not parts:
        return "<p>No disclosed entry counts rows.</p>\n"
    rules = sorted({rule for _, entry in report.rows if entry.counts for rule in entry.counts.by_rule})
    lines = [(rule, _text(RULES[rule].message.en if rule in RULES else "")) for rule in rules]
    lead = (
        "<p>A row is counted under the first rule that it failed. A count written as &lt;k is too small to be"
        " shown, and is not in the bars.</p>\n"
    )
    grid = _grid("What the rules say of a row that is left out", ("rule", "meaning"), lines) if lines else ""
    return lead + "".join(parts) + _rounds(report) + grid


def _rounds(report: Report) -> str:
    lines = [
        (
            str(index),
            _text(entry.run),
            _text(step_of(entry)),
            _text(entry.peer or entry.actor.organisation),
            *_counted(entry.counts),
            _number(entry.rows_used),
        )
        for index, entry in report.rows
        if entry.run is not None and entry.counts is not None
    ]
    head = ("entry", "run", "step", "whose", "considered", "admitted", "left out", "used")
    return _grid("The same numbers", head, lines[-_SHOWN_ENTRIES:])


def _counted(counts: Counts) -> tuple[str, str, str]:
    excluded = ", ".join(f"{count} by {rule}" for rule, count in sorted(counts.by_rule.items()))
    return _number(counts.rows_in), _number(counts.rows_out), _text(excluded)


def _spent(report: Report) -> str:
    lines = dict([*spending(report.rows).items()][-_SHOWN_RUNS:])
    if not lines:
        return "<p>No disclosed entry spends privacy budget.</p>\n"
    lead = (
        "<p>Epsilon bounds what the model can reveal about one person. It counts everything that was charged"
        " to the same population and purpose, so it only grows.</p>\n"
    )
    return lead + steps("Epsilon after each step", "epsilon", lines)


def _over_time(report: Report) -> str:
    unit, values = over_time(report.rows)
    return bars(f"Entries in each {unit}, by the role of their writer", "entries", values)


def _denials(report: Report) -> str:
    lines = [
        (
            str(index),
            _text(_time(entry.time)),
            _text(says(entry)),
            _text(entry.run or ""),
            _text(_reasons(entry)),
        )
        for index, entry in report.rows
        if entry.decision == "deny"
    ]
    if not lines:
        return "<p>None.</p>\n"
    return _grid("", ("entry", "time (UTC)", "what", "run", "why"), lines[-_SHOWN_ENTRIES:])


def _reasons(entry: Entry) -> str:
    """The reasons, in the words of the rules where they are rules."""
    words = (
        f"{reason}: {RULES[reason].message.en}" if reason in RULES else reason for reason in entry.reasons
    )
    return " ".join(words)


def _agreements(report: Report) -> str:
    named = {entry.agreement for _, entry in report.rows if entry.agreement}
    lines = [
        (
            f"<code>{digest}</code>",
            _text(f"{agreement.title} ({agreement.id}, version {agreement.version})"),
            _text(agreement.purpose),
            _text(", ".join(member.organisation for member in agreement.members)),
        )
        for digest, agreement in sorted(report.agreements.items())
    ]
    missing = "".join(f"<li><code>{d}</code></li>" for d in sorted(named - set(report.agreements)))
    absent = f"<p>Named by entries, and not in the package:</p>\n<ul>{missing}</ul>\n" if missing else ""
    if not lines:
        return absent or "<p>No disclosed entry names an agreement.</p>\n"
    return _grid("", ("digest (SHA-256)", "what for", "purpose", "members"), lines) + absent


def _keys(report: Report) -> str:
    lead = "<p>Compare the eight digits in the middle of each key with its holder over another channel.</p>\n"
    lines = [(_text(role), f"<code>{_text(_short(key))}</code>") for role, key in report.keys]
    return lead + _grid("", ("whose", "key"), lines)


def _short(key: str) -> str:
    """A verifier key without the long part."""
    return key if len(key) < 200 else f"{key[:80]}…"  # noqa: PLR2004 - an ML-DSA key has 1,800 letters


def _entries(report: Report) -> str:
    shown = report.rows[-_SHOWN_ENTRIES:]
    hidden = len(report.rows) - len(shown)
    lead = f"<p>The last {len(shown)}; the {hidden:,} before are in csv/entries.csv.</p>\n" if hidden else ""
    lines = [
        (
            str(index),
            _text(_time(entry.time)),
            _text(f"{entry.actor.organisation} ({entry.actor.role})"),
            _text(says(entry)),
            _text(f"{entry.run} · {entry.round}" if entry.run and entry.round else entry.run or ""),
            _text(facts(entry)),
        )
        for index, entry in shown
    ]
    return lead + _grid("", ("entry", "time (UTC)", "who", "what", "run · round", "facts"), lines)


def _commands(report: Report) -> str:
    del report
    return (
        "<p>On any machine with Python 3.9 or later, without Hanse and without a network. Take verify.py from"
        " a release of Hanse that you trust, or compare the copy in the package with it.</p>\n"
        "<pre>python -m pip install cryptography\n"
        "python verify.py package.zip --key KEY-FROM-ANOTHER-CHANNEL --save mine.checkpoint\n"
        "python verify.py next-package.zip --since mine.checkpoint</pre>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}</section>\n"


def _grid(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts that are escaped already."""
    heading = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    kinds = [_CLASSES.get(cell, "") for cell in head]
    lines = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>\n"
        for row in rows
    )
    caption = f"<caption>{_text(title)}</caption>\n" if title else ""
    label = _text(title or "table")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">\n<table>\n{caption}'
        f"<thead><tr>{heading}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n</div>\n"
    )


def _number(count: object) -> str:
    if count is None:
        return ""
    return f"{count:,}" if isinstance(count, int) else _text(str(count))


def _time(time: str) -> str:
    return time[:19].replace("T", " ")


def _text(text: str) -> str:
    return escape(text, quote=True)
