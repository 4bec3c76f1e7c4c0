"""The part of Jinja that templates are written in, and how it is made safe before it is compiled.

An allow-list of syntax: printing, `if`, `for`, inline `set`, comments, and expressions. The tree is
then rewritten so that nothing in it runs unseen: every call of a method or function becomes one of
our own filters, every literal and every loop pays from the render's budget, and every piece of text
carries its line number. After that no Python object is ever called or asked for an attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

from tenantprofile.policy.findings import nearest
from tenantprofile.rendering.placeholders import mark_lines

VARIABLES: Final = frozenset({"params", "namespace", "profile"})
FUNCTIONS: Final = frozenset({"range", "fail"})
METHODS: Final = frozenset(
    {"get", "items", "keys", "values", "startswith", "endswith", "lower", "upper", "strip", "split"}
    | {"removeprefix", "removesuffix"}
)
FACTS: Final = {
    "namespace": frozenset({"name", "labels", "annotations"}),
    "profile": frozenset({"name", "parameters"}),
}

MAX_SYNTAX_DEPTH: Final = 60
MAX_TOKENS: Final = 10_000
"""Names, operators and pieces of text in one template; what compiling it costs grows with them."""

_ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Assign,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.BinExpr,
    nodes.UnaryExpr,
)
_STATEMENTS: Final = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "block set",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.With: "with",
    nodes.ScopedEvalContextModifier: "autoescape",
    nodes.ExprStmt: "do",
    nodes.NSRef: "set of an attribute",
}


class LanguageError(Exception):
    """A template that is not written in this language."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def check_length(source: str, environment: Environment) -> None:
    """Refuses a source of more tokens than a policy needs, before it is parsed.

    Raises LanguageError and TemplateSyntaxError.
    """
    tokens = (line for line, kind, _ in environment.lex(source) if kind != "whitespace")
    for line in islice(tokens, MAX_TOKENS, None):
        raise LanguageError(line, f"more than {MAX_TOKENS} names, operators and pieces of text in a template")


def prepare(tree: nodes.Template, environment: Environment) -> tuple[frozenset[str], frozenset[str]]:
    """Checks and rewrites a parsed template in place.

    Returns which facts it uses ("namespace.labels", ...), and which parameters it names.
    """
    _check(tree, environment)
    uses = _facts_used(tree)
    parameters = frozenset(_parameters_named(tree))
    _Rewriter().visit(tree)
    tree.set_environment(environment)
    names = list(tree.find_all(nodes.Name))
    # A name that is set in another branch is left to the run, which is strict about undefined ones.
    known = VARIABLES | {"loop"} | {name.name for name in names if name.ctx == "store"}
    for name in names:
        if name.name not in known:
            raise LanguageError(
                name.lineno or 1,
                f"unknown name {name.name!r}{nearest(name.name, known)};"
                " templates see params, namespace and profile",
            )
    return uses, parameters


def _check(tree: nodes.Template, environment: Environment) -> None:
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        line = node.lineno or 1
        if depth > MAX_SYNTAX_DEPTH:
            raise LanguageError(line, f"more than {MAX_SYNTAX_DEPTH} levels of nesting")
        if not isinstance(node, _ALLOWED):
            word = _STATEMENTS.get(type(node), type(node).__name__)
            raise LanguageError(
                line, f"{word!r} is not part of the template language; it has if, for, set and expressions"
            )
        if isinstance(node, nodes.Filter | nodes.Test | nodes.Call) and (node.dyn_args or node.dyn_kwargs):
            raise LanguageError(line, "arguments with * or ** are not part of the template language")
        if isinstance(node, nodes.Filter) and node.name not in environment.filters:
            raise LanguageError(line, _unknown("filter", node.name, environment.filters))
        if isinstance(node, nodes.Test) and node.name not in environment.tests:
            raise LanguageError(line, _unknown("test", node.name, environment.tests))
        if isinstance(node, nodes.Call):
            _check_call(node, line)
        if isinstance(node, nodes.For) and node.recursive:
            raise LanguageError(line, "recursive loops are not part of the template language")
        if isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"):
            raise LanguageError(line, f"{node.name!r} is not part of the template language")
        if isinstance(node, nodes.Name) and node.ctx != "load" and node.name in VARIABLES | FUNCTIONS:
            raise LanguageError(line, f"{node.name!r} cannot be set")
        # The function's name in a call is no variable; the call is checked as a whole.
        children = _arguments(node) if isinstance(node, nodes.Call) else node.iter_child_nodes()
        stack.extend((child, depth + 1) for child in children)


