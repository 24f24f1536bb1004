"""Writes the reference pages that are made from code: commands, codes, entries, findings, rules, settings.

Usage: ``python docs/generate.py [--check]``; ``--check`` exits 1 when a committed page differs.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import click
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hanse.audit import Actor, Entry, EventType
from hanse.audit.event import ConsentState, Counts, Event, PrivacySpend, Restored
from hanse.audit.findings import KINDS as FINDINGS
from hanse.cli.main import app
from hanse.cli.output import EXIT_CODES
from hanse.cli.serve import ServeSettings
from hanse.client.data import DatasetManifest, DeclaredColumn
from hanse.client.settings import NodeSettings
from hanse.errors import CATALOGUE
from hanse.policies.packs import ALWAYS_ON, BASELINE, BUILTIN, RulePack, Thresholds
from hanse.policies.rules import FACTS, RULES, Wording
from hanse.server.scoring import Operation
from hanse.server.settings import ServerSettings

DOCS = Path(__file__).resolve().parent

# One sentence per area; a code of an area that is not here makes the generator fail.
AREAS = {
    "config": "The operator of this site must change something.",
    "protocol": "A peer sent bytes that do not parse, or a step that is not due.",
    "identity": "A key, a signature or a certificate is wrong.",
    "policy": "The agreement or the consent rules refuse. A refusal is an outcome, not a fault.",
    "privacy": "The privacy budget refuses, or its ledger cannot be trusted.",
    "audit": "The audit log cannot be written, or does not verify.",
    "sum": "A secure sum is refused, because it would show more than a sum, or cannot be opened.",
    "run": "A run cannot go on.",
    "alignment": "Members do not find out whom they have in common, or must not.",
    "exchange": "A session between a member's node and the coordinator is refused, broken or over.",
    "sealed": "A sealed conversation between two members is refused, broken or cut short.",
    "vertical": "Parties that hold different columns of the same people cannot trust a run.",
    "model": "A model version is not acceptable.",
    "scoring": "A scoring call is not acceptable.",
    "internal": "Something failed that no other code names.",
}

ERRORS_HEAD = """\
# Error codes

Every error that Hanse raises on purpose has a code `area.reason`. The code is what logs, audit entries and
gRPC trailers carry; it keeps its meaning for ever and is never used for something else.

* **Public message** is the only text about an error that leaves the process. The detail behind it may name
  files, rules and parties of the own site, and stays there.
* **Status** is the [gRPC status](https://grpc.io/docs/guides/status-codes/) that the code becomes at a
  process border.
* **Retry** says whether the same call may succeed later without anybody changing anything.

Where a rule of the policy layer refused, the message ends with its identifier, such as `rule P15`; the
identifiers are in the [rules](ref-rules.md).
"""

CLI_HEAD = """\
# The command `hanse`

Every command says this itself with `--help`. A command that answers with a table prints one JSON document
instead when it is given `--json`.
"""

RULES_HEAD = """\
# Rules

The rules `P01` to `P32`, as this version decides them. Identifiers are stable. The same page [in
Chinese](ref-rules-zh.md); which rules apply, with which thresholds, is said by [rule packs](rule-packs.md).
A rule's text says what this version checks, not what the article says in full: read the [note on the
law](legal-note.md) before relying on an article number.

A rule has a formula per *level*: per agreement, per member and column of an agreement, per person (subject)
and column of a person, per job (run, round or aggregate), per alignment, per scoring call, and for the life
cycle of what is kept. There is no "not" in a formula: a fact that is missing, null or of another kind makes
its part of the formula fail, and a formula that does not hold denies. Phases: E enrolment, A alignment, T
training, S scoring, L life cycle.
"""

RULES_ZH_HEAD = """\
# 规则

本版本所执行的规则 `P01` 至 `P32`。编号保持不变。
[英文页面](ref-rules.md)另列出每条规则的公式和所依据的事实；
适用哪些规则、采用何种阈值，由[规则包](rule-packs.md)决定。
规则文本说明的是本版本检查的内容，而不是法律条文的全部要求；
引用条款编号之前，请阅读[关于法律的说明](legal-note.md)。本页不构成法律意见。
"""

PACKS_HEAD = """\
# Thresholds of the rule packs

What each built-in [rule pack](rule-packs.md) sets, and what applies if none says more. A value in italics
is a default of ours, not a figure from the law. The stricter value wins. Not legal advice: read the [note
on the law](legal-note.md).
"""

ENTRIES_HEAD = """\
# Entries of the audit log

What an entry can say. Every field is a number, a digest, a time or a word of the program's own vocabulary;
none has room for a sentence, an identifier or a row value. What does not apply is left out. All digests are
SHA-256 in lower-case hex. An entry has at most 65,535 bytes. How entries are stored and signed is in the
[format](ref-audit-log.md).
"""

FINDINGS_HEAD = """\
# Findings of the audit log

