"""The ways in which people and programs write a name or an id, as patterns."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import codepoint2name
from itertools import permutations
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "any_of",
    "any_spelling",
    "as_a_name",
    "between_letters",
    "is_ideographic",
    "joined_names",
    "number",
    "runs",
    "separated_runs",
    "spellings",
    "telephone_number",
    "word",
]

_FIRST_IDEOGRAPH = "\u2e80"
_SHORTEST_PLAIN = 4
"""The fewest letters of a name without its accents; a shorter one is too often a word."""
_SHORTEST_GLUED = 6
"""Two names with nothing between them are removed only if they have at least this many letters together."""
_SHORTEST_BESIDE_DIGITS = 3
_SHORTEST_IN_CAMEL_CASE = 4
_MOST_PAIRED = 4
"""The largest number of parts of a name that are paired, because the number of pairs grows with its square."""

_HYPHENS = "\u2010-\u2015\u2212"
_NAME_SEPARATOR = rf"(?:[\s^,_.=+'’{_HYPHENS}-]|%5E|%20){{0,3}}"
_ID_SEPARATOR = rf"(?:[-_./:' ’\xa0{_HYPHENS}]|%2[DEF0]|%3A){{0,2}}"
_TELEPHONE_SEPARATOR = r"[ ()/\xa0-]{0,3}"
_TELEPHONE_DIGITS = 7
"""How many digits at the end identify a telephone; the digits before them depend on where the caller is."""

_WITHOUT_MARK = {
    "ø": "o",
    "æ": "ae",
    "å": "a",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "œ": "oe",
    "ß": "ss",
    "\u0131": "i",
}
_TWO_LETTERS = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}


def _both_cases(letters: dict[str, str]) -> dict[int, str]:
    capitals = {one.upper(): two.capitalize() for one, two in letters.items()}
    return str.maketrans(letters | {one: two for one, two in capitals.items() if len(one) == 1 and not one.isascii()})


_PLAIN = _both_cases(_WITHOUT_MARK)
_LONG = _both_cases(_TWO_LETTERS)


def spellings(text: str) -> set[str]:
    """Returns a text as it is, without its accents, and as programs escape it or misread it.

    Example:
        >>> sorted(spellings("Müller"))[:4]
        ['M%C3%BCller', 'M%FCller', 'M&#252;ller', 'M&#xfc;ller']
    """
    found = {text}
    if text.isascii():
        return found if html.escape(text) == text else {text, html.escape(text), text.replace("'", "’")}
    for form in ("NFC", "NFD", "NFKC"):
        found.add(unicodedata.normalize(form, text))
    composed = unicodedata.normalize("NFC", text)
    for letters in (composed, composed.translate(_LONG)):
        plain = unicodedata.normalize("NFD", letters.translate(_PLAIN)).encode("ascii", "ignore").decode()
        if sum(map(str.isalpha, composed)) <= sum(map(str.isalpha, plain)) and len(plain) >= _SHORTEST_PLAIN:
            found.add(plain)
    found.update(_escaped(composed), _escaped(text))
    return found | {one for one in _misread(composed) if sum(map(str.isalpha, one)) >= _SHORTEST_PLAIN}


def _escaped(text: str) -> Iterator[str]:
    """Yields a text as Python, JSON, HTML and URLs escape it."""
    yield text.encode("ascii", "backslashreplace").decode()
    yield "".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in text)
    yield text.encode("ascii", "xmlcharrefreplace").decode()
    yield "".join(one if one.isascii() else f"&#x{ord(one):x};" for one in text)
    yield "".join(f"&{codepoint2name[ord(one)]};" if ord(one) in codepoint2name else one for one in text)
    for encoding in ("utf-8", "latin-1"):
        yield repr(text.encode(encoding, "replace"))[2:-1]
        yield quote(text, encoding=encoding, errors="replace")


def _misread(text: str) -> Iterator[str]:
    """Yields a text as it looks in programs that decode it with a wrong character set."""
    yield text.encode("ascii", "replace").decode()
    yield text.encode("latin-1", "replace").decode("utf-8", "replace")
    yield text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    yield text.encode("utf-8").decode("latin-1")
    yield text.encode("utf-8").decode("cp1252", "replace")


def any_of(texts: Iterable[str]) -> str:
    """Returns a pattern that matches any of the texts, the longest first; without texts, it matches nothing."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return "|".join(map(re.escape, ordered)) or r"(?!)"


