"""What an operator tells the scorer."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanse.audit.event import PeerName
from hanse.server.scoring.operation import Operation
from hanse.server.scoring.vertical.settings import PartnerSettings
from hanse.server.site_settings import SiteSettings

ReplicaName = Annotated[str, Field(pattern=r"^([a-z]+([._-][a-z]+)*)?$", max_length=40)]
"""It becomes part of a role in the audit log, which has no digits; empty for who is alone."""
WithdrawalBound = Annotated[float, Field(ge=0.05, le=60)]
CallsPerCaller = Annotated[int, Field(ge=1, le=65_536)]


class RegistrySettings(BaseModel):
    """Where a scorer finds which versions of a model it serves.

    Attributes:
        model: Name of the model.
        decisions: Folder of the signed decisions.
        approver: Verifier key (text form) of the approver, who decides beside the auditor.
        models: Folder of the model versions.
        agreements: Folder of the agreements, by digest.
        coordinators: Verifier keys (text form) of the coordinator, the one in use first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    decisions: Path
    approver: str
    models: Path
    agreements: Path
    coordinators: Annotated[tuple[str, ...], Field(min_length=1)]


class ScoringSettings(SiteSettings):
    """Settings of one scorer of one member.

    Attributes:
        registry: Serve the versions that were decided on, as that changes; the three below are not looked at.
        model: Folder of the model version: weights and signed manifest.
        registry_key: Verifier key (text form) of the coordinator that registers models.
        agreement: The signed agreement, a signed note.
        replica: Name of this scorer among several of the member, in letters; entries of the log name it.
        withdrawal_bound_s: No score leaves later than so many seconds after a withdrawal was committed; what
            cannot be answered within that is decided again.
        calls_per_caller: Calls of one caller that may be under way at a time.
        callers: Certificate file (PEM) by caller name. A connection with any other certificate is refused.
        tls_key: Secret file; PEM key of the server certificate.
        tls_certificate: PEM server certificate.
        subject_sets: Sets of subjects that the site has admitted to runs; None if it keeps none.
        operators: Callers that may take the model out of service and into it again.
        maximum_rows: Most subjects in one call.
        remembered_subjects: Of so many subjects, named by callers, decisions are kept in memory at most, per
            agreement; about 500 bytes for each. 0 keeps none and reads the ledger for every subject.
        maximum_message_bytes: Largest request; gRPC refuses larger ones unread.
        partners: Of a vertical model, where the others' parts are; None for a model that needs nobody else.
        operation: Bounds, and what the scorer tells.
        dangerously_insecure: Serve in plaintext, on a loopback address only. Nobody proves who they are
            then, so every call counts as coming from the one caller that must be configured.
    """

    registry: RegistrySettings | None = None
    model: Path = Path()
    registry_key: str = ""
    agreement: Path = Path()
    replica: ReplicaName = ""
    withdrawal_bound_s: WithdrawalBound = 1.0
    calls_per_caller: CallsPerCaller = 128
    callers: Annotated[Mapping[PeerName, Path], Field(min_length=1)]
    subject_sets: Path | None = None
    operators: tuple[PeerName, ...] = ()
    tls_key: Path | None = None
    tls_certificate: Path | None = None
    maximum_rows: int = Field(default=4096, ge=1, le=65536)
    remembered_subjects: int = Field(default=1_000_000, ge=0, le=100_000_000)
    maximum_message_bytes: int = Field(default=16 * 2**20, ge=1024, le=256 * 2**20)
    partners: PartnerSettings | None = None
    operation: Operation = Operation()
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
