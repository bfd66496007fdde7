"""Finds, in the source of a function, the texts that its local names may have as values."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lookup = Callable[[str], set[str]]

__all__ = ["local_texts", "texts_in"]


def local_texts(
    definition: ast.AST, outside: Lookup = lambda _name: set(), given: dict[str, set[str]] | None = None
) -> dict[str, set[str]]:
    """Returns, by name, the texts that assignments, loops over texts, and parameters give to a name.

    Args:
        definition: The function.
        outside: Returns the texts of a name that is not the function's own.
        given: Texts that a call gives to parameters, in place of their defaults.

    Example:
        >>> import ast
        >>> source = "def run(ctx, other='b'): return [name for name in ('c', other)]"
        >>> {name: sorted(texts) for name, texts in local_texts(ast.parse(source)).items()}
        {'other': ['b'], 'name': ['b', 'c']}
    """
    given = given or {}
    found: dict[str, set[str]] = defaultdict(set, {name: set(texts) for name, texts in given.items()})

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
            if texts := set(texts_in(value, known)):
                found[name] |= texts
    return dict(found)


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
