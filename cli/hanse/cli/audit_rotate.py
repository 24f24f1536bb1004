"""``hanse audit rotate-key``: a new key for a site and its log, and what has to follow from that."""

from pathlib import Path
from typing import NamedTuple

from hanse.cli.audit_sources import signed_agreements
from hanse.cli.common import Home, site_files, utc_now
from hanse.cli.output import Json, console, print_json, say, table
from hanse.client.home import MemberHome
from hanse.policies import Agreement, Identity, read_unverified
from hanse.policies.site_key import Rotation, rotate_site_key


class Affected(NamedTuple):
    """An agreement that names the old key.

    Attributes:
        id: Its short name.
        version: Its version.
        digest: SHA-256 of its text.
    """

    id: str
    version: int
    digest: str


def rotate_key(home: Home = Path(), *, as_json: Json = False) -> None:
    """Give this site a new key, under which its log goes on: the old key signs for the new one.

    Example: [bold]hanse audit rotate-key --home hub[/], then at every member, who compares the key id over
    another channel: [bold]hanse enrol --replace --home brand hub/identity.json[/]

    Stop the site's processes first, and do it between runs. The key is the site's identity, which agreements
    pin: until an amended version names the new key, no run of them starts. Everything that the old key signed
    stays valid: logs, checkpoints, packages, receipts, models. Interrupted anywhere, the site goes on, and
    the same command finishes what it began.
    """
    identity = Identity.load(MemberHome(home).identity)
    # The role of a log's first entry tells whether it is a coordinator's.
    role = "coordinator" if identity.role == "coordinator" else "operator"
    made = rotate_site_key(site_files(home), role, utc_now)
    affected = naming(home, made.old.encode())
    if as_json:
        print_json(
            {
                "log": made.new.name,
                "entry": made.entry,
                "old_key": made.old.encode(),
                "new_key": made.new.encode(),
                "old_key_file": str(made.kept),
                "hand_out": str(MemberHome(home).identity),
                "to_amend": [one._asdict() for one in affected],
            }
        )
        return
    _tell(home, identity.role, made, affected)


def naming(home: Path, key: str) -> list[Affected]:
    """The agreements of a site, newest version of each, that name a key.

    Args:
        home: The site's folder.
        key: Verifier key of a member or of the coordinator.
    """
    newest: dict[str, Agreement] = {}
    for note in signed_agreements(home).values():
        agreement = read_unverified(note)
        if agreement.version >= newest.get(agreement.id, agreement).version:
            newest[agreement.id] = agreement
    return [
        Affected(one.id, one.version, one.digest)
        for _, one in sorted(newest.items())
        if key in (one.coordinator.key, *(member.node_key for member in one.members))
    ]


def _tell(home: Path, role: str, made: Rotation, affected: list[Affected]) -> None:
    say(f"the key of {made.new.name} is now {made.new.key_id}; entry {made.entry} of its log says so")
    say(f"  new: {made.new.encode()}")
    say(f"  old: {made.old.encode()}")
    if affected:
        rows = [(one.id, one.version, one.digest) for one in affected]
        title = "No run of these starts until an amended version names the new key"
        console().print(table(title, ("agreement", "version", "digest"), rows))
    say("What to do now:")
    for number, step in enumerate(_steps(home, made, role), start=1):
        say(f"  {number}. {step}")


def _steps(home: Path, made: Rotation, role: str) -> list[str]:
    identity, others = MemberHome(home).identity, "the coordinator and the other members"
    who = "every member and auditor" if role == "coordinator" else others
    amend = (
        "amend each agreement that names the old key, at a member: hanse agreement amend FILE --home HOME; "
        "every member signs it"
    )
    return [
        f"hand {identity} to {who}; tell them the key id {made.new.key_id} over another channel",
        "each of them: hanse enrol --replace identity.json, and restart of the node",
        *([] if role == "auditor" else [amend]),
        "start this site again and make a new backup: hanse audit backup",
        f"then delete {made.kept}: it is needed only to restore a backup from before",
        "keep telling reviewers the old key beside the new one: either verifies the whole log",
    ]
