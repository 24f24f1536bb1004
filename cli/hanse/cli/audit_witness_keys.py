"""``hanse audit new-witness-key`` and ``hanse audit witness-keys``: a new key, and the chain of all."""

from pathlib import Path
from typing import Annotated

import typer

from hanse.audit.witness_keys import WitnessKeys
from hanse.cli.common import Home, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.client.witness_rotation import chain_file, read_chain, rotate_witness_key
from hanse.crypto.cosigning import CosignerVerifier


def new_witness_key(home: Home = Path(), *, as_json: Json = False) -> None:
    """Give this site's witness a new key, announced by the old one.

    Example: [bold]hanse audit new-witness-key --home brand[/]

    Stop the node first, and do it between runs: agreements pin the key, so each needs an amended version.
    What the old key co-signed stays valid. Afterwards hand identity.json and keys/witness-keys.json to the
    others. They check the chain with `hanse audit witness-keys`, enrol the identity again and sign the
    amended agreement.
    """
    site = MemberHome(home)
    chain = rotate_witness_key(site, utc_now())
    if as_json:
        print_json(_described(chain))
        return
    say(f"the witness's key is now {chain.keys[-1].name}+{chain.keys[-1].key_id}")
    say(f"hand {site.identity} and {chain_file(site)} to the others; amend the agreements with the old key")


def witness_keys(
    file: Annotated[
        Path,
        typer.Argument(help="witness-keys.json, received from the witness.", exists=True, dir_okay=False),
    ],
    pinned: Annotated[
        str, typer.Option(help="A key of this witness that you know from elsewhere, as from the agreement.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Check that the keys of a witness announced each other, from one that you know.

    Example: [bold]hanse audit witness-keys witness-keys.json --pinned brand-witness+0a1b2c3d+Bh…[/]

    With --json it also prints the lines by which a trust policy (C2SP tlog-policy) takes any of the keys as
    this one witness. A chain proves nothing about a key that was stolen: whoever has it can announce another.
    """
    chain = read_chain(file)
    known = CosignerVerifier.decode(pinned)
    chain.verifiers(known)
    if as_json:
        print_json(_described(chain) | {"policy": chain.policy_lines(known.name, known)})
        return
    announced = ["first", *(at.isoformat() for at in chain.times)]
    rows = [
        (key.key_id, key.algorithm, at, "in use" if key == chain.keys[-1] else "replaced")
        for key, at in zip(chain.keys, announced, strict=True)
    ]
    console().print(table(f"keys of {known.name}", ("key id", "algorithm", "announced", "state"), rows))


def _described(chain: WitnessKeys) -> dict[str, object]:
    return {"keys": [key.encode() for key in chain.keys], "announced": [at.isoformat() for at in chain.times]}
