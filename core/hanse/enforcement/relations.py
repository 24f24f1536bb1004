"""The relations that rules in SQL are asked about: the columns in memory, and the ledger's own tables.

Both give, for each subject and each standing, the columns of :data:`hanse.enforcement.sql.COLUMNS`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.enforcement.columns import ConsentColumns, PurposeColumns
from hanse.policies.facts import purposes_by_prefix
from hanse.policies.ledger.tables import STATE_CODES
from hanse.policies.purposes import require_purpose

Arrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]
"""A table: arrays of one length by name."""


def mirror_query(columns: ConsentColumns, purpose: str, case: str) -> tuple[str, Mapping[str, Arrays]]:
    """A query for DuckDB over the arrays in memory.

    Args:
        columns: The columns.
        purpose: Purpose of the use.
        case: What :func:`hanse.enforcement.sql.first_failure_sql` gave.

    Returns:
        SQL with one row per subject (``place``, ``rule``) in the order of the columns, and the tables to
        register for it.
    """
    prefixes = purposes_by_prefix(purpose)
    rows: dict[str, npt.NDArray[np.generic]] = {"place": np.arange(len(columns))}
    for prefix, name in prefixes.items():
        own = columns.purpose(name) or PurposeColumns(len(columns))
        rows |= {f"{prefix}_profile": own.profile, f"{prefix}_g": own.given, f"{prefix}_e": own.expires}
    read = ", ".join(
        f"{p}.terms AS {p}_terms, {p}.state AS {p}_state, {p}.guardian AS {p}_guardian,"
        f" {p}.age_known AS {p}_age_known, {p}.age_at_least AS {p}_age_at_least,"
        f" CASE WHEN {p}.given THEN {p}_g END AS {p}_given,"
        f" CASE WHEN {p}.expires THEN {p}_e END AS {p}_expires"
        for p in prefixes
    )
    joins = " ".join(f"LEFT JOIN profiles {p} ON {p}.profile = r.{p}_profile" for p in prefixes)
    subjects = f"SELECT place, 1 AS known, {read} FROM subjects r {joins}"  # noqa: S608 - our own names
    sql = f"SELECT place, {case} AS rule FROM ({subjects}) ORDER BY place"  # noqa: S608 - as above
    return sql, {"subjects": rows, "profiles": _profiles(columns)}


def _profiles(columns: ConsentColumns) -> Arrays:
    """The profiles as a table; who gave a grant, and how old, is known only of a grant."""
    profiles = columns.profiles.profiles
    grants = [profile if profile.terms is not None else None for profile in profiles]
    return {
        "profile": np.arange(1, len(profiles) + 1),
        "state": np.array([one.state for one in profiles], dtype=object),
        "given": np.array([one.given for one in profiles], dtype=np.bool_),
        "expires": np.array([one.expires for one in profiles], dtype=np.bool_),
        "terms": _masked([one.terms for one in profiles]),
        "guardian": _masked([one and int(one.guardian) for one in grants]),
        "age_known": _masked([one and int(one.age_at_least is not None) for one in grants]),
        "age_at_least": _masked([one and one.age_at_least for one in grants]),
    }


def _masked(values: Sequence[int | None]) -> npt.NDArray[np.generic]:
    known = [value is None for value in values]
    return np.ma.masked_array([value or 0 for value in values], mask=known, dtype=np.int64)


def ledger_query(purpose: str, case: str) -> str:
    """A query over the ledger's own tables, in SQLite or PostgreSQL.

    Args:
        purpose: Purpose of the use.
        case: What :func:`hanse.enforcement.sql.first_failure_sql` gave for columns that are a copy of this
            ledger.

    Returns:
        SQL with one row per subject about whom something stands: its 16 bytes, and the rule.

    Raises:
        PolicyError: ``policy.purpose`` if the purpose is unknown.
    """
    states = " ".join(f"WHEN {code} THEN '{state}'" for state, code in STATE_CODES.items())
    prefixes = purposes_by_prefix(purpose)
    read = ", ".join(
        f"{p}.terms AS {p}_terms, CASE {p}.state {states} END AS {p}_state,"
        f" CASE WHEN {p}.terms IS NOT NULL THEN {p}.guardian END AS {p}_guardian,"
        f" CASE WHEN {p}.terms IS NULL THEN NULL WHEN {p}.age_at_least IS NULL THEN 0 ELSE 1 END"
        f" AS {p}_age_known,"
        f" CASE WHEN {p}.terms IS NOT NULL THEN {p}.age_at_least END AS {p}_age_at_least,"
        f" {p}.given_ms AS {p}_given, {p}.expires_ms AS {p}_expires"
        for p in prefixes
    )
    joins = " ".join(
        f"LEFT JOIN consent_standings {p} ON {p}.subject = s.subject AND {p}.purpose = {_number(name)}"
        for p, name in prefixes.items()
    )
    everybody = "(SELECT DISTINCT subject FROM consent_standings) s"
    subjects = f"SELECT s.subject AS subject, 1 AS known, {read} FROM {everybody} {joins}"  # noqa: S608
    return f"SELECT subject, {case} AS rule FROM ({subjects}) standings"  # noqa: S608 - our own names


def _number(purpose: str) -> str:
    """The ledger's number of a purpose; its key has no quotes, because only known ones get here."""
    require_purpose(purpose)
    return f"(SELECT id FROM consent_purposes WHERE key = '{purpose}')"  # noqa: S608 - see above
