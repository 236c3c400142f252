"""Make the mutants of a module: copies of its code in which one thing inside of a function differs."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where it is, what stands there before and after, and the whole module with it."""

    line: int
    before: str
    after: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    places = [node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt)]
    inside = _inside_functions(tree)
    for number, node in sorted(enumerate(places), key=lambda pair: pair[1].lineno):
        if id(node) not in inside:
            continue
        for variant in range(len(list(_changes(node)))):
            changed = copy.deepcopy(tree)
            twin = [n for n in ast.walk(changed) if isinstance(n, ast.expr | ast.stmt)][number]
            new = list(_changes(twin))[variant]
            _Replace(twin, new).visit(changed)
            ast.fix_missing_locations(changed)
            yield Mutant(node.lineno, ast.unparse(node), ast.unparse(new), changed)


def _inside_functions(tree: ast.Module) -> set[int]:
    """Return the ids of the nodes in bodies of functions; docstrings and annotations are left alone."""
    found: set[int] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:
                found |= {id(node) for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            found -= {id(part) for part in ast.walk(node.annotation)}
    return found


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what could stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for i, kind in enumerate(node.ops):
            new = copy.deepcopy(node)
            new.ops[i] = _COMPARED[type(kind)]()
            yield new
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED and not _is_text(node):
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int):
        yield ast.Constant(not node.value if type(node.value) is bool else int(node.value) + 1)
    elif isinstance(node, ast.If | ast.While):
        new_test = copy.deepcopy(node)
        new_test.test = ast.UnaryOp(ast.Not(), node.test)
        yield new_test
    elif isinstance(node, ast.Raise | ast.AugAssign | ast.Break | ast.Continue) or _acts(node):
        yield ast.Pass()


def _acts(node: ast.AST) -> bool:
    """Return whether a statement is a call for its effect, or sets something that outlives the function."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Await)
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)


def _is_text(node: ast.AST) -> bool:
    parts = list(ast.walk(node))
    return any(isinstance(part, ast.JoinedStr | ast.List | ast.Tuple) for part in parts) or any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts
    )


class _Replace(ast.NodeTransformer):
    """Puts a node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self._new, node) if node is self._old else super().visit(node)
