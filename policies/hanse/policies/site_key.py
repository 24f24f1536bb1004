"""The node key of a site, which signs its log too, and how a person replaces it.

One key is the site's identity: agreements pin it (``node_key`` of a member, ``key`` of the coordinator). It
signs the log's checkpoints, a member's replies, statements and receipts, the coordinator's commands and
models, and the manifests of packages. A new key is a new identity, then, which the others enrol and which
agreements have to name (docs/adr/0021-changing-the-log-key.md).

The steps of a change, each of which is on the disk before the next begins:

1. the new key is in ``keys/node-next.key``;
2. the log has the entry ``log.key-rotated``, under a checkpoint that both keys signed: from here on the new
   key is the site's;
3. the old key is in ``keys/former/``, needed only to go on from a backup that was made before;
4. ``identity.json`` names the new key;
5. ``keys/node-next.key`` becomes ``keys/node.key``.

Killed between 1 and 2, the site goes on with the old key, and the next change uses the new one that is there.
Killed after 2, whoever opens the site next takes the remaining steps (:func:`load_site_key`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from hanse.audit import Actor, AuditLog, LogReader
from hanse.audit.backup import require_unused
from hanse.crypto import SigningKey, VerifierKey, unverified_text
from hanse.crypto.checkpoint import parse_checkpoint
from hanse.crypto.files import sync_folder
from hanse.errors import ConfigurationError
from hanse.policies.identity import Identity

NEXT: Final = "node-next.key"
FORMER: Final = "former"


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """Where a site has what a change of its key touches.

    Attributes:
        key: The node key.
        identity: The public identity.
        log: The site's own log: a file, or the URL of a database.
    """

    key: Path
    identity: Path
    log: Path | str

    @property
    def following(self) -> Path:
        """The key that is to come, while it is changed."""
        return self.key.with_name(NEXT)

    @property
    def former(self) -> Path:
        """The folder of the keys that were replaced."""
        return self.key.with_name(FORMER)


class Rotation(NamedTuple):
    """A change of the key.

    Attributes:
        old: The key that was replaced.
        new: The key of the site from now on.
        entry: Index of the entry of the log that says so.
        kept: Where the old key is.
    """

    old: VerifierKey
    new: VerifierKey
    entry: int
    kept: Path


def load_site_key(files: SiteFiles) -> SigningKey:
    """Reads a site's key; first takes the last steps of a change that was interrupted.

    Args:
        files: The site's.

    Returns:
        The key that signs the log.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.insecure-file`` or ``config.unwritable``.
        IdentityError: ``identity.bad-key`` if a file is no key.
        AuditError: ``audit.unavailable`` if the log has to be asked how far a change came and cannot be read.
    """
    _finish(files)
    return SigningKey.load(files.key)


def rotate_site_key(files: SiteFiles, role: str, clock: Callable[[], datetime]) -> Rotation:
    """Replaces the key of a site. A change that was interrupted is finished, and no second one made.

    Args:
        files: The site's. No process may have its log open.
        role: In which role the entry is written.
        clock: The current time, aware.

    Returns:
        What was changed.

    Raises:
        AuditError: ``audit.unavailable`` if a process has the log open or the disk refuses,
            ``audit.integrity`` if the log does not verify under the old key.
        ConfigurationError: As :func:`load_site_key`.
        IdentityError: As :func:`load_site_key`.
    """
    if isinstance(files.log, Path):
        require_unused(files.log)
    for step in rotation_steps(files, role, clock):
        step()
    with LogReader.open(files.log) as reader:
        *_, old, new = reader.keys()
        entry = parse_checkpoint(unverified_text(reader.rotations()[-1])).size - 1
    return Rotation(old, new, entry, _place_of(files, old))


def rotation_steps(files: SiteFiles, role: str, clock: Callable[[], datetime]) -> list[Callable[[], None]]:
    """The steps of the module's docstring, in order; one that was taken already does nothing.

    Args:
        files: As :func:`rotate_site_key`.
        role: As there.
        clock: As there.
    """
    return [partial(_make_next, files), partial(_hand_over, files, role, clock), *_last_steps(files)]


def held_keys(files: SiteFiles) -> tuple[SigningKey, ...]:
    """Every key that a site has: the one in use, one that is to come, and those that were replaced.

    Args:
        files: The site's.

    Raises:
        ConfigurationError: ``config.missing-file``, or ``config.insecure-file`` if others may read one.
        IdentityError: ``identity.bad-key`` if a file is no key.
    """
    coming = [files.following] if files.following.exists() else []
    return tuple(map(SigningKey.load, [files.key, *coming, *sorted(files.former.glob("*.key"))]))


def _last_steps(files: SiteFiles) -> list[Callable[[], None]]:
    return [partial(_keep_old, files), partial(_tell, files), partial(_take, files)]


def _make_next(files: SiteFiles) -> None:
    if not files.following.exists():
        SigningKey.generate(SigningKey.load(files.key).name).save(files.following)


def _hand_over(files: SiteFiles, role: str, clock: Callable[[], datetime]) -> None:
    if _is_handed_over(files):
        return
    old, new = SigningKey.load(files.key), SigningKey.load(files.following)
    actor = Actor(organisation=old.name, key_id=old.verifier.key_id, role=role)
    log = AuditLog.open(files.log, old, actor, clock)
    try:
        log.rotate(new)
    finally:
        log.close()


def _keep_old(files: SiteFiles) -> None:
    old = SigningKey.load(files.key)
    try:
        files.former.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(files.former, error) from error
    if not _place_of(files, old.verifier).exists():
        old.save(_place_of(files, old.verifier))


def _tell(files: SiteFiles) -> None:
    new = SigningKey.load(files.following).verifier.encode()
    Identity.load(files.identity).model_copy(update={"node_key": new}).save(files.identity)


def _take(files: SiteFiles) -> None:
    try:
        files.following.replace(files.key)
        sync_folder(files.key.parent)
    except OSError as error:
        raise _unwritable(files.key, error) from error


def _finish(files: SiteFiles) -> None:
    """Takes the last steps of a change if the log has gone over to the new key."""
    try:
        if files.following.exists() and _is_handed_over(files):
            for step in _last_steps(files):
                step()
    except ConfigurationError:
        if files.following.exists():  # else another process has finished it meanwhile
            raise


def _is_handed_over(files: SiteFiles) -> bool:
    """Whether the log says that the next key signs it. A log that is not there says nothing."""
    if isinstance(files.log, Path) and not files.log.exists():
        return False
    with LogReader.open(files.log) as reader:
        return reader.keys()[-1] == SigningKey.load(files.following).verifier


def _place_of(files: SiteFiles, key: VerifierKey) -> Path:
    return files.former / f"{key.key_id}.key"


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError("config.unwritable", f"cannot write {path}: {error.strerror}")
