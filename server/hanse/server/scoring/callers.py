"""Who is calling: client certificates that the site has pinned, by name."""

import functools
from collections.abc import Iterable, Mapping
from typing import Protocol, Self

import grpc

from hanse.crypto import fingerprint
from hanse.errors import ConfigurationError, IdentityError


class Peer(Protocol):
    """The part of a gRPC call that says who is at the other end."""

    def certificates(self) -> Iterable[bytes]:
        """The certificate that the transport has verified, PEM; none where it asks for none."""
        ...


class Callers:
    """The callers of one site.

    Args:
        certificates: PEM certificate by caller name, each a caller's own and self-signed.

    Raises:
        ConfigurationError: ``config.invalid`` if two names share a certificate.
        IdentityError: ``identity.bad-key`` if one is not a certificate.
    """

    def __init__(self, certificates: Mapping[str, bytes]) -> None:
        self._names = {fingerprint(pem): name for name, pem in certificates.items()}
        if len(self._names) != len(certificates):
            raise ConfigurationError("config.invalid", "two callers have the same certificate")
        self._roots = b"\n".join(certificates.values())
        self._everybody: str | None = None
        self._fingerprint = functools.lru_cache(maxsize=256)(fingerprint)

    @classmethod
    def unauthenticated(cls, name: str) -> Self:
        """Everybody counts as one caller: for plaintext on loopback, where nobody proves who they are."""
        callers = cls({})
        callers._everybody = name
        return callers

    def identify(self, peer: Peer) -> str:
        """Name of the caller at the other end.

        The handshake accepts what a pinned certificate has *signed*; this accepts only the pinned
        certificates themselves, so that a caller cannot make further callers.

        Args:
            peer: The call.

        Returns:
            The name that the site gave the caller.

        Raises:
            IdentityError: ``identity.unauthenticated`` for everybody else.
        """
        name = self.known(peer)
        if name is None:
            raise IdentityError(
                "identity.unauthenticated", "the client certificate is not one of the pinned ones"
            )
        return name

    def known(self, peer: Peer) -> str | None:
        """As :meth:`identify`, but None for everybody else."""
        if self._everybody is not None:
            return self._everybody
        for pem in peer.certificates():
            name = self._names.get(self._fingerprint(pem))
            if name is not None:
                return name
        return None

    def credentials(self, key_pem: bytes, certificate_pem: bytes) -> grpc.ServerCredentials:
        """Mutual TLS that admits the pinned certificates.

        Args:
            key_pem: The server's private key.
            certificate_pem: The server's certificate, with its chain.

        Returns:
            Credentials for a listening port.
        """
        return grpc.ssl_server_credentials(
            [(key_pem, certificate_pem)], root_certificates=self._roots, require_client_auth=True
        )
