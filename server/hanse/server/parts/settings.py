"""What an operator tells the service of a part."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from hanse.learning.vertical.serving.messages import MAX_KEEP_S


class PartSettings(BaseModel):
    """Settings of one service: one part, one agreement, one feature holder.

    Attributes:
        address: ``host:port`` to listen on; port 0 takes a free one.
        part: Folder of the part.
        agreement: The signed agreement, a signed note.
        packs: Folder of the rule packs that the member has adopted.
        auditor: Public key file of the auditor, who adopted them beside the approver.
        consent_ledger: The member's consent ledger, a file.
        consent_url: The member's consent ledger, a database; the file is not looked at then.
        pseudonym_key: Secret file; turns identifiers into the ledger's pseudonyms.
        log: The member's audit log: a file, or the URL of a database.
        signing_key: Secret file; the member's node key, which the agreement names and the log is signed with.
        label_holder: Certificate file (PEM) of the label holder; every other connection is refused.
        tls_key: Secret file; PEM key of this service's certificate.
        tls_certificate: PEM certificate; the label holder pins it.
        keep_s: For how long the label holder may keep answers, seconds; never longer than is agreed.
        watch_s: How often the consent ledger is looked at for changes, seconds.
        grace_s: How long running calls may take to finish after a stop signal, seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$")
    part: Path
    agreement: Path
    packs: Path
    auditor: Path
    consent_ledger: Path
    consent_url: str | None = None
    pseudonym_key: Path
    log: Path | str
    signing_key: Path
    label_holder: Path
    tls_key: Path
    tls_certificate: Path
    keep_s: int = Field(default=30, ge=0, le=MAX_KEEP_S)
    watch_s: float = Field(default=0.05, gt=0, le=5)
    grace_s: float = Field(default=5.0, ge=0, le=300)

    @property
    def quotas(self) -> Path | str:
        """The record of quotas, which scorers and parts of a member share: see ``hanse quota``."""
        return self.consent_url or self.consent_ledger.with_name("quota.db")
