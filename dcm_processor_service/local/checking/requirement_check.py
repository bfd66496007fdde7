"""Checks a service's requirements without a network.

The check finds lines that pip cannot read, lines whose markers do not hold for the worker's Python, versions that are
known to want a newer Python, and pins that contradict what this package itself needs. It cannot know whether a version
exists, nor what that version needs in turn.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from dcm_processor_service.disk import is_file, open_to_read
from dcm_processor_service.local.checking.problem import ServiceProblem
from dcm_processor_service.local.checking.python_needs import python_need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

__all__ = ["requirement_problems"]

_OWN = "dcm-processor-service"
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"^(?:-r|--requirement)[\s=]*(?P<file>.+)$")
_OPTIONS_BEHIND = re.compile(r"\s+--[a-z-]+[ =]\S+")
_PIN = "=="
_HERE = {name: str(value) for name, value in default_environment().items()}


def requirement_problems(path: Path, python: tuple[int, int]) -> Iterator[ServiceProblem]:
    """Finds requirements that pip cannot install on a worker with this Python, or with which the service fails.

    Args:
        path: A file that pip reads with ``-r``.
        python: The worker's version of Python.
    """
    needs = _own_requirements()
    for place, line in _lines(path, set()):
        if isinstance(line, ServiceProblem):
            yield line
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            sentence = str(error).partition("\n")[0]
            yield ServiceProblem("requirement-syntax", f"{place}: pip cannot read {line!r}: {sentence}")
            continue
        yield from _problems_of(requirement, place, python, needs)


def _lines(path: Path, seen: set[Path]) -> Iterator[tuple[str, str | ServiceProblem]]:
    """Lists the requirements of a file and of those that it includes, without comments, options, URLs and folders."""
    seen.add(path)
    with open_to_read(path) as file:
        text = file.read().decode("utf-8-sig", errors="replace").replace("\\\n", " ")
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        place = f"{path.name}:{number}"
        included = _INCLUDE.match(line)
        if included:
            other = path.parent / included["file"].strip()
            if not is_file(other):
                yield place, ServiceProblem("requirement-file", f"{place}: there is no file {included['file']!r}")
            elif other not in seen:
                yield from _lines(other, seen)
        elif line and not line.startswith(("-", ".", "/")) and "://" not in line.partition("@")[0]:
            yield place, _OPTIONS_BEHIND.sub("", line)


def _problems_of(
    requirement: Requirement, place: str, python: tuple[int, int], needs: dict[str, SpecifierSet]
) -> Iterator[ServiceProblem]:
    version = ".".join(map(str, python))
    environment: dict[str, str] = {
        **_HERE,
        "python_version": version,
        "python_full_version": f"{version}.0",
        "extra": "",
    }
    if requirement.marker is not None and not requirement.marker.evaluate(environment):
        yield ServiceProblem(
            "requirement-marker",
            f"{place}: {requirement.name} is not installed on Python {version}, by its marker {requirement.marker}",
            blocking=False,
        )
        return
    name = canonicalize_name(requirement.name)
    pinned = [one.version for one in requirement.specifier if one.operator == _PIN and not one.version.endswith(".*")]
    if name == _OWN and pinned == ["0.0.1"]:
        yield ServiceProblem(
            "own-pin", f"{place}: pins {_OWN} 0.0.1, which has nothing of this package: remove the pin"
        )
    for pin in pinned:
        wanted = needs.get(name)
        if wanted is not None and not wanted.contains(pin, prereleases=True):
            yield ServiceProblem(
                "requirement-conflict",
                f"{place}: pins {requirement.name} {pin}, but {_OWN} needs {requirement.name}{wanted}; pip replaces "
                "what the worker has, and the service cannot start",
            )
    need = python_need(requirement)
    if need is not None and not need.runs_on(version):
        yield ServiceProblem(
            "requirement-python",
            f"{place}: {requirement.name} {need.version} wants Python {need.wanted}, the worker has {version}; allow "
            "an older version, or ask for a newer Python in the worker's settings.json",
        )


def _own_requirements() -> dict[str, SpecifierSet]:
    """Returns the requirements of this package, without its extras."""
    needs = [Requirement(line) for line in metadata.requires(_OWN) or []]
    return {canonicalize_name(one.name): one.specifier for one in needs if one.marker is None}
