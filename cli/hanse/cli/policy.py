"""``hanse policy``: the rules, the rule packs, what they come to together, and who has adopted them."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.audit import Event, EventType
from hanse.cli.common import Home, member_log
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.packs import adopted, make_auditor, pack_keys, sign_with_both
from hanse.crypto import SigningKey, write_atomic
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import (
    BUILTIN,
    FACTS,
    RULES,
    Identity,
    Policy,
    Restriction,
    Rule,
    RulePack,
    Wording,
    adopt_pack,
    builtin_pack,
    merge,
    open_pack,
    read_pack,
    sign_pack,
)
from hanse.policies.documents import to_yaml
from hanse.policies.packs import HEADER

LEGAL_NOTE = "Not legal advice: have a lawyer read the articles again (docs/legal-note.md)."

app = typer.Typer(
    no_args_is_help=True, help="Show the rules; merge, write, sign and adopt rule packs. Not legal advice."
)


class Language(StrEnum):
    """Language of a text."""

    EN = "en"
    ZH = "zh"


Lang = Annotated[Language, typer.Option("--lang", help="Language of the texts.")]


@app.command("list")
def list_rules(
    pack: Annotated[
        str | None, typer.Option(help="Only the rules of a built-in pack, or of a pack in a file.")
    ] = None,
    lang: Lang = Language.EN,
    *,
    as_json: Json = False,
) -> None:
    """List the rules: what each says when it refuses, and what to do.

    Example: [bold]hanse policy list --pack pipl --lang zh[/]
    """
    chosen = None if pack is None else _named(pack, None)
    rules = [rule for rule in RULES.values() if chosen is None or _selects(chosen, rule)]
    if as_json:
        print_json([_facts(rule) for rule in rules])
        return
    rows = [
        (
            rule.id,
            "".join(sorted(rule.phases)),
            _text(rule.message, lang),
            _text(rule.remedy, lang),
            ", ".join(rule.cited() if chosen is None else merge([chosen]).rules[rule.id].articles),
        )
        for rule in rules
    ]
    heads = ("rule", "phases", "refuses because", "what to do", "articles")
    console().print(table(f"{len(rules)} rules", heads, rows, whole=("rule",)))
    say(LEGAL_NOTE)


@app.command("show")
def show(
    rule: Annotated[str, typer.Argument(help="Identifier of the rule, as P07.")], *, as_json: Json = False
) -> None:
    """Show one rule: its formula at every level, the facts that it reads, articles, and both texts.

    Example: [bold]hanse policy show P07[/]

    A fact that is missing or of another kind makes its part of the formula fail; there is no "not".
    """
    found = RULES.get(rule.upper())
    if found is None:
        raise PolicyError("policy.invalid", "no such rule; hanse policy list shows them all")
    if as_json:
        print_json(_facts(found))
        return
    say(f"{found.id}  {', '.join(found.cited())}")
    for wording in (found.message, found.remedy):
        say(f"  {wording.en}\n  {wording.zh}")
    for level, predicate in found.requires.items():
        say(f"\n{level}: {predicate.words()}")
    read = sorted(
        {fact for predicate in found.requires.values() for fact in predicate.facts()},
        key=lambda fact: fact.name,
    )
    rows = [(fact.name, fact.kind, FACTS[fact.name].meaning) for fact in read]
    console().print(table("Facts", ("fact", "kind", "what it is"), rows, whole=("fact",)))


@app.command("packs")
def packs(
    home: Annotated[
        Path | None, typer.Option("--home", "-C", help="Folder of a member, to see what it has adopted.")
    ] = None,
    lang: Lang = Language.EN,
    *,
    as_json: Json = False,
) -> None:
    """List the rule packs that come with the software, and those that a member has adopted.

    Example: [bold]hanse policy packs --home brand[/]
    """
    here = () if home is None else adopted(MemberHome(home))
    known = {pack.digest: pack for pack in (*BUILTIN.values(), *here)}
    ours = {pack.digest for pack in here}
    if as_json:
        rows = [
            {
                **pack.reference.model_dump(mode="json"),
                "title": pack.title.model_dump(),
                "rules": len(pack.rules),
                "adopted": pack.digest in ours,
                "limits": [item.model_dump() for item in pack.limits],
            }
            for pack in known.values()
        ]
        print_json(rows)
        return
    cells = [
        (
            pack.source,
            pack.title.zh if lang is Language.ZH else pack.title.en,
            len(pack.rules),
            "yes" if pack.digest in ours else "no",
            pack.digest[:16],
        )
        for pack in known.values()
    ]
    console().print(table("Rule packs", ("pack", "title", "rules", "adopted", "digest"), cells))
    for pack in known.values():
        for limit in pack.limits:
            say(f"{pack.source} does not cover: {limit.zh if lang is Language.ZH else limit.en}")


@app.command("merge")
def merged(
    names: Annotated[list[str], typer.Argument(help="Built-in or adopted packs by name, or files of packs.")],
    home: Annotated[
        Path | None, typer.Option("--home", "-C", help="Folder of the member that has adopted them.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what several packs come to: every threshold and rule, with the packs that it comes from.

    Example: [bold]hanse policy merge pipl gdpr[/]

    The most restrictive wins. What is marked as a default is ours or the pack's author's, not the law's.
    """
    policy = merge([_named(name, home) for name in names])
    if as_json:
        print_json(_policy_facts(policy))
        return
    rows = [
        (name, _value(item), ", ".join(item.sources), "default" if item.ours else "law")
        for name, item in policy.thresholds.items()
    ]
    console().print(table("Thresholds", ("threshold", "value", "from", "is"), rows, whole=("threshold",)))
    cells = [
        (rule_id, ", ".join(rule.sources), ", ".join(rule.articles)) for rule_id, rule in policy.rules.items()
    ]
    console().print(table("Rules", ("rule", "from", "articles"), cells, whole=("rule",)))
    say(f"digest {policy.digest}\n{LEGAL_NOTE}")


