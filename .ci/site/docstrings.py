"""For griffe: docstrings as it reads them. Ours say ``Example:`` of one, and name things as Sphinx does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from griffe import Extension

if TYPE_CHECKING:
    from griffe import Object

_EXAMPLE = re.compile(r"^( *)Example:\n", re.MULTILINE)
_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc):`~?\.?([\w.]+)`")


class Docstrings(Extension):
    """Rewrites each docstring when it is loaded."""

    def on_object(self, *, obj: Object, **_others: Any) -> None:
        """Rewrites that of one object."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub(r"\1Examples:\n", obj.docstring.value)
            obj.docstring.value = _ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)
