"""Which Python a requirement needs, as far as it is known without a network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["PythonNeed", "python_need"]

_FIRST_ON_3_11 = {
    "networkx": "3.5",
    "numpy": "2.3",
    "onnxruntime": "1.24",
    "pandas": "3.0",
    "scikit-image": "0.26",
    "scikit-learn": "1.8",
    "scipy": "1.16",
}
"""The first versions, of libraries that services often name, that no longer run on the platform's own Python 3.10."""

_LOWER_BOUNDS = ("==", "===", "~=", ">=", ">")


@dataclass(frozen=True)
class PythonNeed:
    """The Python that a requirement needs, whichever of the allowed versions is installed."""

    version: str
    """The lowest version that the requirement allows."""

    wanted: SpecifierSet

    def runs_on(self, python: str) -> bool:
        """Returns whether the requirement can be installed on a Python such as ``3.10``."""
        return self.wanted.contains(f"{python}.99")


def python_need(requirement: Requirement) -> PythonNeed | None:
    """Returns which Python a requirement needs; None where that is not known.

    It is known for some libraries, and for versions that are not older than the one that is installed here, since no
    later version of a library supports an older Python again.

    Example:
        >>> from packaging.requirements import Requirement
        >>> need = python_need(Requirement("scipy>=1.16"))
        >>> need.runs_on("3.10"), need.runs_on("3.11"), python_need(Requirement("scipy<1.16"))
        (False, True, None)
    """
    lowest = _lowest(requirement)
    if lowest is None:
        return None
    name = canonicalize_name(requirement.name)
    first = _FIRST_ON_3_11.get(name)
    if first is not None and lowest >= Version(first):
        return PythonNeed(str(lowest), SpecifierSet(">=3.11"))
    try:
        installed = Version(metadata.version(name))
        wanted = SpecifierSet(str(metadata.metadata(name).json.get("requires_python", "")))
    except (metadata.PackageNotFoundError, InvalidVersion, InvalidSpecifier):
        return None
    return PythonNeed(str(lowest), wanted) if lowest >= installed else None


def _lowest(requirement: Requirement) -> Version | None:
    """Returns the highest of the lower bounds of a requirement."""
    bounds = [one.version.removesuffix(".*") for one in requirement.specifier if one.operator in _LOWER_BOUNDS]
    try:
        return max(map(Version, bounds), default=None)
    except InvalidVersion:
        return None
