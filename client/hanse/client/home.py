"""Where a member keeps what: one folder, made by ``hanse init``, nothing of it elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from hanse.policies.site_key import SiteFiles


@dataclass(frozen=True, slots=True)
class MemberHome:
    """The paths below a member's folder."""

    root: Path

    @property
    def settings(self) -> Path:
        """Settings of the node, the data set and the scorer."""
        return self.root / "hanse.toml"

    @property
    def identity(self) -> Path:
        """The public identity, to be handed to the other members and the coordinator."""
        return self.root / "identity.json"

    @property
    def peers(self) -> Path:
        """Public identities of the others, received once and trusted from then on."""
        return self.root / "peers"

    @property
    def authority(self) -> Path:
        """Certificate that the coordinator's certificate chains to; from the coordinator's identity."""
        return self.root / "peers" / "authority.crt"

    @property
    def node_key(self) -> Path:
        """Signs the node's replies and its log."""
        return self.root / "keys" / "node.key"

    def site_files(self) -> SiteFiles:
        """What a change of the node key touches."""
        return SiteFiles(self.node_key, self.identity, self.log)

    @property
    def approver_key(self) -> Path:
        """Signs agreements; the data-protection officer's, kept elsewhere where that is another person."""
        return self.root / "keys" / "approver.key"

    @property
    def witness_key(self) -> Path:
        """Co-signs the coordinator's log."""
        return self.root / "keys" / "witness.key"

    @property
    def auditor_key(self) -> Path:
        """Signs rule packs beside the approver; the auditor's, kept elsewhere as that is another person."""
        return self.root / "keys" / "auditor.key"

    @property
    def auditor_verifier(self) -> Path:
        """The public half of the auditor's key; stays here when the key is kept elsewhere."""
        return self.root / "keys" / "auditor.pub"

    @property
    def packs(self) -> Path:
        """Rule packs that this site has adopted, signed by approver and auditor."""
        return self.root / "packs"

    @property
    def flower_key(self) -> Path:
        """Authenticates the node to Flower."""
        return self.root / "keys" / "flower.key"

    @property
    def tls_key(self) -> Path:
        """Key of the client certificate."""
        return self.root / "keys" / "tls.key"

    @property
    def tls_certificate(self) -> Path:
        """Client certificate, self-signed; the others pin it."""
        return self.root / "keys" / "tls.crt"

    @property
    def pseudonym_key(self) -> Path:
        """Turns identifiers into this site's pseudonyms."""
        return self.root / "keys" / "pseudonym.key"

    @property
    def serving_key(self) -> Path:
        """Key of the scorer's server certificate."""
        return self.root / "keys" / "serving.key"

    @property
    def serving_certificate(self) -> Path:
        """The scorer's server certificate."""
        return self.root / "keys" / "serving.crt"

    @property
    def serving_authority(self) -> Path:
        """What callers of the scorer trust."""
        return self.root / "keys" / "serving-authority.crt"

    @property
    def part_key(self) -> Path:
        """Key of the certificate with which this site answers a label holder about people who are scored."""
        return self.root / "keys" / "part.key"

    @property
    def part_certificate(self) -> Path:
        """That certificate; the label holder takes it from the link."""
        return self.root / "keys" / "part.crt"

    @property
    def link(self) -> Path:
        """Where this site answers, for the label holder; signed, nothing in it is secret."""
        return self.root / "part.link"

    @property
    def log(self) -> Path:
        """The site's own audit log."""
        return self.root / "state" / "audit.db"

    @property
    def consent(self) -> Path:
        """The consent ledger."""
        return self.root / "state" / "consent.db"

    @property
    def quotas(self) -> Path:
        """What callers of the scorers have had of their quotas; setting it back begins the day anew."""
        return self.root / "state" / "quota.db"

    @property
    def subject_sets(self) -> Path:
        """The sets of admitted subjects that the site has committed to, kept to answer subjects."""
        return self.root / "state" / "subject-sets"

    @property
    def privacy(self) -> Path:
        """The privacy ledger."""
        return self.root / "state" / "privacy.db"

    @property
    def run(self) -> Path:
        """What the node keeps of the run that goes on; it must never be set back."""
        return self.root / "state" / "run.json"

    @property
    def left(self) -> Path:
        """Runs that this site has left for good; it must never be set back."""
        return self.root / "state" / "left"

    @property
    def witness(self) -> Path:
        """What this site's witness has co-signed; it must never be set back."""
        return self.root / "state" / "witness.db"

    @property
    def evidence(self) -> Path:
        """Checkpoints of the coordinator's log that this site's witness has refused."""
        return self.root / "state" / "evidence"

    @property
    def alignments(self) -> Path:
        """Which sets this site has aligned before; it must never be set back."""
        return self.root / "state" / "alignments.db"

    @property
    def flower_state(self) -> Path:
        """What Flower itself may write."""
        return self.root / "state" / "flower"

    @property
    def agreements(self) -> Path:
        """Signed agreements that this site ran, by digest."""
        return self.root / "agreements"

    @property
    def accepted(self) -> Path:
        """The accepted version of every agreement, one file each."""
        return self.root / "state" / "accepted"

    @property
    def terminations(self) -> Path:
        """Notes by which members ended agreements."""
        return self.root / "state" / "terminations"

    @property
    def audits(self) -> Path:
        """How well this site's rows can be recognised in the models that it helped to make, by run."""
        return self.root / "audits"

    @property
    def parts(self) -> Path:
        """This site's parts of vertical models, by name and version."""
        return self.root / "parts"

    @property
    def serving(self) -> Path:
        """What was decided about which model versions are served, and the gate before that."""
        return self.root / "serving"

    @property
    def models(self) -> Path:
        """Registered model versions that this site fetched."""
        return self.root / "models"