def _unknown(kind: str, name: str, known: object) -> str:
    names = sorted(entry for entry in known if not entry.startswith("$"))  # type: ignore[attr-defined]
    return f"no {kind} is called {name!r}{nearest(name, names)}; there are {', '.join(names)}"


def _check_call(node: nodes.Call, line: int) -> None:
    called = node.node
    if isinstance(called, nodes.Name):
        if called.name not in FUNCTIONS:
            raise LanguageError(
                line, f"no function is called {called.name!r}; there are {', '.join(sorted(FUNCTIONS))}"
            )
    elif isinstance(called, nodes.Getattr):
        if called.attr not in METHODS:
            raise LanguageError(
                line, f"no method is called {called.attr!r}; there are {', '.join(sorted(METHODS))}"
            )
    else:
        raise LanguageError(line, "only functions and methods can be called")


def _arguments(node: nodes.Call) -> Iterator[nodes.Node]:
    if isinstance(node.node, nodes.Getattr):
        yield node.node.node
    yield from node.args
    yield from node.kwargs


def _facts_used(tree: nodes.Template) -> frozenset[str]:
    uses: set[str] = set()
    whole: dict[int, str] = {
        id(node): node.name for node in tree.find_all(nodes.Name) if node.name in FACTS and node.ctx == "load"
    }
    for access in _accesses(tree):
        owner = access.node
        if isinstance(owner, nodes.Name) and id(owner) in whole:
            field = _constant_key(access)
            if field in FACTS[owner.name]:
                uses.add(f"{owner.name}.{field}")
                del whole[id(owner)]
    for name in whole.values():
        uses.update(f"{name}.{field}" for field in FACTS[name])
    return frozenset(uses)


def _parameters_named(tree: nodes.Template) -> Iterator[str]:
    # The method's own node in `params.get(...)` is a Getattr as well.
    methods = {id(call.node) for call in tree.find_all(nodes.Call)}
    for access in _accesses(tree):
        if isinstance(access.node, nodes.Name) and access.node.name == "params" and id(access) not in methods:
            key = _constant_key(access)
            if key is not None:
                yield key


def _accesses(tree: nodes.Template) -> Iterator[nodes.Getattr | nodes.Getitem]:
    yield from tree.find_all(nodes.Getattr)
    yield from tree.find_all(nodes.Getitem)


def _constant_key(access: nodes.Getattr | nodes.Getitem) -> str | None:
    if isinstance(access, nodes.Getattr):
        return access.attr
    key = access.arg.value if isinstance(access.arg, nodes.Const) else None
    return key if isinstance(key, str) else None


class _Rewriter(NodeTransformer):
    """Turns what would run unseen into filters of our own; their names start with "$" on purpose,
    which no template can write."""

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        return nodes.TemplateData(mark_lines(node.data, node.lineno), lineno=node.lineno)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        called = node.node
        self.generic_visit(node)
        if isinstance(called, nodes.Name):
            return _filter(nodes.Const(None), f"${called.name}", node, node.args, node.kwargs)
        if isinstance(called, nodes.Getattr):
            return _filter(called.node, f"${called.attr}", node, node.args, node.kwargs)
        raise LanguageError(node.lineno, "only functions and methods can be called")

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes), "$concat", node)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, "$created", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, "$created", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, "$created", node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        # Slices bypass the environment's getitem (jinja2.compiler, visit_Getitem).
        return _filter(node, "$created", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filter(node.expr, "$created", node)
        for operand in node.ops:
            operand.expr = _filter(operand.expr, "$created", node)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        body = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        if isinstance(node.iter, nodes.Expr):
            node.iter = _filter(node.iter, "$each", node, [nodes.Const(body)])
        return node


def _filter(
    value: nodes.Expr,
    name: str,
    origin: nodes.Node,
    args: list[nodes.Expr] | None = None,
    kwargs: list[nodes.Keyword] | None = None,
) -> nodes.Filter:
    return nodes.Filter(value, name, args or [], kwargs or [], None, None, lineno=origin.lineno)
