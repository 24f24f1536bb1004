"""Rules as arithmetic over columns: which rule each subject fails first.

A rule is first specialised to the job. What then depends on a profile alone becomes a table with one bit per
profile; eight tables make one byte, so that one look-up answers eight questions. What is left compares times.
Work goes block by block, so that a block's intermediate results stay in the processor's cache.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.enforcement.columns import ConsentColumns, PurposeColumns
from hanse.enforcement.nodes import Builder, Comparison, Flags, Join, Node, Numbers, Pair, Side, Table, walk
from hanse.enforcement.rows import Place
from hanse.enforcement.specialise import specialise
from hanse.errors import PolicyError
from hanse.policies.facts import KNOWN, purposes_by_prefix
from hanse.policies.predicates import Facts, Predicate

ADMITTED: Final = 255
"""Code of a subject that satisfies every rule; every other code is the place of the first rule it fails."""

_BLOCK_ROWS: Final = 1 << 15
_BITS: Final = 8

Codes: TypeAlias = npt.NDArray[np.uint8]
Rules: TypeAlias = Sequence[tuple[str, Predicate]]


class Outcome(NamedTuple):
    """What a row filter says.

    Attributes:
        codes: For each subject of the columns, in their order, :data:`ADMITTED` or the place of a rule.
        failures: Number of subjects that each rule is the first to exclude; rules that exclude nobody are
            left out.
    """

    codes: Codes
    failures: Mapping[str, int]


class RowFilter:
    """Rules, compiled for one job and one state of the columns.

    Args:
        rules: Identifier and formula of each rule, in order.
        facts: What is known of the job.
        columns: The columns; the filter is void as soon as they are brought up to date.
        purpose: Purpose of the use.

    Raises:
        PolicyError: ``policy.denied`` (P01) if there is no rule, ``policy.invalid`` if there are too many.
    """

    def __init__(self, rules: Rules, facts: Facts, columns: ConsentColumns, purpose: str) -> None:
        if not rules:
            raise PolicyError("policy.denied", "there are no rules, so nothing is permitted", rule="P01")
        if len(rules) > ADMITTED:
            raise PolicyError("policy.invalid", f"a row filter has at most {ADMITTED} rules")
        self._rules = [rule for rule, _ in rules]
        found = {prefix: columns.purpose(name) for prefix, name in purposes_by_prefix(purpose).items()}
        self._columns = {prefix: one for prefix, one in found.items() if one is not None}
        self._subjects = len(columns)
        builder = Builder(columns, frozenset(found) - frozenset(self._columns))
        known = {**facts, KNOWN: True}
        nodes = [builder.build(specialise(predicate, known)) for _, predicate in rules]
        self._first = _first_failures(nodes)
        self._rest = [(place, rest) for place, node in enumerate(nodes) if (rest := _rest(node)) is not True]
        self._tables = _Tables([rest for _, rest in self._rest])
        unknown = {**facts, KNOWN: False}
        # Asked of the rules themselves: there is nothing to compile for who is in no column.
        failures = (place for place, (_, rule) in enumerate(rules) if not rule.holds(unknown))
        self.nobody: int = next(failures, ADMITTED)
        """The code of a subject about whom nothing stands."""

    @property
    def rules(self) -> Sequence[str]:
        """Identifiers, by code."""
        return self._rules

    def decide(self) -> Outcome:
        """Asks every rule about every subject."""
        codes = np.empty(self._subjects, dtype=np.uint8)
        counts = np.zeros(len(self._rules), dtype=np.int64)
        for start in range(0, self._subjects, _BLOCK_ROWS):
            part = codes[start : start + _BLOCK_ROWS]
            self._decide_block(start, part)
            counts += [np.count_nonzero(part == place) for place in range(len(self._rules))]
        failures = {rule: int(n) for rule, n in zip(self._rules, counts, strict=True) if n}
        return Outcome(codes, failures)

    def _decide_block(self, start: int, codes: Codes) -> None:
        block = _Block(self._columns, self._tables, start, start + len(codes))
        codes.fill(ADMITTED)
        for prefix, first in self._first.items():
            np.minimum(codes, first.take(block.profile(prefix)), out=codes)
        for place, node in self._rest:
            if node is False:
                np.minimum(codes, place, out=codes)
                return
            # 255 where the rule holds, its place where it does not: the first failure is the smallest.
            failed = np.negative(block.flags(node).view(np.uint8))
            np.minimum(codes, np.bitwise_or(failed, np.uint8(place), out=failed), out=codes)


def _parts(node: Node) -> Sequence[Node]:
    """What must hold, each by itself."""
    return node.parts if isinstance(node, Join) and node.every else (node,)


def _first_failures(nodes: Sequence[Node]) -> Mapping[str, Codes]:
    """For each standing and profile, the first rule of which it alone decides that it fails."""
    first: dict[str, Codes] = {}
    for place, node in enumerate(nodes):
        for part in _parts(node):
            if isinstance(part, Table):
                empty = np.full(len(part.answers), ADMITTED, dtype=np.uint8)
                codes = first.setdefault(part.prefix, empty)
                codes[~part.answers & (codes == ADMITTED)] = place
    return first


def _rest(node: Node) -> Node:
    """What of a rule :func:`_first_failures` does not decide; True if that is nothing."""
    left = tuple(part for part in _parts(node) if not isinstance(part, Table))
    return True if not left else left[0] if len(left) == 1 else Join(every=True, parts=left)


class _Tables:
    """The questions about profiles, eight to a byte."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.bits: dict[int, tuple[str, int, int]] = {}
        self.words: dict[str, list[npt.NDArray[np.uint8]]] = {}
        used: dict[str, int] = {}
        for node in walk(nodes):
            if isinstance(node, Table) and id(node) not in self.bits:
                number = used[node.prefix] = used.get(node.prefix, -1) + 1
                self._add(node, number // _BITS, number % _BITS)

    def _add(self, table: Table, word: int, bit: int) -> None:
        words = self.words.setdefault(table.prefix, [])
        if bit == 0:
            words.append(np.zeros(len(table.answers), dtype=np.uint8))
        words[word] |= table.answers.view(np.uint8) << np.uint8(bit)
        self.bits[id(table)] = (table.prefix, word, 1 << bit)


class _Block:
    """Some subjects, and what was already found out about them."""

    def __init__(self, columns: Mapping[str, PurposeColumns], tables: _Tables, start: int, stop: int) -> None:
        self._columns = columns
        self._tables = tables
        self._rows = slice(start, stop)
        self._profiles: dict[str, npt.NDArray[np.intp]] = {}
        self._words: dict[tuple[str, int], npt.NDArray[np.uint8]] = {}
        self._flags: dict[int, Flags] = {}

    def flags(self, node: Node) -> Flags:
        """Who satisfies a node."""
        found = self._flags.get(id(node))
        if found is None:
            found = self._flags[id(node)] = self._compute(node)
        return found

    def _compute(self, node: Node) -> Flags:
        if isinstance(node, Table):
            prefix, word, bit = self._tables.bits[id(node)]
            asked: Flags = (self._word(prefix, word) & np.uint8(bit)) != 0
            return asked
        if isinstance(node, Join):
            return self._join(node)
        if isinstance(node, Comparison):
            compare = np.less if node.strict else np.less_equal
            result: Flags = compare(self._side(node.left), self._side(node.right))
            return result
        assert isinstance(node, Pair)  # noqa: S101 - a bool is never asked about
        left = node.left_codes[self.profile(node.left)]
        answers: Flags = node.answers[left, node.right_codes[self.profile(node.right)]]
        return answers

    def _join(self, node: Join) -> Flags:
        merge = np.logical_and if node.every else np.logical_or
        first, second, *others = map(self.flags, node.parts)
        result: Flags = merge(first, second)
        for part in others:
            merge(result, part, out=result)
        return result

    def _side(self, side: Side) -> Numbers | int:
        if isinstance(side, Place):
            times = self._columns[side.prefix]
            return (times.given if side.name == "given" else times.expires)[self._rows]
        return side if isinstance(side, int) else side.numbers.take(self.profile(side.prefix))

    def _word(self, prefix: str, word: int) -> npt.NDArray[np.uint8]:
        found = self._words.get((prefix, word))
        if found is None:
            found = self._tables.words[prefix][word].take(self.profile(prefix))
            self._words[prefix, word] = found
        return found

    def profile(self, prefix: str) -> npt.NDArray[np.intp]:
        """The profiles of one standing, as indexes."""
        found = self._profiles.get(prefix)
        if found is None:
            found = self._profiles[prefix] = self._columns[prefix].profile[self._rows].astype(np.intp)
        return found
