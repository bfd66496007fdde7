"""Names that a package offers and loads at their first use (PEP 562).

The root package does not use this module: it has code of its own for this, so that ``--help`` loads one module less.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["homes", "loaded_on_use"]


def homes(places: Mapping[str, str]) -> dict[str, str]:
    """Returns the module of each name.

    Args:
        places: For each module its names, with spaces between.

    Example:
        >>> homes({"models.jobs": "Job JobState"})
        {'Job': 'models.jobs', 'JobState': 'models.jobs'}
    """
    return {name: module for module, names in places.items() for name in names.split()}


def loaded_on_use(
    namespace: dict[str, Any], home: Mapping[str, str], below: str = __package__
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns ``__getattr__`` and ``__dir__`` of a module.

    Args:
        namespace: The module's ``globals()``; objects that were loaded are kept there.
        home: The module of each name, relative to the package ``below``.
        below: Name of the package; by default ``dcm_processor_service``.

    Example:
        >>> load, _ = loaded_on_use({"__name__": "example"}, {"Job": "models.jobs"})
        >>> load("Job").__name__
        'Job'
    """

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(f"{below}.{home[name]}"), name)
        namespace[name] = value
        return value

    return load, lambda: sorted({*namespace, *home})
