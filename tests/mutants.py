"""Small faults (mutants) in Python code: where they may stand, and code that holds many of them, each with a switch.

Only the bodies of functions are changed. The texts of errors, annotations and sentences stay as they are. So does code
whose change no user could notice: the type that a cast names, the case of an encoding, a ``zip`` that is strict about
lengths which are equal by construction.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

__all__ = ["Mutant", "mutants_of", "with_switches"]

SWITCH = "mutant_is_on_"
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
REPLACED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Div,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
UNSEEN = frozenset({"cast", "TypeVar", "getLogger"})
ENCODINGS = frozenset({"utf-8", "ascii", "latin-1"})


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    file: str
    """The path, from the root of the project."""
    number: int
    """Its place among the mutants of the file."""
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before}  ->  {self.after}"


def mutants_of(file: str, code: str) -> list[Mutant]:
    """Returns every fault that may be put into a file."""
    maker = _Maker(file, ())
    maker.visit(ast.parse(code))
    return maker.mutants


def with_switches(file: str, code: str, chosen: Container[int], module: str) -> str:
    """Returns the code with the chosen faults in it, each behind a question to ``module`` whether it is on."""
    maker = _Maker(file, chosen)
    tree = maker.visit(ast.parse(code))
    begin = next(
        (
            number
            for number, part in enumerate(tree.body)
            if not (isinstance(part, ast.Expr) or (isinstance(part, ast.ImportFrom) and part.module == "__future__"))
        ),
        len(tree.body),
    )
    tree.body.insert(begin, ast.ImportFrom(module, [ast.alias("is_on", SWITCH)], 0))
    return ast.unparse(ast.fix_missing_locations(tree))


class _Maker(ast.NodeTransformer):
    """Lists the faults of a tree, and puts the chosen ones in."""

    def __init__(self, file: str, chosen: Container[int]) -> None:
        self.file, self.chosen, self.mutants = file, chosen, list[Mutant]()
        self.inside = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self.inside += 1
        node.body = [self.visit(part) for part in node.body]
        self.inside -= 1
        return node

    def visit(self, node: ast.AST) -> Any:
        """Visits a node if it may be changed."""
        if self.inside and (isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert) or _is_text(node)):
            return node
        if isinstance(node, ast.AnnAssign | ast.Call | ast.Subscript | ast.Attribute | ast.match_case):
            return self._partly(node)
        return self._switched(node, super().visit)

    def _partly(self, node: ast.AST) -> Any:
        """Visits a node without its parts that may not be changed: an annotation, the name of a call, a pattern."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSEEN:
            return node
        if isinstance(node, ast.AnnAssign):
            node.value = self.visit(node.value) if node.value else None
            return node
        if isinstance(node, ast.match_case):
            node.guard = self.visit(node.guard) if node.guard else None
            node.body = [self.visit(part) for part in node.body]
            return node
        return self._switched(node, super().visit)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        strict = [keyword for keyword in node.keywords if _is_strict_zip(node, keyword)]
        node.keywords = [keyword for keyword in node.keywords if keyword not in strict]
        self.generic_visit(node)
        node.keywords += strict
        return node

    def _switched(self, node: ast.AST, inner: Callable[[ast.AST], Any]) -> Any:
        if not self.inside or not isinstance(node, ast.expr):
            return inner(node)
        whole = copy.deepcopy(node)
        made = inner(node)
        for fault in _faults(whole):
            number = len(self.mutants)
            self.mutants.append(Mutant(self.file, number, whole.lineno, ast.unparse(whole), ast.unparse(fault)))
            if number in self.chosen:
                question = ast.Call(ast.Name(SWITCH, ast.Load()), [ast.Constant(f"{self.file}#{number}")], [])
                made = ast.IfExp(question, fault, made)
        return made


def _is_text(node: ast.AST) -> bool:
    """Returns whether a node is a docstring or another sentence."""
    value = node.value if isinstance(node, ast.Expr) else node
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and " " in value.value


def _faults(node: ast.AST) -> Iterator[ast.expr]:
    """Yields the faulty expressions that may replace an expression."""
    match node:
        case ast.Compare(ops=ops):
            for number, operator in enumerate(ops):
                yield _with(node, ops=[*ops[:number], COMPARED[type(operator)](), *ops[number + 1 :]])
        case ast.BinOp(op=operator) if type(operator) in REPLACED:
            yield _with(node, op=REPLACED[type(operator)]())
        case ast.BoolOp(op=operator):
            yield _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            yield from node.values  # each part alone
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.Constant():
            yield from _constants(node)
        case ast.Call():
            yield from _calls(node)
        case ast.Subscript(ctx=ast.Load(), slice=ast.Slice() as part):
            yield from (_with(node, slice=_with(part, **{name: None})) for name in _bounds(part))


def _bounds(part: ast.Slice) -> list[str]:
    return [name for name in ("lower", "upper", "step") if getattr(part, name) is not None]


def _constants(node: ast.Constant) -> Iterator[ast.expr]:
    match node.value:
        case bool() as value:
            yield ast.Constant(not value)
        case int() | float() as value:
            yield ast.Constant(value + 1)
        case str() as value if value not in ENCODINGS:
            yield ast.Constant(f"XX{value}XX")


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    for number, argument in enumerate(node.args):
        if not isinstance(argument, ast.Starred | ast.Constant | ast.GeneratorExp):
            yield _with(node, args=[*node.args[:number], ast.Constant(None), *node.args[number + 1 :]])
    for number, keyword in enumerate(node.keywords):
        if keyword.arg and not _is_strict_zip(node, keyword):
            yield _with(node, keywords=[*node.keywords[:number], *node.keywords[number + 1 :]])
    if isinstance(node.func, ast.Name) and node.func.id in {"abs", "sorted", "round", "set", "reversed"} and node.args:
        yield node.args[0]


def _is_strict_zip(node: ast.Call, keyword: ast.keyword) -> bool:
    """Returns whether a keyword makes ``zip`` check lengths, which in this project are equal by construction."""
    called, value = node.func, keyword.value
    is_zip = isinstance(called, ast.Name) and called.id == "zip"
    return is_zip and keyword.arg == "strict" and isinstance(value, ast.Constant) and value.value is True


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
