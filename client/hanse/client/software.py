"""Which software a member runs: one digest over the source of everything that touches its data.

An agreement names this digest. A node refuses an agreement that names another, so that what the data
protection officers read and signed is what runs, at every member.
"""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import hanse

# What runs at a member. The coordinator's and the demonstration's code are not part of it.
PARTS = ("alignment", "api", "audit", "client", "crypto", "errors", "learning", "policies", "privacy", "settings")


def software_version() -> str:
    """Version of the installed distribution."""
    return version("hanse")


@functools.cache
def software_digest() -> str:
    """SHA-256 over name and content of every Python file of :data:`PARTS`, lower-case hex."""
    digest = hashlib.sha256()
    for name, path in sorted(_files()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files() -> list[tuple[str, Path]]:
    folders = [Path(root) / part for root in hanse.__path__ for part in PARTS]
    return [
        (path.relative_to(folder.parent).as_posix(), path)
        for folder in folders
        for path in folder.rglob("*.py")
    ]
