"""What only Hanse can check of a package, beside :mod:`hanse.evidence.verify`. Pure.

Tables and metadata are made again and compared; agreements are opened; the log is read as a whole for what it
does not account for. The report stays the exporter's statement.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from hanse.audit import Entry
from hanse.audit.completeness import check_member, check_shared
from hanse.audit.findings import Finding
from hanse.errors import HanseError
from hanse.evidence import crate, verify
from hanse.evidence.tables import tables
from hanse.policies import open_agreement

Result = tuple[str, str, str]


def check_more(package: verify.Package) -> list[Result]:
    """Makes the further checks.

    Args:
        package: A package on which :func:`hanse.evidence.verify.check_package` was called.

    Returns:
        Check, verdict and detail, as from there; nothing if entries or files could not be established.
    """
    try:
        rows = [(index, Entry.parse(verify.canonical(entry))) for index, entry in package.entries.items()]
        files, whole = package.files, not package.run
    except verify.NotReachedError:
        return []
    except HanseError as error:
        return [("entries of Hanse", verify.FAIL, f"{error.detail}: made by a later version?")]
    results = [
        _result("tables", lambda: _tables(files, rows)),
        _result("metadata", lambda: _metadata(files)),
        _result("agreements", lambda: _agreements(files)),
    ]
    found = findings([entry for _, entry in rows], package.checkpoint.origin) if whole else []
    return results + [_of_finding(finding) for finding in found]


def findings(entries: Sequence[Entry], origin: str) -> list[Finding]:
    """What a whole log does not account for.

    Args:
        entries: All of it.
        origin: Its name.

    Returns:
        As :mod:`hanse.audit.completeness` finds it, for a coordinator's or a member's log.
    """
    if any(entry.actor.role == "coordinator" for entry in entries):
        return check_shared(entries)
    return check_member(entries, origin)


def _of_finding(finding: Finding) -> Result:
    where = "" if finding.entry is None else f"entry {finding.entry}: "
    verdict = verify.NOTE if finding.is_note else verify.FAIL
    return finding.kind, verdict, f"{where}{finding.meaning} ({finding.detail}) {finding.remedy}"


def _result(name: str, check: Callable[[], str]) -> Result:
    try:
        return name, verify.OK, check()
    except verify.PackageError as error:
        return name, verify.FAIL, str(error)


def _tables(files: Mapping[str, bytes], rows: Sequence[tuple[int, Entry]]) -> str:
    for name, data in tables(rows).items():
        if files.get(name) != data:
            raise verify.PackageError(name, "is not what follows from the entries")
    return "the CSV files are what follows from the entries"


def _metadata(files: Mapping[str, bytes]) -> str:
    try:
        graph = json.loads(files.get(crate.NAME, b""))["@graph"]
        sums = {item["@id"]: item["sha256"] for item in graph if item["@type"] == "File"}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise verify.PackageError(crate.NAME, "is missing, or not as Hanse writes it") from error
    described = {name: data for name, data in files.items() if name not in (crate.NAME, verify.MANIFEST)}
    for name in sorted({*sums, *described}):
        if name not in described or sums.get(name) != hashlib.sha256(described[name]).hexdigest():
            raise verify.PackageError(name, f"is not as {crate.NAME} describes it")
    return f"{len(described)} files are as the RO-Crate metadata describes them"


def _agreements(files: Mapping[str, bytes]) -> str:
    names = [name for name in files if name.startswith("agreements/")]
    for name in names:
        try:
            signed = open_agreement(files[name])
        except HanseError as error:
            raise verify.PackageError(name, error.detail) from error
        if name != f"agreements/{signed.digest}.agreement":
            raise verify.PackageError(name, "is another agreement than its name says")
    return f"{len(names)} agreements are signed by all their members' approvers"
