"""When two writings are the same identifier. The rules are few and plain, so that all members get the same.

* ``email``: compatibility characters become ordinary ones (Unicode NFKC), outer space goes, letters become
  small. There is one ``@`` with something on both sides, and no space. The letters before the ``@`` become
  small too: no provider of note tells them apart.
* ``email_untagged``: likewise, and what follows a ``+`` before the ``@`` goes.
* ``phone``: E.164, ``+`` and 7 to 15 digits. Spaces and ``- . / ( )`` go, as does ``(0)`` after a country
  code; a leading ``00`` becomes ``+``. A number without ``+`` is national: its trunk prefix goes, the
  agreement's country code is put before it; without one in the agreement it is malformed. No table of
  numbering plans is used: with another edition of it, members would get other numbers.
* ``code``: NFKC, without spaces and ``- . / _``, letters small: contract and vehicle numbers.
* ``exact``: NFC and nothing else.

What is empty afterwards is no identifier. Whole numbers are read as their decimal digits.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from hanse.policies.agreement.alignment import IdentifierRule, Normalisation

MOST_CHARACTERS: Final = 320
"""Of an identifier: an e-mail address has up to 64, an ``@``, and up to 255 (RFC 5321, section 4.5.3.1)."""

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE_PUNCTUATION: Final = re.compile(r"[\s\-./()\u2010-\u2015]")
_CODE_PUNCTUATION: Final = re.compile(r"[\s\-./_\u2010-\u2015]")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def normalise(rule: IdentifierRule, value: str) -> str | None:
    """Brings an identifier into the form in which members compare it.

    Args:
        rule: The agreement's rule about its kind.
        value: As the member has it.

    Returns:
        The form; empty if there is nothing; None if the value has not the form of its kind.
    """
    made = _NORMALISERS[rule.normalisation](rule, value)
    return None if made is None or len(made) > MOST_CHARACTERS else made


def _plain(value: str) -> str:
    """Ordinary small letters; composed again, as small letters may be combined otherwise than great ones."""
    if value.isascii():
        return value.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).lower())


def _email(_: IdentifierRule, value: str) -> str | None:
    text = _plain(value).strip()
    return text if not text or _EMAIL.fullmatch(text) else None


def _email_untagged(rule: IdentifierRule, value: str) -> str | None:
    text = _email(rule, value)
    if not text:
        return text
    local, _, domain = text.partition("@")
    untagged = local.partition("+")[0]
    return f"{untagged}@{domain}" if untagged else None


def _phone(rule: IdentifierRule, value: str) -> str | None:
    text = unicodedata.normalize("NFKC", value).strip()
    if not text:
        return text
    international = text.startswith(("+", "00"))
    if international:
        text = text.replace("(0)", "", 1)
    digits = _PHONE_PUNCTUATION.sub("", text)
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    elif not digits.startswith("+"):
        if rule.country_code is None:
            return None
        digits = f"+{rule.country_code}{digits.removeprefix(rule.trunk_prefix)}"
    return digits if _E164.fullmatch(digits) else None


def _code(_: IdentifierRule, value: str) -> str | None:
    return _plain(_CODE_PUNCTUATION.sub("", unicodedata.normalize("NFKC", value)))


def _exact(_: IdentifierRule, value: str) -> str | None:
    return unicodedata.normalize("NFC", value)


_NORMALISERS: Final[dict[Normalisation, Callable[[IdentifierRule, str], str | None]]] = {
    "email": _email,
    "email_untagged": _email_untagged,
    "phone": _phone,
    "code": _code,
    "exact": _exact,
}
