"""Certificates do in a real handshake what they are for, and nothing else."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from hanse.crypto import (
    fingerprint,
    make_authority,
    make_client_certificate,
    make_flower_key,
    make_server_certificate,
)
from hanse.errors import ConfigurationError, IdentityError

NOW = datetime.now(UTC)
Pair = tuple[bytes, bytes]
Make = Callable[[], Pair]


@pytest.fixture(scope="module")
def authority() -> Pair:
    return make_authority("Hanse coordinator", NOW, 30)


def handshake(folder: Path, server: Pair, client: Pair, *, ca: bytes, pinned: bytes, host: str) -> bytes:
    """Shakes hands over memory buffers; returns the client certificate (DER) that the server saw."""
    contexts = []
    for protocol, (key, cert), roots in [
        (ssl.PROTOCOL_TLS_SERVER, server, pinned),
        (ssl.PROTOCOL_TLS_CLIENT, client, ca),
    ]:
        context = ssl.SSLContext(protocol)
        pair = folder / f"{protocol}.pem"
        pair.write_bytes(key + cert)
        context.load_cert_chain(pair)
        context.load_verify_locations(cadata=roots.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = contexts[0].wrap_bio(up, down, server_side=True)
    client_side = contexts[1].wrap_bio(down, up, server_hostname=host)
    for side in (client_side, server_side) * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = server_side.getpeercert(binary_form=True)
    assert seen is not None
    return seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "coordinator.example"])
def test_mutual_handshake(tmp_path: Path, authority: Pair, host: str) -> None:
    server = make_server_certificate(*authority, ["localhost", "127.0.0.1", "coordinator.example"], NOW, 30)
    client = make_client_certificate("Brand", NOW, 30)
    seen = handshake(tmp_path, server, client, ca=authority[1], pinned=client[1], host=host)
    assert fingerprint(ssl.DER_cert_to_PEM_cert(seen).encode()) == fingerprint(client[1])


def test_handshakes_that_must_fail(tmp_path: Path, authority: Pair) -> None:
    server = make_server_certificate(*authority, ["localhost"], NOW, 30)
    client, stranger = make_client_certificate("Brand", NOW, 30), make_client_certificate("Brand", NOW, 30)
    other = make_authority("Hanse coordinator", NOW, 30)
    expired = make_server_certificate(*authority, ["localhost"], NOW - timedelta(days=9), 3)
    for case in (
        {"server": server, "client": stranger, "ca": authority[1], "pinned": client[1], "host": "localhost"},
        {"server": server, "client": server, "ca": authority[1], "pinned": authority[1], "host": "localhost"},
        {"server": server, "client": client, "ca": authority[1], "pinned": client[1], "host": "elsewhere"},
        {"server": server, "client": client, "ca": other[1], "pinned": client[1], "host": "localhost"},
        {"server": expired, "client": client, "ca": authority[1], "pinned": client[1], "host": "localhost"},
        {"server": client, "client": client, "ca": client[1], "pinned": client[1], "host": "localhost"},
    ):
        with pytest.raises(ssl.SSLError):
            handshake(tmp_path, **case)  # type: ignore[arg-type]


def test_validity_allows_for_clocks(authority: Pair) -> None:
    certificate = x509.load_pem_x509_certificate(authority[1])
    assert certificate.not_valid_before_utc == (NOW - timedelta(minutes=5)).replace(microsecond=0)
    assert certificate.not_valid_after_utc == (NOW + timedelta(days=30)).replace(microsecond=0)


def test_bad_arguments(authority: Pair) -> None:
    naive = NOW.replace(tzinfo=None)
    calls: list[Make] = [
        lambda: make_authority("", NOW, 1),
        lambda: make_authority("a\nb", NOW, 1),
        lambda: make_authority("a" * 65, NOW, 1),
        lambda: make_authority("a", NOW, 0),
        lambda: make_authority("a", naive, 1),
        lambda: make_client_certificate("a", NOW, 10**9),
        lambda: make_client_certificate("a", datetime(1900, 1, 1, tzinfo=UTC), 1),
        lambda: make_server_certificate(*authority, [], NOW, 1),
        lambda: make_server_certificate(*authority, ["bücher.example"], NOW, 1),
        lambda: make_server_certificate(*authority, [""], NOW, 1),
    ]
    for make in calls:
        with pytest.raises(ConfigurationError, match=r"config\.invalid"):
            make()


def test_authority_must_be_whole(authority: Pair) -> None:
    other = make_authority("other", NOW, 1)
    for key, cert in [(other[0], authority[1]), (b"", authority[1]), (authority[0], b""), (b"x", b"x")]:
        with pytest.raises(IdentityError, match=r"identity\.bad-key"):
            make_server_certificate(key, cert, ["localhost"], NOW, 1)
    with pytest.raises(IdentityError, match=r"identity\.bad-key"):
        fingerprint(b"not a certificate")


def test_flower_key() -> None:
    private, public = make_flower_key()
    key = load_ssh_private_key(private, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP384R1)
    assert key.public_key() == load_ssh_public_key(public)
    assert b"\n" not in public