What `hanse audit verify` can find in a log that verifies: that it leaves something out, or contradicts
itself or another log. A finding is no proof of bad faith; it names the entry, the run and the round that
somebody has to explain. A *note* is nothing missing, only to be known; notes alone leave the exit code 0, any
other finding makes it 6. How to verify is in [Verify the audit log](how-to-verify-the-audit-log.md).

None of this shows that entries are true, or that something was neither done in public nor written down.
"""

SETTINGS_HEAD = """\
# Settings

Each process reads its own section of `hanse.toml` in its folder, then the environment, then the flags of its
command; later ones win. An unknown name is an error. Secrets are never in settings, which name the files that
hold them; a secret file that others can read is refused (`config.insecure-file`).
"""

ENTRIES: list[tuple[str, tuple[type[BaseModel], ...]]] = [
    ("Fields of an entry", (Entry, Event)),
    ("`actor`", (Actor,)),
    ("`consent`", (ConsentState,)),
    ("`counts`", (Counts,)),
    ("`privacy`", (PrivacySpend,)),
    ("`restored`", (Restored,)),
]

SETTINGS: list[tuple[str, type[BaseModel]]] = [
    ("A member's node: `[node]`, `HANSE_NODE_…`", NodeSettings),
    ("The node's data set: `[node.dataset]`", DatasetManifest),
    ("Each declared column: `[[node.dataset.columns]]`", DeclaredColumn),
    ("The coordinator: `[server]`, `HANSE_SERVER_…`", ServerSettings),
    ("The scorer: `[serve]`, `HANSE_SERVE_…`", ServeSettings),
    ("How it runs: `[serve.operation]`, `HANSE_SERVE_OPERATION__…`", Operation),
]


ENGLISH = ("rule", "refuses because", "what to do")
CHINESE = ("规则", "拒绝的原因", "如何处理")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def errors() -> str:
    """The page of error codes."""
    areas: dict[str, list[list[str]]] = {area: [] for area in AREAS}
    for code, spec in CATALOGUE.items():
        name = f"`{code}`{' *(retired)*' if spec.retired else ''}"
        row = [name, spec.public_message, spec.status, "yes" if spec.retryable else "no"]
        areas[code.partition(".")[0]].append(row)
    head = ("code", "public message", "status", "retry")
    sections = (f"\n## {area}\n\n{AREAS[area]}\n\n{table(head, rows)}" for area, rows in areas.items())
    return ERRORS_HEAD + "".join(sections)


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command with its path, in the order of the program."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


def usage(parameter: click.Parameter) -> str:
    """How a parameter is written on the command line."""
    if isinstance(parameter, click.Argument):
        return f"`{(parameter.name or '').upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def cli() -> str:
    """The page of commands and exit codes."""
    codes = [["0", "done"], ["2", "the command line is wrong"]]
    areas: dict[int, list[str]] = {}
    for area, code in EXIT_CODES.items():
        areas.setdefault(code, []).append(f"`{area}`")
    codes += [[str(code), f"an error of the area {', '.join(names)}"] for code, names in areas.items()]
    about = "The codes behind an exit code are in the [error codes](ref-errors.md)."
    rows = table(("exit code", "means"), sorted(codes, key=lambda row: int(row[0])))
    page = f"{CLI_HEAD}\n## Exit codes\n\n{about}\n\n{rows}"
    for path, command in leaves(typer.main.get_command(app), ("hanse",)):
        text = re.sub(r"\[bold\](.+?)\[/\]", r"`\1`", inspect.cleandoc(command.help or ""), flags=re.DOTALL)
        text = text.replace("\\[", "[")  # an escape of the terminal's markup
        rows = table(
            ("option", "needed", "what it is"),
            (
                [usage(parameter), "yes" if parameter.required else "", getattr(parameter, "help", "") or ""]
                for parameter in command.params
            ),
        )
        page += f"\n## `{path}`\n\n{text}\n" + (f"\n{rows}" if command.params else "")
    return page


def rules() -> str:
    """The page of rules: texts and articles, formulas, then every fact."""
    page = f"{RULES_HEAD}\n{overview(lambda wording: wording.en, ENGLISH)}"
    for rule in RULES.values():
        phases = ", ".join(sorted(rule.phases))
        formulas = table(
            ("level", "holds if"),
            ([str(level), markup(predicate.words())] for level, predicate in rule.requires.items()),
        )
        page += f"\n## {rule.id}\n\n{rule.message.en} {rule.remedy.en}\n\nPhases: {phases}.\n\n{formulas}"
    rows = ([name, str(item.fact.kind), markup(item.meaning)] for name, item in FACTS.items())
    return f"{page}\n## Facts\n\n{table(('fact', 'kind', 'what it is'), rows)}"


def rules_zh() -> str:
    """The page of rules in Chinese."""
    return f"{RULES_ZH_HEAD}\n{overview(lambda wording: wording.zh, CHINESE)}"


def overview(text: Callable[[Wording], str], heads: Iterable[str]) -> str:
    """All rules in one language, with the articles of the built-in packs."""
    rows = [
        [
            rule.id,
            text(rule.message),
            text(rule.remedy),
            *(", ".join(rule.articles.get(name, ())) for name in BUILTIN),
        ]
        for rule in RULES.values()
    ]
    return table((*heads, *(name.upper() for name in BUILTIN)), rows)


def markup(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")


def packs() -> str:
    """The page of thresholds, and of what the built-in packs do not cover."""
    rows = [
        [f"`{name}`", *(threshold(pack, name) for pack in BUILTIN.values()), f"*{shown(value)}*"]
        for name, value in BASELINE.items()
    ]
    page = f"{PACKS_HEAD}\n{table(('threshold', *BUILTIN, 'always'), rows)}"
    about = descriptions(Thresholds)
    meanings = table(("threshold", "what it is"), ([f"`{name}`", about[name]] for name in BASELINE))
    page += f"\n## What they mean\n\n{meanings}"
    always = ", ".join(sorted(ALWAYS_ON))
    page += f"\n## Which rules\n\nAlways, whatever the packs select: {always}.\n\n"
    for pack in BUILTIN.values():
        page += f"* `{pack.source}`: {', '.join(rule.id for rule in pack.rules)}\n"
    for pack in BUILTIN.values():
        limits = "".join(f"* {limit.en}\n  {limit.zh}\n" for limit in pack.limits)
        page += f"\n## What {pack.source} does not cover\n\n{limits}"
    return page


def threshold(pack: RulePack, name: str) -> str:
    """What a pack sets; in italics if it is not law."""
    value = pack.thresholds.given().get(name)
    if value is None:
        return ""
    return f"*{shown(value)}*" if name in pack.ours else shown(value)


def shown(value: object) -> str:
    """A threshold's value."""
    return ", ".join(sorted(value)) if isinstance(value, frozenset | tuple) else str(value)


