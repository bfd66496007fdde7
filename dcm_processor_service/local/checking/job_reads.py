"""Finds where the source of a service reads other jobs' output, as in ``data.get("volume", job="segment")``.

A read belongs to a job if it is in the job's entry, or in a function or class of the service's own module that the
entry uses by name, directly or through others. The name of the job that is read may be the argument of such a function.
Other uses, such as by ``getattr``, are not found.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.disk import open_to_read
from dcm_processor_service.local.checking.local_texts import local_texts, texts_in
from dcm_processor_service.local.checking.newer_library import imports_from_newer_python
from dcm_processor_service.runtime.execution.callbacks import CALLBACK_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeAlias

    Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

__all__ = ["JobRead", "ServiceSource", "SyntaxFault"]

_OLD_READS = frozenset(
    {"download_session_file", "get_session_data", "get_session_file", "has_session_data", "has_session_file"}
)
_READS = frozenset({"collect", "get", "has", "info", "items", "keys", "list", "load", "open", "read"})
"""Methods of ``session.data`` and ``session.files`` that take ``job=``."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class JobRead:
    """A read of another job's output by the job's name."""

    job_name: str
    place: str
    """File and line, such as ``main.py:12``."""


@dataclass(frozen=True)
class SyntaxFault:
    """A file that the platform's Python cannot read."""

    place: str
    message: str


@dataclass(frozen=True)
class _Use:
    """A function or class of the module that is used, and the texts that a call gives to its parameters."""

    file: str
    name: str
    given: frozenset[tuple[str, str]] = frozenset()


