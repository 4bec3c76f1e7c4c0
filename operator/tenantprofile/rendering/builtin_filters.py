"""The filters, methods, operators and tests that every template has, each of them bounded.

Small and our own where Jinja's would hand out generators, call methods of values, or guess. Names
with "$" belong to the rewritten tree (`language`) and cannot be written in a template.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jinja2 import pass_context
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Context, Undefined
from jinja2.tests import TESTS as JINJA_TESTS

from tenantprofile.policy.addresses import cover_a_family
from tenantprofile.rendering.budget import MAX_ITERATIONS, MAX_TEXT, Budget

RUN: Final = "$run"
"""The name of the render's budget and slots in the context; no template can write it."""

MAX_STRIPPED: Final = 64
COST_OF_A_RANGE: Final = 100
"""What parsing and comparing an address range costs, in steps."""


class FilterError(ValueError):
    """A filter that was given what it cannot work with."""


class RefusalError(Exception):
    """What a template says with `fail`: in its own words, and about which parameter if it says so."""

    def __init__(self, message: str, parameter: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter


def budget_of(context: Context) -> Budget:
    budget: Budget = context.parent[RUN].budget
    return budget


def bounded(function: Callable[..., Any], steps_per_item: int = 1) -> Callable[..., Any]:
    """Makes a filter pay for what it reads and for what it returns, and in steps for each item that it is given."""

    @pass_context
    def paying(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = budget_of(context)
        budget.charge(value)
        budget.charge([*args, *kwargs.values()])
        given = (
            part for part in (value, *args, *kwargs.values()) if isinstance(part, list | tuple | Mapping)
        )
        budget.steps(steps_per_item * (1 + sum(map(len, given))))
        result = function(value, *args, **kwargs)
        budget.charge(result)
        return result

    paying.__doc__ = function.__doc__
    return paying


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    raise FilterError(f"found a {type(value).__name__}; expected a string or a number")


def _string(value: Any) -> str:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, str):
        raise FilterError(f"found a {type(value).__name__}; expected a string")
    return value


def _map(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, Mapping):
        raise FilterError(f"found a {type(value).__name__}; expected a map")
    return value


def sequence(value: Any) -> list[Any]:
    """A list of a value's items; a string is none, because looping over one is a mistake."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, list | tuple | range):
        return list(value)
    if isinstance(value, Mapping):
        return list(value)
    raise FilterError(f"found a {type(value).__name__}; expected a list or a map")


def _join(value: Any, separator: str = "") -> str:
    parts = [_text(part) for part in sequence(value)]
    _fits(sum(map(len, parts)) + len(parts) * len(separator))
    return _string(separator).join(parts)


def _replace(value: Any, old: str, new: str) -> str:
    text = _string(value)
    if not _string(old):
        raise FilterError("replace needs something to look for")
    _fits(len(text) + text.count(old) * len(_string(new)))
    return text.replace(old, new)


def _fits(length: int) -> None:
    if length > MAX_TEXT:
        raise FilterError(f"a text of more than {MAX_TEXT // 1024} KiB")


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = _string(value)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FilterError(f"found {text[:40]!r}; expected a whole number")
    return int(text)


def _sort(value: Any, reverse: bool = False, attribute: str | None = None) -> list[Any]:
    items = sequence(value)
    key = operator.itemgetter(attribute) if attribute is not None else None
    try:
        # Comparing nested lists would cost their size once for every level of nesting.
        if all(isinstance(key(item) if key else item, str | int | float) for item in items):
            return sorted(items, key=key, reverse=reverse)
    except (TypeError, KeyError):
        pass
    raise FilterError("only strings, or only numbers, can be sorted")


def _unique(value: Any) -> list[Any]:
    found: dict[str, Any] = {}
    for item in sequence(value):
        found.setdefault(f"{type(item).__name__}{item!r}", item)
    return list(found.values())


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(_counted(value))


def _counted(value: Any) -> Any:
    """What `sequence` takes, without a copy: looking at one end of it costs the same whatever its size."""
    return value if isinstance(value, list | tuple | range | Mapping) else sequence(value)


def _first(value: Any) -> Any:
    for item in _counted(value):
        return item
    raise FilterError("an empty list has no first item")


def _last(value: Any) -> Any:
    for item in reversed(_counted(value)):
        return item
    raise FilterError("an empty list has no last item")


def _items(value: Any) -> list[Any]:
    return [list(pair) for pair in _map(value).items()]


def _over_items(name: str) -> Callable[..., Any]:
    """Jinja's map, select and their kin, which call other filters and tests by name."""
    function = JINJA_FILTERS[name]

    @pass_context
    def paying(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        for argument in args:
            if isinstance(argument, str) and argument.startswith("$"):
                raise FilterError(f"{argument!r} cannot be called")
        budget = budget_of(context)
        budget.charge(value)
        items = sequence(value)
        budget.iterate(len(items))
        budget.charge([args, list(kwargs.values())])
        # A dotted attribute is a look-up for each of its parts.
        texts = [text for text in (*args, *kwargs.values()) if isinstance(text, str)]
        budget.steps(len(items) * (1 + sum(text.count(".") for text in texts)))
        result = list(function(context, items, *args, **kwargs))
        budget.charge(result)
        return result

    return paying


def _get(value: Any, key: Any, default: Any = None) -> Any:
    found = _map(value)
    return found[key] if isinstance(key, str) and key in found else default


def _strip(value: Any, characters: str | None = None) -> str:
    # Python looks every character of the text up in the other one.
    if characters is not None and len(_string(characters)) > MAX_STRIPPED:
        raise FilterError(f"more than {MAX_STRIPPED} characters to strip")
    return _string(value).strip(characters)


def _split(value: Any, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    return _string(value).split(separator, maxsplit)


def _range(_: Any, *bounds: int) -> list[int]:
    numbers = range(*bounds)
    if len(numbers) > MAX_ITERATIONS:
        raise FilterError(f"a range of more than {MAX_ITERATIONS} numbers")
    return list(numbers)


def _fail(_: Any, message: str, parameter: str | None = None) -> Any:
    raise RefusalError(_string(message), parameter)


@pass_context
def _each(context: Context, value: Any, body: int) -> list[Any]:
    """A loop's items. Each turn pays for the length of the loop's body, in nodes of the syntax tree."""
    items = sequence(value)
    budget = budget_of(context)
    budget.iterate(len(items))
    budget.steps(len(items) * body)
    return items


@pass_context
def _created(context: Context, value: Any) -> Any:
    budget_of(context).charge(value)
    return value


def _concat(value: Iterable[Any]) -> str:
    parts = [_text(part) for part in value]
    _fits(sum(map(len, parts)))
    return "".join(parts)


FILTERS: Final[dict[str, Any]] = {
    "default": JINJA_FILTERS["default"],
    "dictsort": bounded(lambda value: [list(pair) for pair in sorted(_map(value).items())]),
    "first": _first,
    "int": bounded(_integer),
    "items": bounded(_items),
    "join": bounded(_join),
    "last": _last,
    "length": _length,
    "list": bounded(sequence),
    "lower": bounded(lambda value: _string(value).lower()),
    "map": _over_items("map"),
    "reject": _over_items("reject"),
    "rejectattr": _over_items("rejectattr"),
    "replace": bounded(_replace),
    "select": _over_items("select"),
    "selectattr": _over_items("selectattr"),
    "sort": bounded(_sort),
    "string": bounded(_text),
    "trim": bounded(_strip),
    "unique": bounded(_unique),
    "upper": bounded(lambda value: _string(value).upper()),
    "$concat": bounded(_concat),
    "$created": _created,
    "$each": _each,
    "$endswith": bounded(lambda value, end: _string(value).endswith(_string(end))),
    "$fail": _fail,
    "$get": _get,
    "$items": bounded(_items),
    "$keys": bounded(lambda value: list(_map(value))),
    "$lower": bounded(lambda value: _string(value).lower()),
    "$range": bounded(_range),
    "$removeprefix": bounded(lambda value, prefix: _string(value).removeprefix(_string(prefix))),
    "$removesuffix": bounded(lambda value, suffix: _string(value).removesuffix(_string(suffix))),
    "$split": bounded(_split),
    "$startswith": bounded(lambda value, start: _string(value).startswith(_string(start))),
    "$strip": bounded(_strip),
    "$upper": bounded(lambda value: _string(value).upper()),
    "$values": bounded(lambda value: list(_map(value).values())),
}


@pass_context
def _covers_all_addresses(context: Context, value: Any) -> bool:
    """Whether address ranges together are all of IPv4 or all of IPv6, also when written in halves."""
    budget = budget_of(context)
    budget.charge(value)
    budget.steps(COST_OF_A_RANGE * len(_counted(value)))
    return cover_a_family(part for part in sequence(value) if isinstance(part, str))


def _comparing(name: str) -> Callable[..., Any]:
    """A test that compares two values, which may both be large."""
    function: Any = JINJA_TESTS[name]

    @pass_context
    def paying(context: Context, value: Any, other: Any) -> bool:
        budget = budget_of(context)
        budget.charge(value)
        budget.charge(other)
        return bool(function(value, other))

    return paying


_KIND_TESTS: Final = (
    *("defined", "undefined", "none", "boolean", "true", "false"),
    *("integer", "number", "string", "mapping"),
)
_COMPARING_TESTS: Final = (
    *("in", "eq", "==", "equalto", "ne", "!=", "lt", "<", "lessthan", "le", "<=", "gt", ">", "greaterthan"),
    *("ge", ">="),
)
TESTS: Final[dict[str, Any]] = {
    **{name: JINJA_TESTS[name] for name in _KIND_TESTS},
    **{name: _comparing(name) for name in _COMPARING_TESTS},
    "list": lambda value: isinstance(value, list | tuple),
    "covering_all_addresses": _covers_all_addresses,
}
