"""Finds, in the source of a function, the texts that its local names may have as values."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lookup = Callable[[str], set[str]]

__all__ = ["local_texts", "texts_in"]


def local_texts(
    definition: ast.AST, outside: Lookup = lambda _name: set(), given: dict[str, set[str]] | None = None
) -> dict[str, set[str]]:
    """Returns, for each name of a function's own, the texts that assignments, loops over texts and parameters give it.

    Args:
        definition: The function.
        outside: Returns the texts of a name that is not the function's own.
        given: Texts that a call gives to parameters, in place of their defaults.

    Example:
        >>> import ast
        >>> source = "def run(ctx, other='b'): return [name for name in ('c', other)]"
        >>> {name: sorted(texts) for name, texts in local_texts(ast.parse(source)).items()}
        {'ctx': [], 'other': ['b'], 'name': ['b', 'c']}
    """
    given = given or {}
    found = {name: set(given.get(name, ())) for node in ast.walk(definition) for name in _own_names(node)}
    for node in ast.walk(definition):
        if isinstance(node, ast.Global):
            for name in node.names:
                found.pop(name, None)

    def known(name: str) -> set[str]:
        return set(found[name]) if name in found else outside(name)

    bindings = [
        (name, value)
        for node in ast.walk(definition)
        for name, value in _bindings(node)
        if not (isinstance(node, ast.arguments) and name in given)
    ]
    before = -1
    while before != (before := sum(map(len, found.values()))):  # the value of a name may be another name
        for name, value in bindings:
            if name in found:
                found[name] |= set(texts_in(value, known))
    return found


def _own_names(node: ast.AST) -> Iterator[str]:
    """Yields the name of a parameter, or one that is assigned to."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def texts_in(value: ast.expr, known: Lookup = lambda _name: set()) -> Iterator[str]:
    """Yields the text of an expression, or the texts of a name, a list, a tuple, a set or both branches of an if."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Name):
        yield from known(value.id)
    elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        for one in value.elts:
            yield from texts_in(one, known)
    elif isinstance(value, ast.IfExp):
        yield from texts_in(value.body, known)
        yield from texts_in(value.orelse, known)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yields the names that a node binds, each with the expression that is bound to it."""
    if isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        with_default = positional[len(positional) - len(node.defaults) :]
        yield from ((one.arg, value) for one, value in zip(with_default, node.defaults, strict=True))
        keywords = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        yield from ((one.arg, value) for one, value in keywords if value is not None)
        return
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.For, ast.AsyncFor, ast.comprehension, ast.NamedExpr)):
        targets = [node.target]
    value = getattr(node, "iter", getattr(node, "value", None))
    for target in targets:
        if isinstance(target, ast.Name) and value is not None:
            yield target.id, value
