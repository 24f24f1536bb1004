"""Which software a member runs: one digest over the source of everything that touches its data.

An agreement names this digest. A node refuses an agreement that names another, so that what the data
protection officers read and signed is what runs, at every member.
"""

import functools
import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hanse.errors import ConfigurationError

# What runs at a member. The coordinator's and the demonstration's code are not part of it.
PARTS = (
    "aggregation",
    "alignment",
    "api",
    "audit",
    "client",
    "crypto",
    "enforcement",
    "errors",
    "evidence",
    "exchange",
    "learning",
    "pieces",
    "policies",
    "privacy",
    "scoring",
    "settings",
    "storage",
)

ENDINGS = frozenset({".py", ".yaml"})
"""Python, and the rule packs that come with it."""


def software_version() -> str:
    """Version of the installed distribution."""
    return version("hanse")


@functools.cache
def software_digest() -> str:
    """SHA-256 over name and content of every source file of :data:`PARTS`, lower-case hex.

    Computed once per process, from the files that this process imports its code from.
    """
    digest = hashlib.sha256()
    for part in PARTS:
        folder = _folder(part)
        for path in sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS):
            name = f"{part}/{path.relative_to(folder).as_posix()}"
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _folder(part: str) -> Path:
    """Where Python takes ``hanse.<part>`` from."""
    spec = find_spec(f"hanse.{part}")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("config.invalid", f"this installation lacks hanse.{part}")
    return Path(next(iter(spec.submodule_search_locations)))
