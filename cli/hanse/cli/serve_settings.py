"""Settings of ``hanse serve`` and ``hanse serve-part``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hanse.server.scoring import Operation
from hanse.server.scoring.settings import CallsPerCaller, ReplicaName, WithdrawalBound
from hanse.settings import LayeredSettings


class ServeSettings(LayeredSettings):
    """Section ``[serve]`` of ``hanse.toml``, then ``HANSE_SERVE_*``, then flags.

    Attributes:
        address: ``host:port`` to listen on; port 0 picks a free one.
        callers: Client certificate (PEM file, relative to the folder) per caller name.
        replica: Name of this scorer where the member runs several, in letters; the audit log names it.
        withdrawal_bound_s: No score leaves later than so many seconds after a withdrawal was committed. What
            takes longer is decided again, and everything is refused while the consent ledger cannot be read.
        calls_per_caller: Calls of one caller that may be under way at a time.
        operators: Callers that may take the model out of service, and into it again.
        operation: Bounds, figures and spans; see below.
        partners: Of a vertical model, the link (file, relative to the folder) of each other member, by name.
        patience_s: Longest time that a call waits for another member, seconds. An answer that comes later
            than ``withdrawal_bound_s`` after the question does not count.
        part_address: ``host:port`` at which `hanse serve-part` listens.
        part_public_address: ``host:port`` at which the label holder reaches it; :attr:`part_address` if None.
        part_keep_s: For how long the label holder may keep its answers, seconds; never longer than is agreed.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HANSE_SERVE_", env_nested_delimiter="__"
    )

    address: str = "127.0.0.1:9300"
    callers: dict[str, Path] = Field(default_factory=dict)
    operation: Operation = Operation()
    replica: ReplicaName = ""
    withdrawal_bound_s: WithdrawalBound = 1.0
    calls_per_caller: CallsPerCaller = 128
    operators: tuple[str, ...] = ()
    partners: dict[str, Path] = Field(default_factory=dict)
    patience_s: float = Field(default=0.5, gt=0, le=60)
    part_address: str = "127.0.0.1:9310"
    part_public_address: str | None = None
    part_keep_s: int = Field(default=30, ge=0, le=86_400)
