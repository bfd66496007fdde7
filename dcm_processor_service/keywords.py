"""Refuses unknown names, with a message that says which name was probably meant."""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = ["refuse_unknown", "refuses_unknown_keywords", "unknown_name_sentence"]

T = TypeVar("T")


def unknown_name_sentence(owner: str, kind: str, name: str, known: Collection[str]) -> str:
    """Returns the sentence about a name that ``owner`` does not know.

    Args:
        owner: The class or command that got the name, such as ``SendOptions``.
        kind: What the name is a name of, such as ``option``.
        name: The name that was given.
        known: Every name that ``owner`` knows.

    Example:
        >>> unknown_name_sentence("SendOptions", "option", "associatons", ["associations", "attempts"])
        "SendOptions has no option 'associatons'; did you mean 'associations'?"
        >>> unknown_name_sentence("SendOptions", "option", "x", ["associations", "attempts"])
        "SendOptions has no option 'x'; it has: associations, attempts"
    """
    plain = {one.lower().replace("_", "").replace("-", ""): one for one in known}
    close = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), plain, n=1)
    remedy = f"did you mean {plain[close[0]]!r}?" if close else f"it has: {', '.join(sorted(known)) or 'none'}"
    return f"{owner} has no {kind} {name!r}; {remedy}"


def refuse_unknown(owner: str, kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuses names that ``owner`` does not know, all of them in one message.

    Raises:
        ConfigurationError: One of the names is not known.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError("\n".join(unknown_name_sentence(owner, kind, name, known) for name in unknown))


def refuses_unknown_keywords(cls: type[T]) -> type[T]:
    """Makes a pydantic model or a dataclass refuse keywords that are not fields of it, at every call of the class.

    Python before 3.13 does not say which name was probably meant, and pydantic does not in any release.

    Example:
        >>> from dataclasses import dataclass
        >>> @refuses_unknown_keywords
        ... @dataclass
        ... class Window:
        ...     center: float
        >>> Window(centre=40)
        Traceback (most recent call last):
        dcm_processor_service.errors.ConfigurationError: Window has no keyword 'centre'; did you mean 'center'?
    """
    made: Callable[..., None] = cls.__init__
    fields: Collection[str] = getattr(cls, "model_fields", None) or getattr(cls, "__dataclass_fields__")  # noqa: B009

    @functools.wraps(made)
    def init(self: Any, /, *values: Any, **keywords: Any) -> None:
        refuse_unknown(cls.__name__, "keyword", keywords, fields)
        made(self, *values, **keywords)

    setattr(cls, "__init__", init)  # noqa: B010  a plain assignment is unsound to mypy
    return cls
