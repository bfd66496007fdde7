"""Names that a package offers and loads at their first use (PEP 562).

The root of the distribution does the same by itself, so that ``--help`` loads no further module.
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
        namespace: The module's ``globals()``; what was loaded is kept there.
        home: The module of each name, below a package.
        below: The package; all of this distribution when it is left out.

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
