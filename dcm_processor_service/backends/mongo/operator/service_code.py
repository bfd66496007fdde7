"""Examines a service's code without running it: whether it can be imported, and whether its entry may exit.

The worker unpacks the service's module as ``service_module`` and imports the job's entry from it. An error in this
import, before the callback starts, leaves no result.
"""

from __future__ import annotations

import ast
import io
import sys
import warnings
import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EntryCode", "sources_of"]

MODULE = "service_module"
_MOST_SOURCE_BYTES = 32 * 1024 * 1024
_EXITS = frozenset({"sys.exit", "os._exit", "os.abort", "exit", "quit"})


def sources_of(packed: bytes) -> dict[str, str]:
    """Returns the Python files of a component's archive by path; an empty dict if the archive cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".py")]
            if sum(one.file_size for one in members) > _MOST_SOURCE_BYTES:
                return {}
            return {one.filename: archive.read(one).decode("utf-8-sig", "replace") for one in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError):
        return {}


@dataclass(frozen=True)
class EntryCode:
    """One entry of a service's module, given its sources by path."""

    sources: Mapping[str, str]
    entry: str
    python: tuple[int, int] | None = None
    """The worker's version of Python, if the worker's document has it."""

    @cached_property
    def syntax_error(self) -> str:
        """The place of a syntax error in the files that an import of the module reads; empty if there is none.

        The syntax of a newer Python than this one cannot be judged.
        """
        if self.python and self.python > sys.version_info[:2]:
            return ""
        for path in self._read_at_import:
            if isinstance(self._trees[path], str):
                return f"{path}, {self._trees[path]}"
        return ""

    @cached_property
    def missing(self) -> str:
        """The name that an import of the entry certainly does not find in the module; empty if there is none."""
        for path in self._read_at_import:
            for node in _run_at_import(self._tree(path)):
                if isinstance(node, ast.ImportFrom) and node.level and not self._target(path, node):
                    return f"{'.' * node.level}{node.module or ''}, which {path} imports"
        bound = self._bound("__init__.py")
        if self._tree("__init__.py") and self.entry not in bound and "*" not in bound:
            return f"the entry {self.entry}"
        return ""

    @cached_property
    def unknown_library(self) -> str:
        """A package that an import of the module needs and that is not installed here; empty if there is none."""
        for path in self._read_at_import:
            for node in _run_at_import(self._tree(path)):
                for name in _packages(node):
                    if name != MODULE and name not in sys.stdlib_module_names and not _is_installed(name):
                        return name
        return ""

    @cached_property
    def may_exit(self) -> str:
        """The first call that ends the process, in functions that the entry uses; empty if there is none."""
        for path, node in self._reached():
            for part in ast.walk(node):
                if isinstance(part, ast.Call) and ast.unparse(part.func) in _EXITS:
                    return f"{ast.unparse(part.func)} in {path}, line {part.lineno}"
                if isinstance(part, ast.Raise) and part.exc and ast.unparse(part.exc).startswith("SystemExit"):
                    return f"SystemExit in {path}, line {part.lineno}"
        return ""

    @cached_property
    def is_entrypoint(self) -> bool:
        """Whether :func:`entrypoint` made the entry, so that its result can always be stored."""
        node = self._named("__init__.py").get(self.entry)
        made = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        return isinstance(made, ast.Call) and ast.unparse(made.func).rpartition(".")[2] == "entrypoint"

    @cached_property
    def _trees(self) -> dict[str, ast.Module | str]:
        return {path: _parsed(source, self.python) for path, source in self.sources.items()}

    def _tree(self, path: str) -> ast.Module | None:
        tree = self._trees.get(path)
        return tree if isinstance(tree, ast.Module) else None

    @cached_property
    def _read_at_import(self) -> list[str]:
        """The module's own files that its import reads."""
        found, edge = [], ["__init__.py"]
        while edge:
            path = edge.pop()
            if path in found or path not in self.sources:
                continue
            found.append(path)
            for node in _run_at_import(self._tree(path)):
                if isinstance(node, ast.ImportFrom):
                    edge += self._target(path, node)
        return found

    def _target(self, path: str, node: ast.ImportFrom) -> list[str]:
        """Returns the files of the module that ``from … import`` reads."""
        if node.level:
            package = path.split("/")[: -node.level]
        elif (node.module or "").partition(".")[0] == MODULE:
            package = []
        else:
            return []
        parts = (node.module or "").split(".") if node.module else []
        base = [*package, *(parts if node.level else parts[1:])]
        inner = [[*base, alias.name] for alias in node.names]
        candidates = ["/".join([*one, "__init__.py"]) for one in [base, *inner]]
        candidates += ["/".join(one) + ".py" for one in [base, *inner] if one]
        return [one for one in candidates if one in self.sources]

    def _named(self, path: str) -> dict[str, ast.stmt]:
        found: dict[str, ast.stmt] = {}
        for node in _run_at_import(self._tree(path)):
            for name in _names_of(node):
                found[name] = node
        return found

    def _bound(self, path: str) -> set[str]:
        """Returns the names at the top level of a file, with ``*`` if there may be others."""
        names = set(self._named(path))
        return names | {"*"} if "__getattr__" in names else names

    def _reached(self) -> Iterator[tuple[str, ast.stmt]]:
        """Yields the top-level statements that the entry refers to, directly or through others, each with its file."""
        edge, seen = [("__init__.py", self.entry)], set()
        while edge:
            path, name = edge.pop()
            node = self._named(path).get(name)
            if node is None or (path, name) in seen:
                continue
            seen.add((path, name))
            if isinstance(node, ast.ImportFrom):
                original = next((one.name for one in node.names if (one.asname or one.name) == name), name)
                edge += [(target, original) for target in self._target(path, node)]
                continue
            yield path, node
            edge += [(path, part.id) for part in ast.walk(node) if isinstance(part, ast.Name)]


def _parsed(source: str, python: tuple[int, int] | None) -> ast.Module | str:
    """Returns the tree of a file; if it is not Python of that version, the line of the fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, feature_version=min(python, sys.version_info[:2]) if python else None)
            compile(source, "service", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}"
    except (ValueError, RecursionError, MemoryError):  # a NUL; nested too deep
        return "line 1"
    return tree


def _run_at_import(tree: ast.Module | None) -> Iterator[ast.stmt]:
    """Yields the statements that an import certainly runs; leaves out imports in a ``try`` or for type checkers."""
    for node in tree.body if tree else ():
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                yield from node.body
                yield from node.orelse
        elif isinstance(node, ast.Try):
            yield from (one for one in node.body if not isinstance(one, (ast.Import, ast.ImportFrom)))
            yield from (ast.Assign([ast.Name(name)], ast.Constant(None)) for name in _imported(node))
        else:
            yield node


def _imported(node: ast.Try) -> list[str]:
    return [name for one in ast.walk(node) if isinstance(one, (ast.Import, ast.ImportFrom)) for name in _names_of(one)]


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [one.asname or one.name.partition(".")[0] for one in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    if not targets and not isinstance(node, ast.Expr):  # the names that for, with and match bind
        names += [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    return names


def _packages(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module.partition(".")[0]]
    return []


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # __main__ has no spec
        return True
