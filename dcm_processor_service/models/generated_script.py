"""The script that the platform's worker generates, which holds a job's arguments as JSON in a Python literal.

The worker writes ``json_util.dumps(arguments)`` between three quotation marks, and the script reads it back as JSON.
Two parsers read the text, Python's and JSON's, but the worker escapes it for JSON alone. A quotation mark, a backslash
or a line break therefore either makes the script invalid, so that the callback never starts, or arrives changed. Text
with characters beyond the Basic Multilingual Plane arrives changed, too.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "IN_A_NAME",
    "ScriptFault",
    "ends_script",
    "escaped",
    "fault_sentence",
    "faults_below",
    "faults_of",
    "survives",
    "unescaped",
]

_SUSPECT = re.compile(r'["\\\x00-\x1f\U00010000-\U0010ffff]')
_NAMES = (
    ('"', "a quotation mark"),
    ("\\", "a backslash"),
    ("\r\n\v\f\x1c\x1d\x1e", "a line break"),
    ("".join(map(chr, range(32))), "a control character"),
)


IN_A_NAME = " in a name"
"""The end of :attr:`ScriptFault.character` if that character is in a key of a mapping. :attr:`ScriptFault.where` is
then the place of the mapping, since the text of the key must not be shown."""


class ScriptFault(NamedTuple):
    """The place of a text that makes the worker's script invalid, and the kind of character that does; never the text.

    Example:
        >>> list(faults_below({"SeriesDescription": 'the "best" one'}))
        [ScriptFault(where='SeriesDescription', character='a quotation mark')]
    """

    where: str
    character: str


def ends_script(text: str) -> bool:
    r"""Returns whether a text makes the script invalid, so that the callback never starts.

    Example:
        >>> ends_script("Thorax 1.5"), ends_script('the "best" one'), ends_script("one\ntwo"), ends_script("a\\b")
        (False, True, True, False)
    """
    return _arrived(text) is None


def survives(text: str) -> bool:
    r"""Returns whether text arrives at the callback as it was written.

    Example:
        >>> survives("Thorax 1.5"), survives('the "best" one'), survives("a\\b"), survives("é")
        (True, False, False, True)
    """
    return _arrived(text) == text


def _arrived(text: str) -> str | None:
    """Returns the text that the callback gets; None if the text makes the script invalid."""
    if not _SUSPECT.search(text):
        return text
    try:
        arrived = json.loads(ast.literal_eval(f'"""[{json.dumps(text)}]"""'))
    except (ValueError, SyntaxError):
        return None
    return str(arrived[0]) if len(arrived) == 1 else None


def faults_of(text: str) -> list[str]:
    r"""Returns the kinds of characters by which a text makes the script invalid; an empty list if it does not.

    Example:
        >>> faults_of("a\\b and\nc")
        ['a backslash', 'a line break']
    """
    if not ends_script(text):
        return []
    left, found = text, []
    for characters, name in _NAMES:
        if any(character in left for character in characters):
            found.append(name)
            left = "".join(character for character in left if character not in characters)
    return found


def faults_below(value: Any, where: str = "") -> Iterator[ScriptFault]:
    """Yields a fault for each text in a value that would make the script invalid; keys of mappings are texts, too."""
    if isinstance(value, str):
        yield from (ScriptFault(where, character) for character in faults_of(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if ends_script(str(key)):
                yield ScriptFault(where, f"{faults_of(str(key))[0]}{IN_A_NAME}")
                continue
            yield from faults_below(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            yield from faults_below(item, where)


def fault_sentence(faults: Sequence[ScriptFault]) -> str:
    """Returns a sentence that says where the faults are.

    Example:
        >>> fault_sentence([ScriptFault("StudyDescription", "a quotation mark"), ScriptFault("StudyID", "a backslash")])
        'StudyDescription holds a quotation mark, StudyID holds a backslash'
    """
    return ", ".join(f"{fault.where} holds {fault.character}" for fault in dict.fromkeys(faults))


def escaped(value: Any) -> Any:
    r"""Returns the value with each text escaped once more that would make the script invalid or arrive changed.

    A text that arrives unchanged has no backslash, so :func:`unescaped` recognizes an escaped text by its backslash.

    Example:
        >>> escaped({"SeriesDescription": 'the "best" one'})
        {'SeriesDescription': 'the \\"best\\" one'}
    """
    if isinstance(value, str):
        return value if survives(value) else json.dumps(value)[1:-1]
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, (list, tuple)) else value


def unescaped(value: Any) -> Any:
    r"""Returns the value that :func:`escaped` was given.

    Example:
        >>> unescaped({"SeriesDescription": 'the \\"best\\" one'})
        {'SeriesDescription': 'the "best" one'}
    """
    if isinstance(value, str):
        return json.loads(f'"{value}"') if "\\" in value else value
    if isinstance(value, Mapping):
        return {key: unescaped(item) for key, item in value.items()}
    return [unescaped(item) for item in value] if isinstance(value, (list, tuple)) else value