@app.command("adopt")
def adopt(
    pack: Annotated[str, typer.Argument(help="Built-in pack by name, YAML file, or signed file.")],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Adopt a rule pack: from now on, agreements that name it can run here. Two people sign.

    Example: [bold]hanse policy adopt ccpa --home brand[/]

    With both keys in the folder, both sign here. Where one is kept elsewhere, as it should be, sign with
    `hanse policy sign-pack` there, and adopt the signed file. A round that runs is not affected.
    """
    member = MemberHome(home)
    document, note = _read(pack, home)
    keys, signed = pack_keys(member), note or sign_with_both(member, document)
    open_pack(signed, keys)
    # In the log before it takes effect (P28).
    event = Event(type=EventType.POLICY_ADOPTED, policy_digest=document.digest)
    member_log(member, "approver").append(event)
    adopt_pack(member.packs, signed, keys)
    if as_json:
        print_json(document.reference.model_dump(mode="json"))
        return
    say(f"adopted {document.source}, digest {document.digest}")


@app.command("new-pack")
def new_pack(
    out: Annotated[Path, typer.Argument(help="YAML file to write.")],
    name: Annotated[str, typer.Option("--id", help="Short name of the pack.")],
    title: Annotated[str, typer.Option(help="What it is, in one line of English.")],
    title_zh: Annotated[str, typer.Option(help="The same in Chinese.")],
) -> None:
    """Write a rule pack of your own to fill in. It can only restrict: the most restrictive pack wins.

    Example: [bold]hanse policy new-pack house.yaml --id house --title "House rules" --title-zh 内部规则[/]
    """
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    empty: dict[str, Any] = {
        "schema_version": 1,
        "id": name,
        "version": 1,
        "title": {"en": title, "zh": title_zh},
        "regime": "custom",
        "rules": [],
        "thresholds": {},
        "ours": [],
        "limits": [],
    }
    pack = RulePack.from_yaml(to_yaml(empty))
    write_atomic(out, f"{_hints()}{pack.to_yaml()}".encode())
    say(f"wrote {out}. Fill in rules and thresholds, then: hanse policy merge pipl {out}")


@app.command("sign-pack")
def sign(
    file: Annotated[
        Path, typer.Argument(help="Pack: YAML, or what somebody has signed.", exists=True, dir_okay=False)
    ],
    key: Annotated[
        Path, typer.Option(help="Key of the approver or the auditor.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Signed file; default: the input with the ending .pack.")
    ] = None,
) -> None:
    """Sign a rule pack as one of the two people whom its adoption needs.

    Example: [bold]hanse policy sign-pack house.yaml --key approver.key[/], then, somebody else:
    [bold]hanse policy sign-pack house.pack --key auditor.key[/]
    """
    document, note = _read(str(file), None)
    signer = SigningKey.load(key)
    target = out or file.with_suffix(".pack")
    write_atomic(target, sign_pack(document if note is None else note, signer))
    say(f"signed {target} as {signer.name}. Digest {document.digest}")


@app.command("new-auditor")
def new_auditor(home: Home = Path()) -> None:
    """Make the auditor's key of a member whose folder has none.

    Example: [bold]hanse policy new-auditor --home brand[/]

    Give keys/auditor.key to the auditor and remove it from the folder; keys/auditor.pub stays.
    """
    member = MemberHome(home)
    verifier = make_auditor(member, Identity.load(member.identity).name)
    say(f"made {member.auditor_key}; its public half is {verifier.encode()}")


def _named(name: str, home: Path | None) -> RulePack:
    return _read(name, home)[0]


def _read(name: str, home: Path | None) -> tuple[RulePack, bytes | None]:
    """A pack by name or from a file; with the signed bytes, if it is a signed file."""
    path = Path(name)
    if not path.is_file():
        return _by_name(name, home), None
    data = path.read_bytes()
    if data.startswith(HEADER.encode()):
        return read_pack(data), data
    try:
        return RulePack.from_yaml(data.decode()), None
    except UnicodeDecodeError as error:
        raise PolicyError("policy.invalid", f"{path} is not UTF-8 text") from error


def _hints() -> str:
    """Comments for the author of a pack: every threshold that it can set."""
    lines = "".join(f"#   {line}\n" for line in _threshold_lines())
    return (
        "# A rule pack of our own. `rules` selects rules: {id: P14, articles: [House rule 3]}.\n"
        "# Name in `ours` the thresholds that no law asks for. `thresholds` may set, each only to restrict:\n"
        f"{lines}"
    )


def _threshold_lines() -> list[str]:
    return [f"{name}: {_value(item)}" for name, item in merge(list(BUILTIN.values())).thresholds.items()]


def _by_name(name: str, home: Path | None) -> RulePack:
    """The newest adopted version, or the built-in one."""
    here = [] if home is None else [pack for pack in adopted(MemberHome(home)) if pack.id == name]
    return here[-1] if here else builtin_pack(name)


def _selects(pack: RulePack, rule: Rule) -> bool:
    return any(selected.id == rule.id for selected in pack.rules)


def _text(wording: Wording, lang: Language) -> str:
    return wording.zh if lang is Language.ZH else wording.en


def _facts(rule: Rule) -> Mapping[str, Any]:
    """A rule for machines."""
    return {
        "id": rule.id,
        "phases": sorted(rule.phases),
        "articles": {name: list(own) for name, own in rule.articles.items()},
        "message": {"en": rule.message.en, "zh": rule.message.zh},
        "remedy": {"en": rule.remedy.en, "zh": rule.remedy.zh},
        "requires": {level: predicate.words() for level, predicate in rule.requires.items()},
        "facts": {
            level: sorted(fact.name for fact in predicate.facts())
            for level, predicate in rule.requires.items()
        },
    }


def _policy_facts(policy: Policy) -> Mapping[str, Any]:
    """A merged policy for machines."""
    return {
        "digest": policy.digest,
        "packs": dict(policy.packs),
        "thresholds": {
            name: {
                "value": sorted(item.value) if isinstance(item.value, frozenset) else item.value,
                "sources": list(item.sources),
                "ours": item.ours,
            }
            for name, item in policy.thresholds.items()
        },
        "rules": {
            rule_id: {"articles": list(rule.articles), "sources": list(rule.sources)}
            for rule_id, rule in policy.rules.items()
        },
    }


def _value(item: Restriction) -> str:
    value = item.value
    return (", ".join(sorted(value)) or "none") if isinstance(value, frozenset) else str(value)
