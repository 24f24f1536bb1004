"""Keys, signatures, canonical bytes, secret files and certificates. No key ever has two uses by accident.

* :mod:`hanse.crypto.canonical`: the one JSON encoding that is hashed and signed.
* :mod:`hanse.crypto.keys`: Ed25519 keys that carry a name and an identifier.
* :mod:`hanse.crypto.note`: signed notes (C2SP signed-note), what people and logs sign.
* :mod:`hanse.crypto.checkpoint`: what a log commits to (C2SP tlog-checkpoint).
* :mod:`hanse.crypto.cosigning`: what witnesses say of it (C2SP tlog-cosignature).
* :mod:`hanse.crypto.coin`: coins that parties toss together.
* :mod:`hanse.crypto.files`: files that appear whole or not at all, and secrets that others cannot read.
* :mod:`hanse.crypto.sealed`: sealed conversations between two members.
* :mod:`hanse.crypto.tls`: certificates of a federation, and the keys of Flower's nodes.
"""

from hanse.crypto.canonical import JsonInput, JsonValue, canonical_json, parse_canonical_json, sha256_hex
from hanse.crypto.coin import COIN_BYTES, Toss
from hanse.crypto.cosigning import (
    Algorithm,
    Cosignature,
    CosignerKey,
    CosignerVerifier,
    read_cosignatures,
)
from hanse.crypto.files import read_secret, write_atomic
from hanse.crypto.keys import SigningKey, VerifierKey
from hanse.crypto.note import (
    OpenedNote,
    add_lines,
    add_signature,
    keep_signatures,
    open_note,
    sign_note,
    unverified_text,
)
from hanse.crypto.tls import (
    certificate_end,
    fingerprint,
    make_authority,
    make_client_certificate,
    make_flower_key,
    make_pinned_certificate,
    make_server_certificate,
)

__all__ = [
    "COIN_BYTES",
    "Algorithm",
    "Cosignature",
    "CosignerKey",
    "CosignerVerifier",
    "JsonInput",
    "JsonValue",
    "OpenedNote",
    "SigningKey",
    "Toss",
    "VerifierKey",
    "add_lines",
    "add_signature",
    "canonical_json",
    "certificate_end",
    "fingerprint",
    "keep_signatures",
    "make_authority",
    "make_client_certificate",
    "make_flower_key",
    "make_pinned_certificate",
    "make_server_certificate",
    "open_note",
    "parse_canonical_json",
    "read_cosignatures",
    "read_secret",
    "sha256_hex",
    "sign_note",
    "unverified_text",
    "write_atomic",
]
