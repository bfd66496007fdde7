"""Imports from Python's own library that an older Python cannot satisfy."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["imports_from_newer_python"]

_MODULES = {
    "tomllib": (3, 11),
    "wsgiref.types": (3, 11),
    "annotationlib": (3, 14),
    "compression": (3, 14),
    "concurrent.interpreters": (3, 14),
    "string.templatelib": (3, 14),
}
_NAMES = {
    (3, 11): {
        "asyncio": "Barrier Runner TaskGroup timeout timeout_at",
        "contextlib": "chdir",
        "datetime": "UTC",
        "enum": "EnumCheck FlagBoundary ReprEnum StrEnum global_enum member nonmember verify",
        "hashlib": "file_digest",
        "math": "cbrt exp2",
        "operator": "call",
        "typing": "LiteralString Never NotRequired Required Self TypeVarTuple Unpack assert_never assert_type "
        "clear_overloads dataclass_transform get_overloads reveal_type",
    },
    (3, 12): {
        "collections.abc": "Buffer",
        "itertools": "batched",
        "math": "sumprod",
        "types": "get_original_bases",
        "typing": "TypeAliasType override",
    },
    (3, 13): {
        "copy": "replace",
        "typing": "NoDefault ReadOnly TypeIs get_protocol_members is_protocol",
        "warnings": "deprecated",
    },
}
"""By version of Python, the most used names that it added to each module."""

_SINCE = {
    (module, name): since
    for since, modules in _NAMES.items()
    for module, names in modules.items()
    for name in names.split()
}


def imports_from_newer_python(
    tree: ast.Module, python: tuple[int, int], own: Container[str] = ()
) -> Iterator[tuple[int, str, str]]:
    """Yields the line, the name and the first Python that has it, of each import that this Python cannot satisfy.

    Imports below ``try``, ``if`` and ``with`` are ignored, since there the source handles a missing module itself.

    Args:
        tree: The source.
        python: The Python that imports.
        own: Names of the service's own modules; they take the place of modules that this Python lacks.

    Example:
        >>> list(imports_from_newer_python(ast.parse("from datetime import UTC"), (3, 10)))
        [(1, 'datetime.UTC', '3.11')]
    """
    for node in _unconditional(tree):
        for name, since in _imported(node, own):
            if since > python:
                yield node.lineno, name, ".".join(map(str, since))


def _unconditional(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not isinstance(child, (ast.If, ast.Try, ast.With)):
            yield from _unconditional(child)


def _imported(node: ast.Import | ast.ImportFrom, own: Container[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields each imported name that an older Python lacks, with the first Python that has it."""
    if isinstance(node, ast.Import):
        names = [(alias.name, alias.name) for alias in node.names]
    elif node.level or node.module is None:
        return
    else:
        names = [(node.module, f"{node.module}.{alias.name}") for alias in node.names]
    for module, name in names:
        parts = module.split(".")
        parents = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        since = next((_MODULES[one] for one in (*parents, name) if one in _MODULES and one not in own), None)
        since = since or _SINCE.get((module, name.rpartition(".")[2]))
        if since is not None:
            yield name, since
