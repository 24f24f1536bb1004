"""What an operator tells the scorer of a vertical model."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class PartnerSettings(BaseModel):
    """What a label holder's operator tells the scorer of a vertical model.

    Attributes:
        parts: Folder of this site's own parts, by name and version of the model.
        links: Link file of each feature holder, by its name.
        known_by: Keys by which feature holders are enrolled here, beside those of the agreement, by name.
        tls_key: Secret file; key of the certificate by which feature holders know this site.
        tls_certificate: That certificate; the one in this site's identity.
        patience_s: Longest time to wait for a feature holder, seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: Path
    links: Mapping[str, Path] = Field(default_factory=dict)
    known_by: Mapping[str, str] = Field(default_factory=dict)
    tls_key: Path
    tls_certificate: Path
    patience_s: float = Field(default=0.5, gt=0, le=60)
