"""Finds in a text the names and ids that a scrubber knows, in a time that does not grow with their number.

Each name or id has signs: short texts, at least one of which is in every text with that name or id. A search for signs
by their first characters finds the few names and ids that a line may contain. Only these become a regular expression.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.runtime.logs.spellings import any_of, between_letters, is_ideographic, word

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KnownTexts"]

_FREE_LENGTH = 8
"""A text of at least this many characters is removed inside of words too."""
_GRAM = 3
"""A sign is looked up by this many of its first characters."""
_MOST_COMPILED = 256

_LABEL = (
    r"(?<![^\W_])(?:(?:patient|pat|accession|study|medical record)(?:[ _-]?(?:id|no|nr|number|name))?s?|mrn|pid"
    r"|(?<!\w )(?<!\w_)id)"
)
"""A label before an id; needed if the id could as well be an ordinary number or word."""


class _Known(NamedTuple):
    """A pattern, a text that is removed as a word (``word``), or one that is removed after a label (``labelled``)."""

    kind: str
    text: str


class KnownTexts:
    """Patterns, words, and texts that need a label, with their signs; not to be used by two threads at once."""

    def __init__(self) -> None:
        self._signs: dict[_Known, frozenset[str]] = {}
        self._by_gram: dict[str, set[_Known]] = {}
        self._lengths: set[int] = set()
        self._compiled: dict[frozenset[_Known], re.Pattern[str]] = {}

    def __len__(self) -> int:
        return len(self._signs)

    def add_pattern(self, pattern: str, signs: Iterable[str]) -> None:
        """Adds a pattern; every text that it matches holds one of the signs."""
        self._add(_Known("pattern", pattern), signs)

    def add_word(self, text: str) -> None:
        """Adds a text that is removed as a whole word, and as a part of one if it is long."""
        self._add(_Known("word", text), [text])

    def add_labelled(self, text: str) -> None:
        """Adds a text that identifies the patient only after a word such as ``patient``."""
        self._add(_Known("labelled", text), [text])

    def is_labelled(self, text: str) -> bool:
        """Returns whether a text is one of those that need a label."""
        return _Known("labelled", text) in self._signs

    def _add(self, known: _Known, signs: Iterable[str]) -> None:
        if known in self._signs:
            return
        self._signs[known] = folded = frozenset(map(_folded, signs))
        for sign in folded:
            self._by_gram.setdefault(sign[:_GRAM], set()).add(known)
            self._lengths.add(min(_GRAM, len(sign)))

    def pattern_for(self, text: str) -> re.Pattern[str] | None:
        """Returns the pattern of all known texts that this text may contain; None if it contains none of them."""
        folded = _folded(text)
        grams = {folded[start : start + length] for length in self._lengths for start in range(len(folded))}
        possible = set[_Known]().union(*(self._by_gram.get(gram, ()) for gram in grams))
        held = frozenset(known for known in possible if any(sign in folded for sign in self._signs[known]))
        if not held:
            return None
        if held not in self._compiled:
            if len(self._compiled) >= _MOST_COMPILED:
                self._compiled.clear()
            self._compiled[held] = _compiled(held)
        return self._compiled[held]


def _folded(text: str) -> str:
    return text.lower().replace("\u03c2", "\u03c3")  # both forms of the Greek sigma


def _compiled(held: frozenset[_Known]) -> re.Pattern[str]:
    patterns, words, labelled = (
        [known.text for known in held if known.kind == kind] for kind in ("pattern", "word", "labelled")
    )
    free = {one for one in words if len(one) >= _FREE_LENGTH or is_ideographic(one)}
    bound = {*words} - free
    choices = [
        *sorted(patterns, key=lambda pattern: (-len(pattern), pattern)),
        any_of(free),
        word(rf"(?:{any_of(bound)})"),
        *between_letters(bound),
        _after_label(rf"(?:{any_of(labelled)})"),
    ]
    return re.compile("|".join(choices), re.IGNORECASE)


def _after_label(pattern: str) -> str:
    return rf"(?P<label>{_LABEL}[\s:=#'\"(\[.]{{1,4}}){pattern}(?![^\W_])(?!\.\d)"
