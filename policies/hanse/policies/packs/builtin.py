"""The rule packs that come with the software. They bind nobody before a site has adopted them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hanse.errors import PolicyError
from hanse.policies.packs.document import RulePack

_FOLDER: Final = Path(__file__).parent / "builtin"

BUILTIN: Final[Mapping[str, RulePack]] = MappingProxyType(
    {
        name: RulePack.from_yaml((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("pipl", "gdpr", "ccpa")
    }
)
"""The packs by identifier, in the order in which articles are cited."""


DEFAULT_PACKS: Final = ("pipl", "gdpr")
"""What a new member adopts, and a new agreement names, unless somebody says otherwise."""


def builtin_pack(name: str) -> RulePack:
    """A pack that comes with the software.

    Args:
        name: Its identifier.

    Returns:
        The pack.

    Raises:
        PolicyError: ``policy.invalid`` if there is none of this name.
    """
    pack = BUILTIN.get(name)
    if pack is None:
        raise PolicyError("policy.invalid", f"no such rule pack; built in are {', '.join(BUILTIN)}")
    return pack
