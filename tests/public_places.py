"""Lists the public names of the package, and all its classes and type aliases, for the tests of its public face."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dcm_processor_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PACKAGE = Path(dcm_processor_service.__file__).parent
ROOT = "dcm_processor_service"
NEW_PLACES = (
    *(ROOT, f"{ROOT}.errors", f"{ROOT}.ports", f"{ROOT}.models"),
    *(f"{ROOT}.testing", f"{ROOT}.testing.contracts"),
)
OLD_ADDRESSES = tuple(
    f"{ROOT}.{name}"
    for name in (
        *("env_vars", "db_manager", "converters", "dicom_conversion", "pre_services", "post_services"),
        *("dicom_network", "dicom_network.dicom_sender", "dicom_network.utils"),
    )
)
PUBLIC_PLACES = (*NEW_PLACES, *OLD_ADDRESSES)


class Definition(NamedTuple):
    """A class or type alias of the package."""

    name: str
    module: str
    is_alias: bool


def module_names() -> list[str]:
    names = [
        ".".join((ROOT, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    return [name for name in names if not name.endswith("__main__")]


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


@cache
def source_tree(name: str) -> ast.Module:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def definitions() -> tuple[Definition, ...]:
    """Returns every class and type alias at the top of a module, also where only type checkers see it."""
    found = []
    for name in module_names():
        for node in _statements(source_tree(name)):
            if isinstance(node, ast.ClassDef):
                found.append(Definition(node.name, name, is_alias=False))
            elif isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
                found.append(Definition(ast.unparse(node.target), name, is_alias=True))
    return tuple(found)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


@cache
def public_objects() -> dict[str, Any]:
    """Returns each public object by its name; if a new and an old place have the name, the object of the new one."""
    return {name: getattr(module(place), name) for place in reversed(PUBLIC_PLACES) for name in module(place).__all__}
