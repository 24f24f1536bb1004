"""Certificates of a federation (X.509, RFC 5280) and the keys that Flower's nodes prove themselves with.

The coordinator has an authority of its own that signs its servers' certificates and nothing else. Members and
callers make their own, self-signed client certificates, and each server pins those it was told of: whoever
holds the authority can therefore not make itself a member.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hanse.errors import ConfigurationError, IdentityError

_CLOCK_SKEW: Final = timedelta(minutes=5)  # the peer's clock may be this much behind ours
_MAX_NAME_LENGTH: Final = 64  # RFC 5280, upper bound of a common name


def make_authority(name: str, now: datetime, days: int) -> tuple[bytes, bytes]:
    """Makes the authority of a coordinator; it can sign server certificates only.

    Args:
        name: Common name, at most 64 characters.
        now: Time zone aware.
        days: How long it is valid.

    Returns:
        Private key (PKCS #8) and certificate, PEM. The key is a secret.

    Raises:
        ConfigurationError: ``config.invalid`` if the name or the period is not valid.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = (
        _builder(key, subject, now, days)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )
    return _pem(key), builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def make_server_certificate(
    authority_key_pem: bytes, authority_cert_pem: bytes, hosts: Sequence[str], now: datetime, days: int
) -> tuple[bytes, bytes]:
    """Makes a server's key and has the authority sign its certificate.

    Args:
        authority_key_pem: From :func:`make_authority`.
        authority_cert_pem: From :func:`make_authority`.
        hosts: DNS names and IP addresses that clients connect to, at least one.
        now: Time zone aware.
        days: How long it is valid.

    Returns:
        Private key (PKCS #8) and certificate, PEM. The key is a secret.

    Raises:
        ConfigurationError: ``config.invalid`` if a host or the period is not valid.
        IdentityError: ``identity.bad-key`` if the authority's key and certificate do not belong together.
    """
    authority_key, authority = _load_authority(authority_key_pem, authority_cert_pem)
    if not hosts:
        raise ConfigurationError("config.invalid", "a server certificate names at least one host")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(key, _subject(hosts[0][:_MAX_NAME_LENGTH]), now, days)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    return _pem(key), builder.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def make_client_certificate(name: str, now: datetime, days: int) -> tuple[bytes, bytes]:
    """Makes the self-signed certificate of a member or caller, for others to pin.

    Args:
        name: Common name, at most 64 characters.
        now: Time zone aware.
        days: How long it is valid.

    Returns:
        Private key (PKCS #8) and certificate, PEM. The key is a secret.

    Raises:
        ConfigurationError: ``config.invalid`` if the name or the period is not valid.
    """
    return _self_signed(name, now, days, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))


def make_pinned_certificate(name: str, host: str, now: datetime, days: int) -> tuple[bytes, bytes]:
    """Makes the self-signed certificate of a server that its few clients pin.

    Args:
        name: Common name, at most 64 characters.
        host: The name in it that clients expect, wherever they connect to.
        now: Time zone aware.
        days: How long it is valid.

    Returns:
        Private key (PKCS #8) and certificate, PEM. The key is a secret.

    Raises:
        ConfigurationError: ``config.invalid`` if a name or the period is not valid.
    """
    hosts = x509.SubjectAlternativeName([_host(host)])
    return _self_signed(name, now, days, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), hosts)


def _self_signed(name: str, now: datetime, days: int, *extensions: x509.ExtensionType) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = (
        _builder(key, subject, now, days)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return _pem(key), builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def fingerprint(cert_pem: bytes) -> str:
    """What a certificate is pinned by.

    Args:
        cert_pem: A certificate, PEM.

    Returns:
        SHA-256 of its DER form, 64 hex digits.

    Raises:
        IdentityError: ``identity.bad-key`` if it is not a certificate.
    """
    return _load_certificate(cert_pem).fingerprint(hashes.SHA256()).hex()


def certificate_end(cert_pem: bytes) -> datetime:
    """The moment after which a certificate is no longer valid.

    Args:
        cert_pem: The certificate, PEM.

    Returns:
        The time, aware, UTC.

    Raises:
        IdentityError: ``identity.bad-key`` if it is no certificate.
    """
    return _load_certificate(cert_pem).not_valid_after_utc


def make_flower_key() -> tuple[bytes, bytes]:
    """Makes the EC P-384 key pair that a Flower SuperNode authenticates itself with.

    Returns:
        Private key (OpenSSH, a secret) and public key (one line, OpenSSH).
    """
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _builder(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, now: datetime, days: int
) -> x509.CertificateBuilder:
    """What all our certificates have in common."""
    if now.tzinfo is None or days < 1:
        raise ConfigurationError("config.invalid", "a certificate needs an aware time and at least one day")
    try:
        end = now + timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
    except (OverflowError, ValueError) as error:
        raise ConfigurationError("config.invalid", "the validity of a certificate is out of range") from error


def _subject(name: str) -> x509.Name:
    """A subject with only a common name."""
    if not 1 <= len(name) <= _MAX_NAME_LENGTH or not name.isprintable():
        raise ConfigurationError(
            "config.invalid", f"a certificate's name has 1 to {_MAX_NAME_LENGTH} printable characters"
        )
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    """A DNS name or an IP address."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise ConfigurationError("config.invalid", f"{host!r} is not a host name") from error


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    """Signing certificates, or signing handshakes; never both."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_authority(key_pem: bytes, cert_pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The authority, if key and certificate belong together."""
    certificate = _load_certificate(cert_pem)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise IdentityError(
            "identity.bad-key", "the authority's key is not an unencrypted PEM key"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise IdentityError("identity.bad-key", "the authority's key does not belong to its certificate")
    return key, certificate


def _load_certificate(cert_pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(cert_pem)
    except ValueError as error:
        raise IdentityError("identity.bad-key", "not a certificate in PEM") from error
