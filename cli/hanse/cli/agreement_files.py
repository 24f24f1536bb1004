"""Agreements and rule packs as the ``hanse agreement`` commands read them."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.policy import Language
from hanse.client.home import MemberHome
from hanse.client.packs import adopted, policy_of
from hanse.errors import PolicyError
from hanse.policies import (
    BUILTIN,
    HEADER,
    Agreement,
    Policy,
    Wording,
    merge,
    missing_signers,
    read_unverified,
    resolve,
)

File = Annotated[
    Path, typer.Argument(help="Agreement: YAML, or the signed file.", exists=True, dir_okay=False)
]

AnyHome = Annotated[
    Path | None,
    typer.Option(
        "--home", "-C", envvar="HANSE_HOME", help="Folder of a member, whose adopted rule packs then count."
    ),
]


def read_agreement(path: Path) -> Agreement:
    """Reads YAML or a signed file; the signatures are looked at elsewhere.

    Raises:
        PolicyError: ``policy.invalid`` if it is neither.
    """
    data = path.read_bytes()
    try:
        return read_unverified(data) if is_note(data) else Agreement.from_yaml(data.decode())
    except UnicodeDecodeError as error:
        raise PolicyError("policy.invalid", f"{path} is not UTF-8 text") from error


def is_note(data: bytes) -> bool:
    """Whether the bytes begin as a signed agreement does."""
    return data.startswith(HEADER.encode())


def signatures(agreement: Agreement, data: bytes) -> dict[str, bool]:
    """Per member, whether its approver has signed these exact bytes."""
    missing = missing_signers(data) if is_note(data) else tuple(member.name for member in agreement.members)
    return {member.name: member.name not in missing for member in agreement.members}


def policy_here(agreement: Agreement, home: Path | None) -> Policy:
    """What applies to an agreement at a member; without one, by the built-in packs alone.

    Raises:
        PolicyError: ``policy.pack`` if a pack is not adopted, or not built in.
    """
    if home is None:
        return merge(resolve(agreement.packs, tuple(BUILTIN.values())))
    return policy_of(MemberHome(home), agreement)


def policy_named(agreement: Agreement, home: Path | None) -> Policy:
    """What applies to an agreement at every member: the packs that it names, and no site's own.

    Raises:
        PolicyError: ``policy.pack`` if a pack is neither adopted here nor built in.
    """
    here = () if home is None else adopted(MemberHome(home))
    return merge(resolve(agreement.packs, (*BUILTIN.values(), *here)))


def said(text: Wording, lang: Language) -> str:
    """A text in the language that was asked for."""
    return text.zh if lang is Language.ZH else text.en
