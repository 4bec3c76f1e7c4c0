"""The process in which PolicyTemplates are loaded and rendered, and assertions checked.

Requests come on standard input, answers go to standard output, one JSON object per line, as `controller.renderer`
writes and reads them. A template is a program that a person wrote, and so are a schema and an assertion. Whatever
they do, they do here: each request may use one second of processor time, after which the kernel ends the process
(setitimer(2), ITIMER_VIRTUAL). Whatever else goes wrong is an answer, because a process that ended would be asked
the same again.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from tenantprofile.assertions.profile import ProfileAssertions, parse_profile_assertions
from tenantprofile.planning.desired import words
from tenantprofile.rendering.errors import RenderError
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import resolve
from tenantprofile.rendering.render import render
from tenantprofile.rendering.templates import Template, TemplateError, builtin_templates, load_policy_template

PROCESSOR_SECONDS: Final = 1.0
"""For one request. The largest built-in template takes a hundredth of it."""
MEMORY: Final = 1 << 30
"""Bytes of address space."""
LARGEST_ANSWER: Final = 3 * 1024 * 1024
"""Bytes of a spec; the API server takes no larger request (apiserver, --max-request-bytes)."""
KEPT: Final = 64
"""Templates and sets of parameters that stay compiled and checked."""


@lru_cache(maxsize=KEPT)
def _template(manifest: bytes) -> Template:
    return load_policy_template(orjson.loads(manifest))


@lru_cache(maxsize=KEPT)
def _parameters(template: Template, profile: bytes, entry: bytes) -> dict[str, Any]:
    return resolve(template, orjson.loads(profile), orjson.loads(entry))


@dataclass(frozen=True, slots=True)
class _Policy:
    """A policy as assertions read it. `digest` tells the policies of one request apart."""

    entry: str
    spec: Mapping[str, Any]
    digest: str

    def manifest(self, namespace: str) -> dict[str, Any]:
        return {"metadata": {"name": self.entry, "namespace": namespace}, "spec": self.spec}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`spec`, `uses`, or `seen` and `violated`; or `kind`, `message` and `always` of what failed."""
    if request["do"] == "check":
        return _check(request)
    manifest, given = orjson.dumps(request["template"]), orjson.dumps(request["profile_parameters"])
    try:
        template = (
            builtin_templates()[request["built_in"]] if request.get("built_in") else _template(manifest)
        )
        if request["parameters"] is None:
            return {"uses": sorted(template.uses)}
        parameters = _parameters(template, given, orjson.dumps(request["parameters"]))
    except TemplateError as error:
        return {"kind": "TemplateInvalid", "message": str(error), "always": True}
    except RenderError as error:
        return {"kind": error.kind, "message": words(error), "always": True}
    if request["do"] == "load":
        return {"uses": sorted(template.uses)}
    _allow_anew()
    namespace = NamespaceFacts(request["namespace"], request["labels"], request["annotations"])
    try:
        spec = render(template, parameters, namespace, ProfileFacts(request["profile"], orjson.loads(given)))
    except RenderError as error:
        return {"kind": error.kind, "message": words(error)}
    return {"spec": spec}


def _check(request: dict[str, Any]) -> dict[str, Any]:
    policies = [_Policy(entry, spec, str(n)) for n, (entry, spec) in enumerate(request["policies"])]
    assertions = ProfileAssertions(parse_profile_assertions([request["assertion"]], ("spec", "assertions")))
    violated = assertions.violated(policies, request["namespace"], request["labels"])
    return {
        "seen": {label: sorted(values) for label, values in assertions.seen(policies).values.items()},
        "violated": [[one.name, one.message] for one in violated],
    }


def _allow_anew() -> None:
    """Loading may have been done for an earlier request, or not: rendering has the same time in either case."""
    if signal.getitimer(signal.ITIMER_VIRTUAL)[0]:
        signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS)


def answered(line: bytes) -> bytes:
    """The answer to a request, whatever happens; it fits into one line of bounded length."""
    name = "?"
    try:
        request = orjson.loads(line)
        name = _called(request)
        made = orjson.dumps(answer(request))
        if len(made) <= LARGEST_ANSWER:
            return made
        message = f"renders more than {LARGEST_ANSWER >> 20} MiB; use several policies"
    except MemoryError:
        message = f"needs more than {MEMORY >> 20} MiB of memory with these parameters"
    except Exception as error:
        message = f"cannot be used with these parameters: {type(error).__name__}"
    return orjson.dumps({"kind": "RenderFailed", "message": f"{name}: {message}", "always": True})


def _called(request: dict[str, Any]) -> str:
    if "assertion" in request:
        return f"assertion {request['assertion'].get('name')!r}"
    return f"template {request['template']['metadata']['name']!r}"


def main() -> None:
    """Until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS)
        made = answered(line)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.buffer.write(made + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
