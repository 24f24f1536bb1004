"""Triggers that keep a table append-only: refuse to change or delete what was recorded.

They stop mistakes, not whoever owns the database and drops them.
"""

from collections.abc import Iterable

from sqlalchemy import Table


def sqlite_guard(name: str, when: str, refusal: str) -> str:
    """A trigger for SQLite.

    Args:
        name: Of the trigger.
        when: What it is about, such as ``BEFORE DELETE ON entries``.
        refusal: What the error says.

    Returns:
        The statement that makes it.
    """
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{refusal}'); END"


def sqlite_append_only(tables: Iterable[Table], refusal: str) -> dict[str, str]:
    """Triggers for tables in which nothing is ever changed or deleted.

    Args:
        tables: The tables.
        refusal: What the error says.

    Returns:
        The statements, by the name of the trigger.
    """
    return {
        name: sqlite_guard(name, f"BEFORE {verb} ON {table.name}", refusal)
        for table in tables
        for verb in ("UPDATE", "DELETE")
        for name in (f"{table.name}_{verb}",)
    }


def postgresql_body(refusal: str) -> str:
    """Body of the function that PostgreSQL's triggers call."""
    return f" BEGIN RAISE EXCEPTION '{refusal}'; END "


def postgresql_function(name: str, refusal: str) -> str:
    """The statement that makes the function."""
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${postgresql_body(refusal)}$$"


def postgresql_append_only(tables: Iterable[Table], function: str) -> dict[str, str]:
    """As :func:`sqlite_append_only`, TRUNCATE included.

    Args:
        tables: The tables.
        function: Name of the function of :func:`postgresql_function`.

    Returns:
        The statements, by the name of the trigger.
    """
    return {
        f"{table.name}_guard": f"CREATE TRIGGER {table.name}_guard BEFORE UPDATE OR DELETE OR TRUNCATE"
        f" ON {table.name} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        for table in tables
    }
