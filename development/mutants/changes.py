"""Find every place in a file that can be changed, and how.

Strings are not changed: most are prose, and the others are words of the API that the contract tests compare as a whole.
Annotations, decorators, ``__repr__`` and the bodies of protocols are not changed either.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LEFT_ALONE = {"annotation", "returns", "decorator_list", "bases", "type_params", "format_spec"}
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(eq=False)
class Mutant:
    """One change at one place in a file.

    Attributes:
        name: file, class and function of the place, and the change. It has no line number, so it stays when lines move.
        function: qualified name of the outermost function around the place.
        lines: lines of the statement, which a test must execute to notice the change.
    """

    path: Path
    name: str
    function: str
    lines: range
    tree: ast.Module
    holder: Any
    key: Any
    changed: ast.AST

    def code(self) -> Any:
        """Compile the file with the change. The tree stays changed, so call it only in a fork."""
        self.holder[self.key] = self.changed
        return compile(ast.fix_missing_locations(self.tree), str(self.path), "exec", dont_inherit=True)


def mutants(path: Path, shown: str) -> Iterator[Mutant]:
    """Yield every possible change of a file, each with a unique name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen: Counter[str] = Counter()
    for holder, key, scope, function, lines in _places(tree, (), None, range(0)):
        if function is None:
            continue
        old = holder[key]
        for new in _changes(old):
            ast.copy_location(new, old)
            text = f"{shown} {'.'.join(scope)}: {_text(old)} -> {_text(new)}"
            seen[text] += 1
            name = text if seen[text] == 1 else f"{text} #{seen[text]}"
            yield Mutant(path, name, function, lines, tree, holder, key, new)


def _text(node: ast.AST) -> str:
    """Return the source of a node. A statement with a body is named by its first line."""
    return ast.unparse(ast.fix_missing_locations(node)).strip().partition("\n")[0]


def _places(
    node: ast.AST, scope: tuple[str, ...], function: str | None, lines: range
) -> Iterator[tuple[Any, Any, tuple[str, ...], str | None, range]]:
    """Walk down to every node: its holder and key, the names around it, and the lines of its statement."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        scope = (*scope, node.name)
    for field, value in ast.iter_fields(node):
        inside = function
        if field in _LEFT_ALONE:
            continue
        if isinstance(node, ast.FunctionDef) and field == "body":
            inside = function or ".".join(scope)
        held: Any = value if isinstance(value, list) else vars(node)
        for key in range(len(value)) if isinstance(value, list) else (field,):
            child = held[key]
            if not isinstance(child, ast.AST) or _is_left_alone(child):
                continue
            own = _lines(child) if isinstance(child, ast.stmt | ast.ExceptHandler) else lines
            yield held, key, scope, inside, own
            yield from _places(child, scope, inside, own)


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name="__repr__") | ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring, or the body of a protocol
            return True
    return False


def _is_flag(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _lines(node: ast.stmt | ast.ExceptHandler) -> range:
    body = getattr(node, "body", None)
    end = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
    return range(node.lineno, end + 1)


def _changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912  a table of kinds
    match node:
        case ast.Compare(left, operators, others):
            for at, each in enumerate(operators):
                swapped = _COMPARED[type(each)]()
                yield ast.Compare(left, [*operators[:at], swapped, *operators[at + 1 :]], others)
        case ast.BinOp(left, op, right) if type(op) in _COMPUTED:
            yield ast.BinOp(left, _COMPUTED[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in _COMPUTED:
            yield ast.AugAssign(target, _COMPUTED[type(op)](), value)
        case ast.BoolOp(op, values):
            for at in range(len(values)):
                rest = values[:at] + values[at + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.If(_, body, orelse):
            yield from (ast.If(ast.Constant(value), body, orelse) for value in (True, False))
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.comprehension(target, each, [_, *more], is_async):
            yield ast.comprehension(target, each, more, is_async)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Name(name, context) if name in _NAMES:
            yield ast.Name(_NAMES[name], context)
        case ast.Call(called, arguments, keywords):
            # A flag is inverted instead, by the case of bool constants above.
            for at in (at for at, each in enumerate(keywords) if not _is_flag(each.value)):
                yield ast.Call(called, arguments, keywords[:at] + keywords[at + 1 :])
        case ast.Return(ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call(ast.Attribute(ast.Call(ast.Name("super"))))):
            # Keep the call in dead code: without `super` the new code would lack the cell that the function already has.
            yield ast.If(ast.Constant(value=False), [node], [])
        case ast.Expr(ast.Call()) | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case ast.ExceptHandler(kind, name, body) if not isinstance(body[0], ast.Raise):
            yield ast.ExceptHandler(kind, name, [ast.Raise()])
