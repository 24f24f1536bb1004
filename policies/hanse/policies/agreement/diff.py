"""What an amendment changes, in words, and for which consents that matters."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

from hanse.policies.agreement.columns import EVERY_MEMBER, Column, Disclosure
from hanse.policies.agreement.document import Agreement
from hanse.policies.agreement.effects import Case, Effect, Meaning, Term
from hanse.policies.agreement.meaning import TERMS, VOCABULARY
from hanse.policies.agreement.parties import Auditor, Member
from hanse.policies.agreement.words import listed, same, value, word
from hanse.policies.rules import Wording


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that another version of an agreement changes.

    Attributes:
        where: The field, with names in the place of positions, as ``columns.income.classification``.
        effect: Whether more is done with people's data, less, or the same.
        text: What changes, and what that means.
        anew: Rules by which consents that were given before may no longer suffice.
    """

    where: str
    effect: Effect
    text: Wording
    anew: tuple[str, ...]


def diff_agreements(old: Agreement, new: Agreement) -> tuple[Change, ...]:
    """Compares two versions of an agreement, field by field.

    Args:
        old: The version that is in force.
        new: The version that is proposed.

    Returns:
        Every change: those that widen first, then those that narrow, then the neutral ones; empty only if the
        two are the same.
    """
    order = list(Effect)
    return tuple(sorted(_Comparison(old, new).changes(), key=lambda change: order.index(change.effect)))


def invalidated(changes: tuple[Change, ...]) -> frozenset[str]:
    """Rules by which consents that were given before may no longer suffice."""
    return frozenset(rule for change in changes for rule in change.anew)


# What tells the items of a list apart. A second item of the same name is found as a difference of the whole.
_KEYS: Final[Mapping[str, Callable[[Any], str]]] = {
    "overrides": lambda item: f"{item.member} ({item.basis})",
    "packs": lambda item: str(item.id),
    "members": lambda item: str(item.name),
    "members.notices": lambda item: f"{item.version} ({item.sha256[:12]})",
    "columns": lambda item: str(item.name),
    "columns.disclosure": lambda item: str(item.to),
    "vertical.holdings": lambda item: str(item.member),
    "vertical.alignment.identifiers": lambda item: str(item.kind),
    "training.targets": lambda item: str(item.name),
    "scoring.callers": lambda item: str(item.name),
    "evidence.auditors": lambda item: str(item.name),
}

# Lists whose items have an order, so that they are compared as a whole.
_SEQUENCES: Final = frozenset({"columns.edges", "scoring.edges", "scoring.segments.names", "training.hidden"})


@dataclass(frozen=True, slots=True)
class _Place:
    """A field: its path in the schema, where it is in the document, and the names of what it belongs to."""

    path: str = ""
    where: str = ""
    names: tuple[str, ...] = ()

    def field(self, name: str) -> "_Place":
        return _Place(f"{self.path}.{name}".lstrip("."), f"{self.where}.{name}".lstrip("."), self.names)

    def item(self, name: str) -> "_Place":
        return _Place(self.path, f"{self.where}.{name}", (*self.names, name))


class _Comparison:
    """Walks both documents at once."""

    def __init__(self, old: Agreement, new: Agreement) -> None:
        self._old, self._new = old, new

    def changes(self) -> Iterator[Change]:
        yield from self._models(_Place(), self._old, self._new)

    def _models(self, place: _Place, old: BaseModel, new: BaseModel) -> Iterator[Change]:
        for name in type(old).model_fields:
            before, after = getattr(old, name), getattr(new, name)
            if before != after:
                yield from self._values(place.field(name), before, after)

    def _values(self, place: _Place, old: object, new: object) -> Iterator[Change]:
        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from self._models(place, old, new)
        elif place.path in _KEYS and isinstance(old, tuple) and isinstance(new, tuple):
            yield from self._or_rewritten(place, self._items(place, old, new))
        elif isinstance(old, tuple) and isinstance(new, tuple) and place.path not in _SEQUENCES:
            yield from self._or_rewritten(place, self._names(place, old, new))
        else:
            yield self._scalar(place, old, new)

    def _or_rewritten(self, place: _Place, changes: Iterator[Change]) -> Iterator[Change]:
        """A list that differs in nothing but its order or a repetition still differs: say so."""
        found = tuple(changes)
        if found:
            yield from found
            return
        en, zh = "is written in another order", "的书写顺序不同"
        name = _name(TERMS[place.path], place.names)
        yield Change(place.where, Effect.NEUTRAL, Wording(f"{name.en} {en}", f"{name.zh}{zh}"), ())

    def _items(self, place: _Place, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Change]:
        """Items that are gone, are new, or have changed inside."""
        key = _KEYS[place.path]
        before, after = ({key(item): item for item in reversed(items)} for items in (old, new))
        for name in dict.fromkeys((*map(key, old), *map(key, new))):
            if name in before and name in after:
                yield from self._models(place.item(name), before[name], after[name])
            else:
                yield self._listed(place, name, before.get(name), after.get(name))

    def _names(self, place: _Place, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Change]:
        """Plain items that are gone or are new."""
        for item in dict.fromkeys((*old, *new)):
            if (item in old) != (item in new):
                gone = item in old
                yield self._listed(place, str(item), item if gone else None, None if gone else item)

    def _listed(self, place: _Place, name: str, old: object, new: object) -> Change:
        term = TERMS[place.path]
        meaning = self._meaning(term, old, new, more=new is not None)
        said = _described(place.path, name, old if new is None else new)
        field = _name(term, place.names)
        text = (
            Wording(f"{field.en} {said.en} is added", f"增加{field.zh}{said.zh}")
            if new is not None
            else Wording(f"{field.en} {said.en} is removed", f"删去{field.zh}{said.zh}")
        )
        return _change(f"{place.where}.{name}", text, meaning)

    def _scalar(self, place: _Place, old: object, new: object) -> Change:
        term = TERMS[place.path]
        more = _is_more(term, old, new)
        told = _told(place, _name(term, place.names), old, new, more=more)
        return _change(place.where, told, self._meaning(term, old, new, more=more))

    def _meaning(self, term: Term, old: object, new: object, *, more: bool) -> Meaning:
        if term.look is not None:
            return term.look(Case(self._old, self._new, old, new))
        return term.more if more else term.less