def any_spelling(text: str) -> str:
    """Returns the pattern of a text in all its spellings."""
    return rf"(?:{any_of(spellings(text))})"


def as_a_name(text: str) -> str:
    """Returns the pattern of a text that is written as a name: ``Young``, ``YOUNG``, but not ``young``."""
    return rf"(?-i:{any_of({text.upper(), text.capitalize()} | ({text} if text[:1].isupper() else set()))})"


def word(pattern: str) -> str:
    """Returns the pattern with no letter and no digit directly before or after it."""
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def number(pattern: str) -> str:
    """Returns the pattern, to match only where it is neither part of a longer number nor a component of a UID."""
    return rf"(?<!\d)(?<!\d\.){pattern}(?!\d)(?!\.\d)"


def between_letters(names: Iterable[str]) -> Iterator[str]:
    """Yields the patterns of names beside digits, and inside of a word that capitals divide: ``CTMueller``.

    A name that could be part of a hexadecimal number has no such pattern.
    """
    letters = [name for name in names if name.isalpha() and len(name) >= _SHORTEST_BESIDE_DIGITS]
    safe = [name for name in letters if not set(name.lower()) <= set("abcdef")]
    yield rf"(?<![^\W\d_])(?:{any_of(safe)})(?![^\W\d_])"
    capitalised = {name.capitalize() for name in safe if len(name) >= _SHORTEST_IN_CAMEL_CASE}
    yield rf"(?-i:(?:{any_of(capitalised)})(?![a-z]))"


def joined_names(parts: list[str], vocabulary: frozenset[str]) -> Iterator[tuple[str, set[str]]]:
    """Yields the patterns of two parts of a name side by side, in both orders.

    With each pattern come the spellings of its longer part: only a text that holds one of them can match.
    """
    for pair in permutations(parts[:_MOST_PAIRED], 2):
        length = sum(map(len, pair))
        if max(map(len, pair)) == 1:
            continue
        ordinary = all(part.lower() in vocabulary for part in pair)
        between = _NAME_SEPARATOR if length >= _SHORTEST_GLUED else _NAME_SEPARATOR.replace("{0,", "{1,")
        pattern = word(between.join(map(as_a_name if ordinary else any_spelling, pair)))
        yield pattern, spellings(max(pair, key=len))


def runs(text: str) -> list[str]:
    """Returns the parts of an id: runs of letters, and runs of digits."""
    return re.findall(r"[^\W\d_]+|\d+", text)


def separated_runs(text: str) -> str:
    """Returns the pattern of an id, with any separators between its parts."""
    pattern = word(_ID_SEPARATOR.join(map(any_spelling, runs(text))))
    return number(pattern) if text[0].isdigit() else pattern


def telephone_number(text: str) -> str | None:
    """Returns the pattern of a telephone number however it is grouped; None where there are too few digits."""
    digits = re.sub(r"\D", "", text)
    if len(digits) < _TELEPHONE_DIGITS:
        return None
    return number(rf"(?:\+?\d[\d ()/\xa0-]{{0,11}})?{_TELEPHONE_SEPARATOR.join(digits[-_TELEPHONE_DIGITS:])}")


def is_ideographic(text: str) -> bool:
    """Returns whether a text is in a script where one character may be a name, and nothing separates words."""
    return any(character >= _FIRST_IDEOGRAPH for character in text)
