"""What an operator tells the scorer."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanse.audit.event import PeerName


class ScoringSettings(BaseModel):
    """Settings of one scorer: one model version, one agreement, one member.

    Attributes:
        address: ``host:port`` to listen on; port 0 takes a free one.
        model: Folder of the model version: weights and signed manifest.
        registry_key: Verifier key (text form) of the coordinator that registers models.
        agreement: The signed agreement, a signed note.
        packs: Folder of the rule packs that the member has adopted.
        auditor: Public key file of the auditor, who adopted them beside the approver.
        consent_ledger: The member's consent ledger, a file.
        consent_url: The member's consent ledger, a database; the file is not looked at then.
        pseudonym_key: Secret file; turns identifiers into the ledger's pseudonyms.
        log: The member's audit log.
        signing_key: Secret file; the member's node key, which the agreement names and the log is signed with.
        callers: Certificate file (PEM) by caller name. A connection with any other certificate is refused.
        tls_key: Secret file; PEM key of the server certificate.
        tls_certificate: PEM server certificate.
        maximum_rows: Most subjects in one call.
        maximum_message_bytes: Largest request; gRPC refuses larger ones unread.
        grace_s: How long running calls may take to finish after a stop signal, seconds.
        dangerously_insecure: Serve in plaintext, on a loopback address only. Nobody proves who they are
            then, so every call counts as coming from the one caller that must be configured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$")
    model: Path
    registry_key: str
    agreement: Path
    packs: Path
    auditor: Path
    consent_ledger: Path
    consent_url: str | None = None
    pseudonym_key: Path
    log: Path
    signing_key: Path
    callers: Annotated[Mapping[PeerName, Path], Field(min_length=1)]
    tls_key: Path | None = None
    tls_certificate: Path | None = None
    maximum_rows: int = Field(default=4096, ge=1, le=65536)
    maximum_message_bytes: int = Field(default=16 * 2**20, ge=1024, le=256 * 2**20)
    grace_s: float = Field(default=5.0, ge=0, le=300)
    dangerously_insecure: bool = False

    @property
    def host(self) -> str:
        """The address without its port and brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @model_validator(mode="after")
    def _transport(self) -> Self:
        """Mutual TLS, or plaintext that cannot leave the machine."""
        if not self.dangerously_insecure:
            if self.tls_key is None or self.tls_certificate is None:
                raise ValueError("tls_key and tls_certificate are needed")
            return self
        # A host name is no loopback address, not even "localhost": what it resolves to may change.
        if not _is_loopback(self.host):
            raise ValueError("dangerously_insecure needs a loopback address, such as 127.0.0.1")
        if len(self.callers) != 1:
            raise ValueError("dangerously_insecure needs exactly one caller")
        if self.tls_key is not None or self.tls_certificate is not None:
            raise ValueError("dangerously_insecure excludes tls_key and tls_certificate")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