def _is_more(term: Term, old: object, new: object) -> bool:
    """Whether the change is towards more; where there is no order, it is."""
    if old is None or new is None:
        return new is not None
    if term.order and old in term.order and new in term.order:
        return term.order.index(new) > term.order.index(old)
    if isinstance(old, int | float) and isinstance(new, int | float):
        return new > old
    if isinstance(old, datetime) and isinstance(new, datetime):
        return new > old
    return True


def _told(place: _Place, name: Wording, old: object, new: object, *, more: bool) -> Wording:
    """What changed, as a sentence without its end."""
    before, after = _shown(place.path, old), _shown(place.path, new)
    if old is None:
        return Wording(
            f"{name.en} is set to {after.en}; there was none", f"设定{name.zh}为{after.zh}，此前没有"
        )
    if new is None:
        return Wording(f"{name.en} is removed; it was {before.en}", f"删去{name.zh}，原为{before.zh}")
    number = isinstance(old, int | float) and not isinstance(old, bool)
    if number or isinstance(old, datetime):
        verb = ("rises" if more else "falls") if number else ("moves later," if more else "moves earlier,")
        zh = ("升至" if more else "降至") if number else ("推迟至" if more else "提前至")
        return Wording(
            f"{name.en} {verb} from {before.en} to {after.en}", f"{name.zh}由{before.zh}{zh}{after.zh}"
        )
    return Wording(
        f"{name.en} changes from {before.en} to {after.en}", f"{name.zh}由{before.zh}改为{after.zh}"
    )


def _shown(path: str, given: object) -> Wording:
    if isinstance(given, BaseModel):
        names = type(given).model_fields
        return listed(value(getattr(given, name), worded=f"{path}.{name}" in VOCABULARY) for name in names)
    return value(given, worded=path in VOCABULARY)


def _described(path: str, name: str, item: object) -> Wording:
    """An item of a list: its name, and what a person must know of it."""
    if isinstance(item, Column):
        more = listed(word(kind) for kind in (item.classification, item.special) if kind)
    elif isinstance(item, Member):
        more = listed((same(item.organisation), word(item.role), same(item.jurisdiction)))
    elif isinstance(item, Auditor):
        more = same(item.organisation)
    elif isinstance(item, Disclosure):
        more = word(item.form)
    else:
        more = None
    said = word(name) if path in VOCABULARY else same(name)
    if more is None:
        return Wording(f"'{said.en}'", f"“{said.zh}”")
    return Wording(f"'{said.en}' ({more.en})", f"“{said.zh}”（{more.zh}）")


def _name(term: Term, names: tuple[str, ...]) -> Wording:
    """The field's name with the names of what it belongs to."""
    said = [word(name) if name == EVERY_MEMBER else same(name) for name in names]
    return Wording(
        term.name.en.format(*(f"'{name.en}'" for name in said)),
        term.name.zh.format(*(f"“{name.zh}”" for name in said)),
    )


def _change(where: str, text: Wording, meaning: Meaning) -> Change:
    note, rules = meaning.note, ", ".join(meaning.anew)
    en = f"{text.en}{f': {note.en}' if note else ''}{f' ({rules})' if rules else ''}"
    zh = f"{text.zh}{f'：{note.zh}' if note else ''}{f'（{rules}）' if rules else ''}"
    return Change(where, meaning.effect, Wording(en, zh), meaning.anew)
