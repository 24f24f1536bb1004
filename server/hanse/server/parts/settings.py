"""What an operator tells the service of a part."""

from pathlib import Path

from pydantic import Field

from hanse.learning.vertical.serving.messages import MAX_KEEP_S
from hanse.server.site_settings import SiteSettings


class PartSettings(SiteSettings):
    """Settings of one service: one part, one agreement, one feature holder.

    Attributes:
        part: Folder of the part.
        agreement: The signed agreement, a signed note.
        label_holder: Certificate file (PEM) of the label holder; every other connection is refused.
        tls_key: Secret file; PEM key of this service's certificate.
        tls_certificate: PEM certificate; the label holder pins it.
        keep_s: For how long the label holder may keep answers, seconds; never longer than is agreed.
        watch_s: How often the consent ledger is looked at for changes, seconds.
    """

    part: Path
    agreement: Path
    label_holder: Path
    tls_key: Path
    tls_certificate: Path
    keep_s: int = Field(default=30, ge=0, le=MAX_KEEP_S)
    watch_s: float = Field(default=0.05, gt=0, le=5)
