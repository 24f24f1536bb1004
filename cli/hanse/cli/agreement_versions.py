"""``hanse agreement diff``, ``amend``, ``accept``, ``terminate``, ``attest``: an agreement over time."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.audit import Event, EventType
from hanse.cli.agreement_files import File, read_agreement, said
from hanse.cli.common import Home, member_log, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.cli.policy import Lang, Language
from hanse.client.drafting import known_identities
from hanse.client.home import MemberHome
from hanse.client.packs import policy_of
from hanse.client.versions import AgreementBook
from hanse.crypto import SigningKey, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import Identity, Wording, open_agreement, require_known, require_no_gap
from hanse.policies.agreement.amendment import amend, with_keys
from hanse.policies.agreement.diff import Change, diff_agreements, invalidated
from hanse.policies.agreement.effects import Effect
from hanse.policies.agreement.termination import Attestation, Termination, attest, terminate

GROUPS = {
    Effect.WIDENS: Wording("does more with people's data", "扩大对个人信息的处理"),
    Effect.NARROWS: Wording("does less with people's data", "缩小对个人信息的处理"),
    Effect.NEUTRAL: Wording("changes nothing for people", "对个人无影响"),
}


def diff(
    old: Annotated[Path, typer.Argument(help="Version that is in force.", exists=True, dir_okay=False)],
    new: Annotated[Path, typer.Argument(help="Version that is proposed.", exists=True, dir_okay=False)],
    lang: Lang = Language.EN,
    *,
    as_json: Json = False,
) -> None:
    """Say in words what another version of an agreement changes, and which consents it makes void.

    Example: [bold]hanse agreement diff deal.agreement next.yaml[/]

    Changes are grouped: what does more with people's data, what does less, and what is the same to them.
    """
    changes = diff_agreements(read_agreement(old), read_agreement(new))
    if as_json:
        rules = sorted(invalidated(changes))
        print_json({"changes": [_change(change) for change in changes], "consent_anew": rules})
        return
    for effect in Effect:
        rows = [(change.where, said(change.text, lang)) for change in changes if change.effect is effect]
        if rows:
            title = f"{said(GROUPS[effect], lang)} ({len(rows)})"
            console().print(table(title, ("where", "change"), rows))
    say(_summary(changes, lang))


def _change(change: Change) -> dict[str, object]:
    return {
        "where": change.where,
        "effect": change.effect,
        "text": {"en": change.text.en, "zh": change.text.zh},
        "consent_anew": list(change.anew),
    }


def _summary(changes: tuple[Change, ...], lang: Language) -> str:
    if not changes:
        return said(Wording("the two are the same", "两者相同"), lang)
    rules = ", ".join(sorted(invalidated(changes)))
    if not rules:
        return said(Wording("no consent has to be given anew", "无须重新取得同意"), lang)
    return said(
        Wording(
            f"consents given before may no longer suffice by {rules}: whom they leave out is not used until "
            "asked "
            "anew",
            f"依{rules}，此前的同意可能不再足够：相关个人在重新取得同意之前不予使用",
        ),
        lang,
    )


def amend_file(
    file: File,
    out: Annotated[Path, typer.Option(help="YAML file to write.")] = Path("next.yaml"),
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            "-C",
            help="Folder of a member: name the keys that the parties have now, as enrolled there.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write the next version of an agreement, with the same content, for somebody to change.

    Example: [bold]hanse agreement amend deal.agreement --out next.yaml[/]

    Example, after a party changed a key: [bold]hanse agreement amend deal.agreement --home brand[/]

    It names the version before by its digest. A member takes it only if that is the one that it has accepted.
    """
    before = read_agreement(file)
    agreement = amend(before)
    if home is not None:
        agreement = with_keys(agreement, _trusted(MemberHome(home)))
    if out.exists():
        raise ConfigurationError("config.exists", f"{out} exists; name another file")
    write_atomic(out, agreement.to_yaml().encode())
    if as_json:
        changes = [change.where for change in diff_agreements(before, agreement)]
        facts = {"version": agreement.version, "supersedes": agreement.supersedes, "changed": changes}
        print_json({"file": str(out), **facts})
        return
    say(f"wrote {out}, version {agreement.version}. Change it; then: hanse agreement diff {file} {out}")


