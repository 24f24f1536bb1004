"""Refuses any Flower app bundle that carries more than configuration.

The bundle comes from the coordinator, whom the member does not trust with its machine. It is never
unpacked and nothing in it is imported, so that even a bundle that passes here has no effect; the check
exists because a coordinator that sends code is one to stop working with, and the log should say so.
"""

import io
import tomllib
import zipfile
import zlib

from hanse.errors import ProtocolError

ALLOWED_NAMES = frozenset({"pyproject.toml", "README.md", "LICENSE", ".info/CONTENT"})
# What Flower writes. Decoders of other compressions have failures of their own.
ALLOWED_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
CLIENT_APP = "hanse.client.flower.app:client_app"
MAX_BUNDLE_BYTES = 256 * 1024
MAX_CONFIG_BYTES = 64 * 1024
# What `zipfile` raises for bytes that are no archive; encryption is a RuntimeError.
UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, OSError, RuntimeError, EOFError, ValueError)


def check_bundle(content: bytes) -> None:
    """Returns when the bundle carries configuration only.

    Raises:
        ProtocolError: ``protocol.code-in-bundle`` for everything else, unreadable bundles included.
    """
    if len(content) > MAX_BUNDLE_BYTES:
        raise _refusal(f"{len(content)} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            names = bundle.namelist()
            foreign = set(names) - ALLOWED_NAMES
            if foreign or len(names) != len(set(names)):
                raise _refusal(f"{len(foreign)} files that are not configuration")
            if bundle.getinfo("pyproject.toml").compress_type not in ALLOWED_COMPRESSION:
                raise _refusal("unusual compression")
            with bundle.open("pyproject.toml") as file:
                text = file.read(MAX_CONFIG_BYTES + 1)
    except UNREADABLE as error:
        raise _refusal(f"unreadable ({type(error).__name__})") from error
    _check_config(text)


def _check_config(text: bytes) -> None:
    if len(text) > MAX_CONFIG_BYTES:
        raise _refusal("oversized configuration")
    try:
        config = tomllib.loads(text.decode())
        components = config["tool"]["flwr"]["app"]["components"]
        dependencies = config["project"].get("dependencies", [])
        client_app = components.get("clientapp")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refusal(f"unreadable configuration ({type(error).__name__})") from error
    if client_app != CLIENT_APP:
        raise _refusal("it names another client app")
    if dependencies:
        raise _refusal("it asks for installations")


def _refusal(what: str) -> ProtocolError:
    return ProtocolError("protocol.code-in-bundle", f"bundle refused: {what}")
