"""What the members agreed on, as the protocol needs it."""

import hashlib
from dataclasses import dataclass
from typing import Final

from hanse.crypto import canonical_json
from hanse.errors import ConfigurationError
from hanse.policies.agreement.alignment import AlignmentRules

MOST_IDENTIFIERS: Final = 20_000_000
"""Of one member in one pass."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one alignment.

    Attributes:
        agreement: Digest of the agreement.
        run: Name of the run.
        purpose: What it is for.
        label_holder: The member at the centre of the star.
        members: All of them, the label holder included.
        rules: Of the agreement.
    """

    agreement: str
    run: str
    purpose: str
    label_holder: str
    members: tuple[str, ...]
    rules: AlignmentRules

    def __post_init__(self) -> None:
        if len(set(self.members)) != len(self.members) or len(self.members) < 2:  # noqa: PLR2004
            raise ConfigurationError(
                "config.invalid", "an alignment is between two different members or more"
            )
        if self.label_holder not in self.members:
            raise ConfigurationError(
                "config.invalid", "the label holder of an alignment is one of its members"
            )

    @property
    def feature_holders(self) -> tuple[str, ...]:
        """The other members, in the order of their names."""
        return tuple(sorted(name for name in self.members if name != self.label_holder))

    def stated(self) -> dict[str, str]:
        """What members compare before they begin: the same names and values on both sides."""
        return {
            "agreement": self.agreement,
            "run": self.run,
            "purpose": self.purpose,
            "label_holder": self.label_holder,
            "members": hashlib.sha256(canonical_json(sorted(self.members))).hexdigest(),
            "rules": hashlib.sha256(canonical_json(self.rules.model_dump(mode="json"))).hexdigest(),
        }

    def context(self, position: int) -> bytes:
        """What a pass's hash to the group depends on, 32 bytes: agreement, run, purpose, members, kind.

        Args:
            position: Of the pass's kind in the rules.
        """
        context = canonical_json({**self.stated(), "kind": self.rules.identifiers[position].kind})
        return hashlib.sha256(b"hanse alignment v1 context\0" + context).digest()
