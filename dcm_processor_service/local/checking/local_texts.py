"""Finds, in the source of a function, the texts that its local names may have as values."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["local_texts", "texts_in"]


def local_texts(definition: ast.AST) -> dict[str, set[str]]:
    """Returns, by name, the texts that assignments, loops over texts, and defaults of parameters give to a name.

    Example:
        >>> import ast
        >>> source = "def run(ctx, other='b'): return [name for name in ('c', other)]"
        >>> {name: sorted(texts) for name, texts in local_texts(ast.parse(source)).items()}
        {'other': ['b'], 'name': ['c']}
    """
    found: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(definition):
        for name, value in _bindings(node):
            if texts := set(texts_in(value)):
                found[name] |= texts
    return dict(found)


def texts_in(value: ast.expr) -> Iterator[str]:
    """Yields the text of an expression, or the texts in a list, a tuple, a set or both branches of a conditional."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        for one in value.elts:
            yield from texts_in(one)
    elif isinstance(value, ast.IfExp):
        yield from texts_in(value.body)
        yield from texts_in(value.orelse)


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
