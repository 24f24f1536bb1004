"""Codes are stable and catalogued, and nothing but a public message leaves the process."""

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse.errors
from hanse.errors import CATALOGUE, AuditError, ErrorSpec, HanseError, PolicyError, Status

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cli", "client", "core", "policies", "server")
CODE = re.compile(r"[a-z]+(\.[a-z]+(-[a-z]+)*)")
CLASSES = [
    kind for _, kind in inspect.getmembers(hanse.errors, inspect.isclass) if issubclass(kind, HanseError)
]


@functools.cache
def sources() -> list[tuple[Path, ast.Module]]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder / "hanse").rglob("*.py"))]
    others = [path for path in paths if "hanse/errors/" not in path.as_posix()]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in others]


@functools.cache
def raised_codes() -> list[tuple[str, str]]:
    return list(_raised_codes())


def _raised_codes() -> Iterator[tuple[str, str]]:
    """Every code that is given literally to one of our errors, with where."""
    names = {kind.__name__ for kind in CLASSES}
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    found = raised_codes()
    assert len(found) > 100
    assert [(code, where) for code, where in found if code not in CATALOGUE] == []


def test_no_code_that_is_raised_is_retired() -> None:
    assert [where for code, where in raised_codes() if CATALOGUE[code].retired] == []


def test_every_code_is_used_somewhere() -> None:
    words = {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    unused = [code for code, spec in CATALOGUE.items() if code not in words and not spec.retired]
    assert unused == []


@pytest.mark.parametrize(("code", "spec"), list(CATALOGUE.items()), ids=str)
def test_form_of_codes_and_messages(code: str, spec: ErrorSpec) -> None:
    assert CODE.fullmatch(code)
    assert spec.public_message.endswith(".")
    assert "\n" not in spec.public_message
    assert "{" not in spec.public_message
    assert isinstance(spec.status, Status)


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["new.code"] = ErrorSpec(Status.INTERNAL, "x.")  # type: ignore[index]


@pytest.mark.parametrize("status", list(Status))
def test_statuses_are_those_of_grpc(status: Status) -> None:
    import grpc

    assert grpc.StatusCode[status.value].name == status.name


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not AuditError])
def test_the_detail_stays_inside(kind: type[HanseError]) -> None:
    error = kind("policy.cohort", "Erika Mustermann", rule="P15")
    assert str(error) == "policy.cohort [P15]: Erika Mustermann"
    assert (error.code, error.detail, error.rule) == ("policy.cohort", "Erika Mustermann", "P15")
    assert error.spec is CATALOGUE["policy.cohort"]
    assert error.public_message == f"{error.spec.public_message} (policy.cohort, rule P15)"
    assert "Erika" not in error.public_message


def test_without_a_rule_none_is_named() -> None:
    error = PolicyError("policy.invalid", "x")
    assert str(error) == "policy.invalid: x"
    assert error.public_message.endswith("(policy.invalid)")


def test_an_audit_error_names_the_entry() -> None:
    assert AuditError("audit.integrity", "x", entry=7).entry == 7
    assert AuditError("audit.unavailable", "x").entry is None
    assert AuditError("audit.unavailable", "x").spec.retryable


def test_every_class_is_public() -> None:
    assert {kind.__name__ for kind in CLASSES} <= set(hanse.errors.__all__)
