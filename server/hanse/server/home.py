"""Where the coordinator keeps what: one folder, made by ``hanse init``, nothing of it elsewhere."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CoordinatorHome:
    """The paths below the coordinator's folder."""

    root: Path

    @property
    def settings(self) -> Path:
        """Settings of the server."""
        return self.root / "hanse.toml"

    @property
    def identity(self) -> Path:
        """The public identity, to be handed to every member."""
        return self.root / "identity.json"

    @property
    def peers(self) -> Path:
        """Public identities of enrolled members; a file here lets its node connect."""
        return self.root / "peers"

    @property
    def packs(self) -> Path:
        """Copies of rule packs that agreements name and that do not come with the software."""
        return self.root / "packs"

    @property
    def node_key(self) -> Path:
        """Signs commands, models and the shared log."""
        return self.root / "keys" / "node.key"

    @property
    def authority_key(self) -> Path:
        """Key of the certificate authority; needed only to renew the server certificate."""
        return self.root / "keys" / "authority.key"

    @property
    def authority(self) -> Path:
        """Certificate of the authority."""
        return self.root / "keys" / "authority.crt"

    @property
    def server_key(self) -> Path:
        """Key of the server certificate."""
        return self.root / "keys" / "server.key"

    @property
    def server_certificate(self) -> Path:
        """The server certificate."""
        return self.root / "keys" / "server.crt"

    @property
    def log(self) -> Path:
        """The shared audit log."""
        return self.root / "state" / "audit.db"

    @property
    def agreements(self) -> Path:
        """Accepted agreements, as signed notes."""
        return self.root / "state" / "agreements"

    @property
    def runs(self) -> Path:
        """One folder per run: its events and the weights after each round."""
        return self.root / "state" / "runs"

    @property
    def models(self) -> Path:
        """Registered model versions."""
        return self.root / "models"

    @property
    def flower_state(self) -> Path:
        """What Flower itself writes."""
        return self.root / "state" / "flower"
