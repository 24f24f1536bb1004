"""What an operator tells every service of a member: where it listens, and what the member has."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SiteSettings(BaseModel):
    """Settings that the scorer and the service of a part have in common.

    Attributes:
        address: ``host:port`` to listen on; port 0 takes a free one.
        packs: Folder of the rule packs that the member has adopted.
        auditor: Public key file of the auditor, who adopted them beside the approver.
        consent_ledger: The member's consent ledger, a file.
        consent_url: The member's consent ledger, a database; the file is not looked at then.
        pseudonym_key: Secret file; turns identifiers into the ledger's pseudonyms.
        log: The member's audit log: a file, or the URL of a database.
        signing_key: Secret file; the member's node key, which the agreement names and the log is signed with.
        grace_s: How long running calls may take to finish after a stop signal, seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$")
    packs: Path
    auditor: Path
    consent_ledger: Path
    consent_url: str | None = None
    pseudonym_key: Path
    log: Path | str
    signing_key: Path
    grace_s: float = Field(default=5.0, ge=0, le=300)

    @property
    def consents(self) -> Path | str:
        """The consent ledger: a file, or the URL of a database."""
        return self.consent_url or self.consent_ledger

    @property
    def quotas(self) -> Path | str:
        """The record of quotas, which a member's services share: beside the ledger, or in its database."""
        return self.consent_url or self.consent_ledger.with_name("quota.db")
