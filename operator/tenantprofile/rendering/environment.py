"""The bounded Jinja that templates run in: compiled once per source, run as often as needed.

Two walls. The first is `language`: the syntax tree is checked against an allow-list and rewritten,
so that no Python attribute is read and no Python object is called. The second is Jinja's own
sandbox below it. What a run prints goes through `placeholders`, what it costs through `budget`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, pass_context
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tenantprofile.policy.findings import nearest
from tenantprofile.rendering import builtin_filters, shape_filters
from tenantprofile.rendering.budget import MAX_INTEGER, Budget, BudgetError
from tenantprofile.rendering.builtin_filters import RUN, FilterError, RefusalError, budget_of
from tenantprofile.rendering.language import LanguageError, check_length, prepare
from tenantprofile.rendering.placeholders import PrintError, Slots, refuse_sentinels, split_marks

__all__ = ["CompiledTemplate", "LanguageError", "RunError", "compile_source"]

MAX_SOURCE: Final = 64 * 1024

_HINTED: Final = 200
"""Keys of a map that an error message looks through."""
_FILE: Final = "<template>"
_LOOP: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})


class RunError(Exception):
    """A run that failed: the template's line, what happened, and the parameter if `fail` named one."""

    def __init__(
        self, line: int | None, message: str, refusal: bool = False, parameter: str | None = None
    ) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message
        self.refusal = refusal
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Run:
    """What belongs to one run and not to the template."""

    budget: Budget
    slots: Slots


@dataclass(frozen=True, slots=True)
class Output:
    """Text with placeholders, their values, and the template's line of each of the text's lines."""

    text: str
    slots: Slots
    lines: list[int]


class _Missing(StrictUndefined):
    """A name that is not there. What is there instead is looked up only for a message, not for `is defined`."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if not isinstance(self._undefined_obj, Mapping):
            return super()._undefined_message
        found = list(islice(map(str, self._undefined_obj), _HINTED))
        there = f"; there are {', '.join(sorted(found)[:20])}" if found else "; it is empty"
        return f"found no {self._undefined_name!r}{nearest(self._undefined_name, found)}{there}"


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    intercepted_unops = frozenset({"+", "-"})

    def __init__(self) -> None:
        super().__init__(
            undefined=_Missing,
            finalize=_keep,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            # Folding would run expressions while compiling, outside of every budget.
            optimized=False,
            cache_size=0,
        )
        self.globals = {}
        self.filters = {**builtin_filters.FILTERS, **shape_filters.FILTERS}
        self.tests = dict(builtin_filters.TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a map, or a loop's counter; never an attribute of a Python object."""
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Mapping):
            if isinstance(argument, str) and argument in obj:
                return obj[argument]
            return self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | tuple) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(f"a {type(obj).__name__} has no {argument!r}")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        raise FilterError("nothing can be called")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, Undefined):
                operand._fail_with_undefined_error()
        if operator == "+" and type(left) is type(right) and isinstance(left, str | list):
            both = left + right
            budget_of(context).charge(both)
            return both
        numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
        if operator == "**" or not numbers:
            kinds = f"{type(left).__name__} and {type(right).__name__}"
            raise FilterError(f"{operator!r} is not there for {kinds}")
        result = super().call_binop(context, operator, left, right)
        if not -MAX_INTEGER < result < MAX_INTEGER:
            raise FilterError("a number of more than 64 bits")
        return result

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        if isinstance(arg, bool) or not isinstance(arg, int | float):
            raise FilterError(f"{operator!r} is there for numbers only")
        return super().call_unop(context, operator, arg)


@pass_context
def _keep(context: Context, value: Any) -> str:
    # `pass_context` also keeps Jinja from folding printed constants past this function at compile time.
    run: Run = context.parent[RUN]
    return run.slots.keep(value)


_ENVIRONMENT: Final = _Environment()


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template's body, ready to run.

    `uses` tells which facts it reads: "namespace.name", "namespace.labels", "namespace.annotations",
    "profile.name", "profile.parameters". Two runs that agree on these and on the parameters are equal.
    `parameters_named` are the keys of `params` that it reads by name.
    """

    uses: frozenset[str]
    parameters_named: frozenset[str]
    _template: Template

    def run(
        self, params: Mapping[str, Any], namespace: Mapping[str, Any], profile: Mapping[str, Any]
    ) -> Output:
        """Runs the body. Raises RunError."""
        budget = Budget()
        run = Run(budget, Slots(budget))
        context = self._template.new_context(
            {"params": params, "namespace": namespace, "profile": profile, RUN: run}
        )
        chunks: list[str] = []
        try:
            for chunk in self._template.root_render_func(context):
                budget.write(len(chunk))
                chunks.append(chunk)
        except RefusalError as error:
            raise RunError(self._line(error.__traceback__), error.message, True, error.parameter) from None
        except (UndefinedError, FilterError, PrintError, BudgetError) as error:
            raise RunError(self._line(error.__traceback__), str(error)) from None
        except RecursionError:
            raise RunError(None, "too deeply nested") from None
        except Exception as error:
            # Wrong arguments to a filter and the like; the words are Python's.
            raise RunError(self._line(error.__traceback__), f"{type(error).__name__}: {error}") from None
        text, lines = split_marks("".join(chunks))
        return Output(text, run.slots, lines)

    def _line(self, traceback: TracebackType | None) -> int | None:
        line = None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == _FILE:
                line = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


@lru_cache(maxsize=1024)
def compile_source(source: str) -> CompiledTemplate:
    """Checks and compiles a template's body; the same source only once. Raises LanguageError."""
    if len(source) > MAX_SOURCE:
        raise LanguageError(1, f"more than {MAX_SOURCE // 1024} KiB of template")
    try:
        refuse_sentinels(source)
        check_length(source, _ENVIRONMENT)
        tree = _ENVIRONMENT.parse(source)
        uses, parameters = prepare(tree, _ENVIRONMENT)
        compile_: Callable[..., Any] = _ENVIRONMENT.compile
        template = Template.from_code(_ENVIRONMENT, compile_(tree, filename=_FILE), {})
    except TemplateSyntaxError as error:
        raise LanguageError(error.lineno, error.message or "syntax error") from None
    except PrintError as error:
        raise LanguageError(1, str(error)) from None
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        # The parser recurses, and Python has limits of its own on what the compiler hands to it.
        raise LanguageError(1, f"too large or too deeply nested ({type(error).__name__})") from None
    return CompiledTemplate(uses, parameters, template)
