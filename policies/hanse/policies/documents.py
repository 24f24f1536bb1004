"""YAML as people write agreements, read without any of its surprises.

YAML 1.1 reads ``NO`` (Norway) as false, ``1e-5`` as text and ``010`` as eight, lets a key come twice, and
lets a small file unfold into gigabytes. Here only ``true``, ``false``, ``null`` and JSON numbers are other
than text (the core schema of YAML 1.2 without its exotic numbers), every key is text and unique, and anchors
are refused.
"""

import json
import re
from typing import Any, Final

import yaml
from typing_extensions import override
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from hanse.crypto import JsonInput
from hanse.errors import PolicyError

MAX_DOCUMENT_CHARACTERS: Final = 1 << 20
_INTEGER: Final = r"-?(?:0|[1-9][0-9]{0,17})"
_EXPONENT: Final = r"[eE][-+]?[0-9]{1,3}"
_NUMBER_STARTS: Final = ("-", *"0123456789")
_FORMS: Final = (
    ("bool", r"(?:true|false)\Z", ("t", "f")),
    ("null", r"(?:null|~)?\Z", ("n", "~", "")),
    ("int", rf"{_INTEGER}\Z", _NUMBER_STARTS),
    ("float", rf"{_INTEGER}(?:\.[0-9]+(?:{_EXPONENT})?|{_EXPONENT})\Z", _NUMBER_STARTS),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table of which plain scalars are not text, by first character."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, starts in _FORMS:
        for start in starts:
            table.setdefault(start, []).append((f"tag:yaml.org,2002:{tag}", re.compile(pattern)))
    return table


_RESOLVERS: Final[dict[str, Any]] = _resolvers()


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # an anchor, or the alias that repeats it
            raise ComposerError(None, None, "anchors are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        if any(not isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
            raise ConstructorError(None, None, "a key is repeated, or is not text", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    # The same table as the loader's, so that text which only looks like a number is written in quotes.
    yaml_implicit_resolvers = _RESOLVERS

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


def yaml_to_json(text: str) -> bytes:
    """Reads one YAML document.

    Args:
        text: What a person wrote, at most 1 Mi characters.

    Returns:
        The same as JSON.

    Raises:
        PolicyError: ``policy.invalid`` with the line, if it is not YAML of the subset above.
    """
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise PolicyError(
            "policy.invalid", f"the document is longer than {MAX_DOCUMENT_CHARACTERS} characters"
        )
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
        return json.dumps(value, allow_nan=False).encode()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "the document" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        raise PolicyError(
            "policy.invalid", f"{where}: not valid YAML; keys are unique text, without anchors and tags"
        ) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise PolicyError("policy.invalid", "the document is not YAML text with plain values") from error


def to_yaml(value: JsonInput) -> str:
    """Writes a value so that :func:`yaml_to_json` reads the same back, in the order of its keys."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