def accept(
    file: Annotated[
        Path, typer.Argument(help="The agreement that every member has signed.", exists=True, dir_okay=False)
    ],
    home: Home = Path(),
    *,
    as_json: Json = False,
) -> None:
    """Make a version the accepted one at this member: an older one no longer runs here.

    Example: [bold]hanse agreement accept deal.agreement --home brand[/]

    A run accepts its version by itself. A run that goes on meanwhile ends as it began, under its own version.
    """
    site = MemberHome(home)
    signed = open_agreement(file.read_bytes())
    trusted = _trusted(site)
    require_known(signed.agreement, trusted)
    require_no_gap(signed.agreement, policy_of(site, signed.agreement), utc_now())
    book = AgreementBook(site, trusted)
    book.check(signed.agreement)
    event = Event(
        type=EventType.AGREEMENT_ACCEPTED,
        agreement=signed.digest,
        purpose=signed.agreement.purpose,
        decision="permit",
    )
    member_log(site, "approver").append(event)
    book.accept(signed.agreement)
    if as_json:
        print_json({"version": signed.agreement.version, "digest": signed.digest})
        return
    say(f"version {signed.agreement.version} of {signed.agreement.id} is accepted here")


def terminate_agreement(
    file: Annotated[
        Path,
        typer.Argument(
            help="The agreement to end, or the note by which another member ended it.",
            exists=True,
            dir_okay=False,
        ),
    ],
    reason: Annotated[str | None, typer.Option(help="Why it ends; one line.")] = None,
    home: Home = Path(),
    out: Annotated[
        Path | None, typer.Option(help="Note to write; default: the input with the ending .terminated.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """End an agreement at once and for good, or take in the note by which another member ended it.

    Example: [bold]hanse agreement terminate deal.agreement --reason "The campaign is over" --home brand[/],
    then pass deal.terminated on: [bold]hanse agreement terminate deal.terminated --home insurer[/]

    A member that holds the note refuses to run any version, a running one at its next step.
    """
    site = MemberHome(home)
    book = AgreementBook(site, _trusted(site))
    data = file.read_bytes()
    target: Path | None = None
    if data.startswith(Termination.header.encode()):
        if reason is not None or out is not None:
            raise ConfigurationError(
                "config.invalid", "a note is taken in as it is, without --reason and --out"
            )
    else:
        if reason is None:
            raise ConfigurationError("config.invalid", "say why the agreement ends: --reason")
        agreement = read_agreement(file)
        statement = terminate(agreement, Identity.load(site.identity).name, reason, utc_now())
        data = statement.sign(SigningKey.load(site.approver_key))
        target = out or file.with_suffix(".terminated")
    termination = Termination.open(data, _trusted(site))
    event = Event(type=EventType.AGREEMENT_TERMINATED, agreement=termination.digest, peer=termination.member)
    member_log(site, "approver").append(event)
    book.keep_termination(data)
    if target is not None:
        write_atomic(target, data)
    if as_json:
        facts = termination.model_dump(mode="json")
        print_json({**facts, "file": None if target is None else str(target)})
        return
    after = "" if target is None else f" Hand {target} to the others, who take it in with the same command."
    say(f"{termination.member} has ended {termination.agreement}; nothing of it runs here any more.{after}")


def attest_end(
    file: Annotated[
        Path,
        typer.Argument(
            help="The agreement that has ended, or the attestation of another member.",
            exists=True,
            dir_okay=False,
        ),
    ],
    home: Home = Path(),
    out: Annotated[
        Path | None, typer.Option(help="Note to write; default: the input with the ending .attestation.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Attest, as an entrusted member, that data was deleted or returned as the contract says; or check that.

    Example: [bold]hanse agreement attest deal.agreement --home mailer[/], then at the others:
    [bold]hanse agreement attest deal.attestation --home brand[/]

    Delete or return first: this signs a statement, and does nothing to any data.
    """
    site = MemberHome(home)
    book = AgreementBook(site, _trusted(site))
    data = file.read_bytes()
    target: Path | None = None
    if not data.startswith(Attestation.header.encode()):
        agreement = read_agreement(file)
        statement = attest(agreement, Identity.load(site.identity).name, utc_now(), book.terminations())
        data = statement.sign(SigningKey.load(site.approver_key))
        target = out or file.with_suffix(".attestation")
    attestation = book.open_attestation(data)
    event = Event(type=EventType.AGREEMENT_ATTESTED, agreement=attestation.digest, peer=attestation.member)
    member_log(site, "approver").append(event)
    if target is not None:
        write_atomic(target, data)
    if as_json:
        print_json({**attestation.model_dump(mode="json"), "file": None if target is None else str(target)})
        return
    done = "deleted" if attestation.done == "delete" else "returned"
    say(
        f"{attestation.attested_by} attests that {attestation.member} has {done} the data of "
        f"{attestation.agreement}"
    )
    if target is not None:
        say(f"wrote {target}; hand it to the others")


def _trusted(site: MemberHome) -> dict[str, Identity]:
    return {identity.name: identity for identity in known_identities(site)}