class _File:
    """One parsed file: its definitions, its text constants, and where its names come from."""

    def __init__(self, path: Path, name: str, tree: ast.Module) -> None:
        self.path, self.name = path, name
        self.definitions: dict[str, Definition] = {}
        self.constants: dict[str, set[str]] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        is_package = path.name == "__init__.py"
        for node in tree.body:
            if isinstance(node, _DEFINITIONS):
                self.definitions[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                self._take_assignment(node)
        for found in ast.walk(tree):
            if isinstance(found, ast.ImportFrom) and found.level:
                base = name.split(".") if name else []
                up = found.level - 1 if is_package else found.level
                parts = [*base[: len(base) - up], *(found.module or "").split(".")]
                module = ".".join(part for part in parts if part)
                self.imported |= {alias.asname or alias.name: (module, alias.name) for alias in found.names}

    def _take_assignment(self, node: ast.Assign | ast.AnnAssign) -> None:
        if node.value is not None and (
            texts := set(texts_in(node.value, lambda name: self.constants.get(name, set())))
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self.constants |= {one.id: texts for one in targets if isinstance(one, ast.Name)}


class ServiceSource:
    """The source of a service's module.

    Args:
        folder: The module's folder.
        python: The version of Python that has to read it.
    """

    def __init__(self, folder: Path, python: tuple[int, int]) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self.faults: list[SyntaxFault] = []
        self.missing: list[str] = []
        """Sentences about imports that this Python cannot satisfy."""
        own = {path.stem for path in folder.iterdir()}
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder)
            with open_to_read(path) as file:
                content = file.read()
            try:
                tree = ast.parse(content, feature_version=python)
            except (SyntaxError, ValueError) as error:
                line = getattr(error, "lineno", None)
                self.faults.append(SyntaxFault(f"{relative}:{line or 1}", str(getattr(error, "msg", error))))
                continue
            version = ".".join(map(str, python))
            self.missing += [
                f"{relative}:{line}: {needed} needs Python {since}, the worker has {version}; import it in a try, with "
                "a replacement on ImportError, or ask for a newer Python in the worker's settings.json"
                for line, needed, since in imports_from_newer_python(tree, python, own)
            ]
            name = ".".join(relative.with_suffix("").parts).removesuffix("__init__").removesuffix(".")
            self._files[name] = _File(path, name, tree)

    def reads_of(self, entry: Callable[..., Any]) -> list[JobRead]:
        """Lists the reads that belong to an entry; an empty list if the entry is not defined in the module."""
        function = inspect.unwrap(getattr(entry, CALLBACK_ATTRIBUTE, entry))
        code = getattr(function, "__code__", None)
        if code is None:
            return []
        file = next((one for one in self._files.values() if one.path == Path(code.co_filename)), None)
        if file is None or function.__name__ not in file.definitions:
            return []
        found: set[JobRead] = set()
        seen: set[_Use] = set()
        pending = [_Use(file.name, function.__name__)]
        while pending:
            use = pending.pop()
            if use in seen:
                continue
            seen.add(use)
            home = self._files.get(use.file)
            definition = home.definitions.get(use.name) if home else None
            if home is not None and definition is not None:
                for one, local in self._functions(home, definition, use):
                    found |= set(self._reads_in(home, one, local))
                    pending += self._called(home, one, local)
        return sorted(found, key=lambda read: (read.place, read.job_name))

    def _functions(
        self, file: _File, definition: Definition, use: _Use
    ) -> Iterator[tuple[Definition, dict[str, set[str]]]]:
        """Yields a function, or the methods of a class and the rest of the class, each with the texts of its names."""
        if isinstance(definition, ast.ClassDef):  # each method has local names of its own
            for one in definition.body:
                if isinstance(one, _DEFINITIONS):
                    yield from self._functions(file, one, _Use(file.name, one.name))
            rest: list[ast.stmt] = [one for one in definition.body if not isinstance(one, _DEFINITIONS)]
            shell = ast.ClassDef(
                definition.name, definition.bases, definition.keywords, rest, definition.decorator_list
            )
            yield shell, {}
            return
        given: dict[str, set[str]] = {}
        for parameter, text in use.given:
            given.setdefault(parameter, set()).add(text)
        yield definition, local_texts(definition, lambda name: self._outside(file, name), given)

    def _reads_in(self, file: _File, definition: Definition, local: Mapping[str, set[str]]) -> Iterator[JobRead]:
        for node in ast.walk(definition):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_method = isinstance(node.func, ast.Attribute)
            wanted = "job_name" if called in _OLD_READS else "job" if is_method and called in _READS else None
            for keyword in node.keywords:
                names = self._texts(file, keyword.value, local) if keyword.arg == wanted else ()
                for name in sorted(filter(None, names)):
                    yield JobRead(name, f"{file.path.relative_to(self._folder)}:{node.lineno}")

    def _texts(self, file: _File, value: ast.expr, local: Mapping[str, set[str]]) -> set[str]:
        """Returns the texts in a call, of the function's own names, or of constants at the top of a file."""
        return set(texts_in(value, lambda name: local[name] if name in local else self._outside(file, name)))

    def _outside(self, file: _File, name: str) -> set[str]:
        """Returns the texts of a constant at the top of this file, or of the one that it is imported from."""
        if name in file.imported:
            module, name = file.imported[name]
            other = self._files.get(module)
            return other.constants.get(name, set()) if other else set()
        return file.constants.get(name, set())

    def _called(self, file: _File, definition: Definition, local: Mapping[str, set[str]]) -> Iterator[_Use]:
        """Lists the module's own names that a definition uses, and the texts that it gives to those that it calls."""
        calls = {id(node.func): node for node in ast.walk(definition) if isinstance(node, ast.Call)}
        for node in ast.walk(definition):
            if isinstance(node, ast.Name):
                where = self._home(file, node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = file.imported.get(node.value.id, ("", ""))
                where = ".".join(part for part in (module, name) if part), node.attr
            else:
                continue
            call = calls.get(id(node))
            yield _Use(*where, self._given(file, call, where, local) if call else frozenset())

    def _given(
        self, file: _File, call: ast.Call, where: tuple[str, str], local: Mapping[str, set[str]]
    ) -> frozenset[tuple[str, str]]:
        """Returns the texts that a call gives to parameters of a function of the module."""
        home = self._files.get(where[0])
        called = home.definitions.get(where[1]) if home else None
        if called is None or isinstance(called, ast.ClassDef):
            return frozenset()
        names = [one.arg for one in (*called.args.posonlyargs, *called.args.args)]
        placed = takewhile(lambda one: not isinstance(one, ast.Starred), call.args)
        pairs = [*zip(names, placed, strict=False), *((one.arg or "", one.value) for one in call.keywords)]
        return frozenset((name, text) for name, value in pairs for text in self._texts(file, value, local))

    def _home(self, file: _File, name: str) -> tuple[str, str]:
        """Follows a name through the imports to where it is defined."""
        for _ in self._files:
            if name in file.definitions or name not in file.imported:
                break
            module, name = file.imported[name]
            following = self._files.get(module)
            if following is None:
                break
            file = following
        return file.name, name
