"""Public identities: what members exchange once, by a channel they trust, and pin from then on."""

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from hanse.crypto import VerifierKey, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies.agreement import Notice
from hanse.policies.fields import Country, Document, Many, Name, PublicKey, Text, WitnessKey, problems

_MAX_IDENTITY_BYTES: Final = 1 << 16
_Block = Annotated[str, Field(min_length=1, max_length=8192)]


class Identity(Document):
    """Who somebody is to the others. Nothing in it is secret.

    Attributes:
        name: Short name, as in agreements.
        organisation: Legal name, as consents name it.
        jurisdiction: Law that it processes under.
        storage_country: Where it keeps data.
        role: ``member``, ``coordinator``, ``caller`` (of scores) or ``auditor`` (of the coordinator's log).
        node_key: Key of its node or service.
        approver_key: Key of its approver; only members have one, and every member does.
        witness_key: Key with which it co-signs the coordinator's log; members and auditors have one.
        tls_certificate: PEM of the certificate it presents, if it connects to others.
        flower_key: OpenSSH form of its Flower node's public key, if it has one.
        notices: Notices that a member's subjects were shown; the consents it asked for rest on them.
    """

    name: Name
    organisation: Text
    jurisdiction: Country
    storage_country: Country
    role: Literal["member", "coordinator", "caller", "auditor"]
    node_key: PublicKey
    approver_key: PublicKey | None = None
    witness_key: WitnessKey | None = None
    tls_certificate: _Block | None = None
    flower_key: _Block | None = None
    notices: Annotated[Many[Notice], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _keys_fit_role(self) -> Self:
        if (self.approver_key is not None) != (self.role == "member"):
            raise PydanticCustomError("approver", "give approver_key to a member, and to nobody else")
        if (self.witness_key is not None) != (self.role in ("member", "auditor")):
            raise PydanticCustomError(
                "witness", "give witness_key to members and auditors, and to nobody else"
            )
        if self.approver_key is not None and _value(self.approver_key) == _value(self.node_key):
            raise PydanticCustomError("approver", "use another key for the approver than for the node")
        return self

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads an identity document.

        Args:
            data: Bytes from anywhere.

        Returns:
            The identity.

        Raises:
            ConfigurationError: ``config.invalid`` naming the field and what to do.
        """
        if len(data) > _MAX_IDENTITY_BYTES:
            raise ConfigurationError("config.invalid", f"an identity has at most {_MAX_IDENTITY_BYTES} bytes")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ConfigurationError("config.invalid", "; ".join(problems(error))) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an identity document from a file.

        Args:
            path: The file.

        Returns:
            The identity.

        Raises:
            ConfigurationError: ``config.missing-file`` or ``config.invalid``.
        """
        try:
            with path.open("rb") as file:
                return cls.parse(file.read(_MAX_IDENTITY_BYTES + 1))
        except OSError as error:
            raise ConfigurationError(
                "config.missing-file", f"cannot read {path}: {error.strerror}"
            ) from error

    def save(self, path: Path) -> None:
        """Writes the document for the others.

        Args:
            path: The file.

        Raises:
            ConfigurationError: ``config.unwritable`` if the file system refuses.
        """
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        write_atomic(path, f"{text}\n".encode())


def _value(key: str) -> bytes:
    return VerifierKey.decode(key).public_bytes
