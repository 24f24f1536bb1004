"""Makes an evidence package: one archive that a reviewer verifies without Hanse and without a network. Pure.

The form is documented where it is checked, in :mod:`hanse.evidence.verify`. The same log, exporter and scope
make the same bytes; that holds while the version of Hanse is the same, which the report and ``verify.py``
come from.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hanse.audit.hashes import inclusion_proof
from hanse.audit.policy_file import format_policy
from hanse.audit.proof_file import ProofFile, format_proof
from hanse.audit.tiles import bundles_of, encode_bundle, encode_tile, tiles_of
from hanse.crypto import SigningKey, VerifierKey, sign_note
from hanse.errors import ConfigurationError
from hanse.evidence import crate, verify
from hanse.evidence.figures import Row
from hanse.evidence.recheck import findings
from hanse.evidence.report import Report, to_html
from hanse.evidence.source import Evidence
from hanse.evidence.tables import tables
from hanse.policies import read_unverified

VERIFIER: Final = Path(verify.__file__).read_bytes()
"""The verifier that goes into every package, byte for byte."""

_README: Final = """\
Evidence from the log {origin}

Open report.html in a browser: what the log says, what was checked, and what that does not show.

Check it yourself, on any machine with Python 3.9 or later, without Hanse and without a network:

  1. python -m pip install cryptography
  2. python verify.py <this file>.zip --key <key of the log> --save mine.checkpoint
  3. next time: python verify.py <next file>.zip --since mine.checkpoint

Take verify.py from a release of Hanse that you trust, and the key from its holder over another channel.
Its first lines say what every file here is.
"""


def build_package(
    evidence: Evidence,
    exporter: SigningKey,
    agreements: Mapping[str, bytes],
    run: str | None = None,
) -> bytes:
    """Makes a package.

    Args:
        evidence: The log at a checkpoint.
        exporter: Signs the manifest: stands for tables and report.
        agreements: Signed agreements by digest; those that no disclosed entry names are left out.
        run: Disclose only the entries of this run; of the others, the package has the hashes.

    Returns:
        The archive.

    Raises:
        ConfigurationError: ``config.invalid`` if no entry is of the run, or the package would be too large.
        ProtocolError: ``protocol.malformed`` if an entry is larger than a bundle can hold.
    """
    rows = list(evidence.disclosed(run))
    if not any(run in (None, entry.run) for _, entry in rows):
        raise ConfigurationError("config.invalid", f"there is no entry of a run {run}; see hanse audit show")
    named = {entry.agreement for _, entry in rows}
    kept = {digest: note for digest, note in agreements.items() if digest in named}
    files = dict(_log_files(evidence, rows, run, exporter.verifier))
    files |= {f"agreements/{digest}.agreement": note for digest, note in kept.items()}
    files |= tables(rows)
    files["README.txt"] = _README.format(origin=evidence.checkpoint.origin).encode()
    files["verify.py"] = VERIFIER
    documents = {digest: read_unverified(note) for digest, note in kept.items()}
    files["report.html"] = to_html(
        Report(
            origin=evidence.checkpoint.origin,
            size=evidence.checkpoint.size,
            root=evidence.checkpoint.root,
            run=run,
            rows=rows,
            keys=list(_holders(evidence, exporter.verifier)),
            results=_results(files, run),
            findings=findings(evidence.entries, evidence.checkpoint.origin) if run is None else None,
            agreements=documents,
            later=evidence.later,
        )
    )
    files[crate.NAME] = crate.metadata(evidence.checkpoint.origin, rows, files, documents)
    files[verify.MANIFEST] = sign_manifest(files, exporter, run)
    if sum(map(len, files.values())) + 1000 * len(files) > verify.MAX_BYTES:
        raise ConfigurationError(
            "config.invalid", "the log is too large for one package; export single runs (--run)"
        )
    return b"".join(piece for _, piece in verify.archive(files))


def _log_files(
    evidence: Evidence, rows: Sequence[Row], run: str | None, exporter: VerifierKey
) -> Iterator[tuple[str, bytes]]:
    """What proves the log."""
    size = evidence.checkpoint.size
    yield "checkpoint", evidence.note
    yield "log.policy", format_policy(evidence.policy)
    yield "keys/log.vkey", _lines(key.encode() for key in evidence.keys)
    yield "keys/witnesses.vkey", _lines(witness.verifier.encode() for witness in evidence.policy.witnesses)
    yield "keys/exporter.vkey", _lines([exporter.encode()])
    yield from ((f"rotations/{at}.checkpoint", note) for at, note in evidence.rotations.items())
    yield "entries.jsonl", b"".join(verify.entry_line(index, evidence.leaves[index]) for index, _ in rows)
    yield from ((tile.path, encode_tile(tile, evidence.hashes)) for tile in tiles_of(size))
    if run is None:
        for bundle in bundles_of(size):
            entries = bundle.entries
            yield bundle.path, encode_bundle(evidence.leaves[entries.start : entries.stop])
    for index, entry in rows:
        if entry.type.value in verify.DECISIVE:
            proof = inclusion_proof(index, size, evidence.hashes)
            yield f"proofs/{index}.tlog-proof", format_proof(ProofFile(index, proof, evidence.note))


def _results(files: Mapping[str, bytes], run: str | None) -> list[tuple[str, str, str]]:
    """The checks of the log, with nothing but the files; those of archive and manifest come later."""
    package = verify.Package(b"")
    package.files, package.run = dict(files), run or ""
    (package.exporter,) = package.keys("keys/exporter.vkey")
    return verify.check_package(package, first=2)


def _holders(evidence: Evidence, exporter: VerifierKey) -> Iterator[tuple[str, str]]:
    yield from (("log", key.encode()) for key in evidence.keys)
    yield from ((f"witness {each.name}", each.verifier.encode()) for each in evidence.policy.witnesses)
    yield "exporter of this package", exporter.encode()


def sign_manifest(files: Mapping[str, bytes], exporter: SigningKey, run: str | None) -> bytes:
    """Signs for the files of a package.

    Args:
        files: All other files, by name.
        exporter: Who signs.
        run: The run whose entries are disclosed; all without one.

    Returns:
        A signed note.
    """
    sums = (f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(files.items()))
    scope = "all" if run is None else f"run {run}"
    return sign_note("\n".join([verify.HEADER, scope, *sums]) + "\n", exporter)


def _lines(texts: Iterator[str] | Sequence[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()