def descriptions(kind: type[BaseModel]) -> dict[str, str]:
    """The ``Attributes:`` of a class docstring, one line each."""
    lines = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")[2].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if match := re.fullmatch(r" {4}(\w+): (.*)", line):
            name, found[match[1]] = match[1], match[2]
        elif line.startswith(" " * 8) and name:
            found[name] += f" {line.strip()}"
    return found


def entries() -> str:
    """The page of log entries."""
    types = "".join(f"* `{kind}`\n" for kind in sorted(EventType))
    page = f"{ENTRIES_HEAD}\n## Types\n\n{types}"
    for title, kinds in ENTRIES:
        about = {name: text for kind in kinds for name, text in descriptions(kind).items()}
        missing = set(kinds[0].model_fields) - set(about)
        if missing:
            raise SystemExit(f"{kinds[0].__name__} does not document {', '.join(sorted(missing))}.")
        rows = [[f"`{name}`", markdown(text)] for name, text in about.items()]
        page += f"\n## {title}\n\n{table(('field', 'what it is'), rows)}"
    return page


def findings() -> str:
    """The page of findings."""
    rows = [
        [f"`{name}`{' *(note)*' if kind.note else ''}", kind.meaning, kind.remedy]
        for name, kind in FINDINGS.items()
    ]
    return f"{FINDINGS_HEAD}\n{table(('finding', 'meaning', 'what to do'), rows)}"


def markdown(text: str) -> str:
    """A docstring's text as Markdown."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")


def default(field: FieldInfo) -> str:
    """The default of a field, as a person writes it."""
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "none"
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    if isinstance(field.default, BaseModel):
        return "see below"
    return f"`{field.default}`" if field.default not in (None, "") else "none"


def choices(field: FieldInfo) -> str:
    """The values of a field that takes one of a few."""
    if get_origin(field.annotation) is not Literal:
        return ""
    return "One of " + ", ".join(f"`{value}`" for value in get_args(field.annotation)) + "."


def settings() -> str:
    """The page of settings."""
    page = SETTINGS_HEAD
    for title, kind in SETTINGS:
        about = descriptions(kind)
        rows = [
            [f"`{name}`", default(field), markdown(about.get(name, choices(field)))]
            for name, field in kind.model_fields.items()
        ]
        page += f"\n## {title}\n\n{table(('setting', 'default', 'what it is'), rows)}"
    return page


PAGES: dict[str, Callable[[], str]] = {
    "ref-audit-entries.md": entries,
    "ref-audit-findings.md": findings,
    "ref-cli.md": cli,
    "ref-errors.md": errors,
    "ref-rule-packs.md": packs,
    "ref-rules-zh.md": rules_zh,
    "ref-rules.md": rules,
    "ref-settings.md": settings,
}


def main() -> None:
    """Writes the pages, or compares them with the committed ones."""
    stale = []
    for name, make in PAGES.items():
        text = f"<!-- Generated by docs/generate.py; do not edit. -->\n\n{make()}"
        page = DOCS / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(name)
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        raise SystemExit(f"Not those of the code: {', '.join(stale)}. Run `python docs/generate.py`.")


if __name__ == "__main__":
    main()
