"""Runs what people wrote, PolicyTemplates and assertions, in a process of its own, so that none holds up the operator.

The process is started with the first request, and again after it ended. A request that uses up its processor time
ends it; what was asked is refused from then on, by name. A process that does not answer for another reason is ended
too, and the namespace is tried again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from signal import SIGVTALRM
from typing import Any, Final

import orjson

from tenantprofile.assertions.hypothetical import Mentions
from tenantprofile.assertions.profile import Violated
from tenantprofile.controller.render_process import PROCESSOR_SECONDS
from tenantprofile.planning.desired import DesiredPolicy, Failed
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.templates import Template

logger = logging.getLogger(__name__)

LONGEST: Final = 30.0
"""Seconds that an answer may take on a busy machine, beside the processor time that it may use."""
LONGEST_LINE: Final = 8 * 1024 * 1024
"""Bytes of a request or an answer."""
MAX_REFUSED: Final = 1000
MAX_LOADED: Final = 4000
"""Templates, with parameters, of which it is remembered what they use."""


class RendererError(Exception):
    """There is no answer; another try may have one."""


class ProcessRenderer:
    """Used from one event loop; one request at a time. `command` starts the process."""

    def __init__(
        self, command: tuple[str, ...] = (sys.executable, "-m", "tenantprofile.controller.render_process")
    ) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self._refused: OrderedDict[bytes, Failed] = OrderedDict()
        self._loaded: OrderedDict[bytes, frozenset[str] | Failed] = OrderedDict()
        self.renders = 0
        """Requests made."""

    async def load(
        self,
        template: Template,
        parameters: Mapping[str, Any] | None = None,
        profile: ProfileFacts | None = None,
    ) -> frozenset[str] | Failed:
        """What renderings depend on, or why the template cannot be used. Raises RendererError."""
        what = {"do": "load", **_template(template, parameters, profile)}
        request = _written(what)
        if isinstance(request, Failed):
            return request
        key = _digest(request)
        loaded = self._loaded.get(key)
        if loaded is not None:
            self._loaded.move_to_end(key)
            return loaded
        answer = await self._answer(
            request, key, f"template {template.name!r} ({template.source})", "to be loaded; make it simpler"
        )
        loaded = answer if isinstance(answer, Failed) else frozenset(answer["uses"])
        self._loaded[key] = loaded
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return loaded

    async def render(
        self,
        template: Template,
        parameters: Mapping[str, Any],
        namespace: NamespaceFacts,
        profile: ProfileFacts,
    ) -> Mapping[str, Any] | Failed:
        """The spec, or why there is none. Raises RendererError."""
        # What takes too long is refused for every namespace.
        key = _written({"do": "render", **_template(template, parameters, profile)})
        if isinstance(key, Failed):
            return key
        facts = {
            "namespace": namespace.name,
            "labels": dict(namespace.labels),
            "annotations": dict(namespace.annotations),
        }
        request = _joined(key, facts)
        answer = await self._answer(
            request,
            _digest(key),
            f"template {template.name!r} ({template.source})",
            "with these parameters; make its loops shorter",
        )
        if isinstance(answer, Failed):
            return answer
        spec: Mapping[str, Any] = answer["spec"]
        return spec

    async def check(
        self,
        assertion: Mapping[str, Any],
        policies: Sequence[DesiredPolicy],
        namespace: str,
        labels: Mapping[str, str],
    ) -> tuple[Mentions, tuple[Violated, ...]] | Failed:
        """What the policies violate, and what of a namespace's labels that depends on. Raises RendererError."""
        key = _written(
            {
                "do": "check",
                "assertion": assertion,
                "policies": [[policy.entry, orjson.Fragment(policy.spec)] for policy in policies],
            }
        )
        if isinstance(key, Failed):
            return Failed(
                "AssertionFailed",
                f"{assertion.get('name')}: cannot be decided: more than {LONGEST_LINE >> 20} MiB of policies",
                always=True,
            )
        request = _joined(key, {"namespace": namespace, "labels": dict(labels)})
        answer = await self._answer(
            request,
            _digest(key),
            f"assertion {assertion.get('name')!r}",
            "to be decided; narrow it down by podLabels or namespaces",
        )
        if isinstance(answer, Failed):
            return answer
        seen = Mentions.none()
        for label, values in answer["seen"].items():
            seen.values[label].update(values)
        return seen, tuple(Violated(name, message) for name, message in answer["violated"])

    async def _answer(self, request: bytes, key: bytes, what: str, advice: str) -> dict[str, Any] | Failed:
        """The answer to a request; refused at once where its like used up the processor time before."""
        async with self._one_at_a_time:
            # Others may have asked the same while this one waited.
            refused = self._refused.get(key)
            if refused is not None:
                return refused
            line = await self._ask(request)
            if line is None:
                message = f"{what}: needs more than {PROCESSOR_SECONDS:.0f} s of processor time {advice}"
                refused = self._refused[key] = Failed("RenderFailed", message, always=True)
                if len(self._refused) > MAX_REFUSED:
                    self._refused.popitem(last=False)
                logger.warning("ended the rendering process: %s", message)
                return refused
        answer: dict[str, Any] = orjson.loads(line)
        if "message" in answer:
            return Failed(answer["kind"], answer["message"], bool(answer.get("always")))
        return answer

    async def _ask(self, request: bytes) -> bytes | None:
        """The answer; None where the processor time was used up. Raises RendererError."""
        process = await self._running()
        assert process.stdin is not None  # noqa: S101 (for the type checker: both are pipes)
        assert process.stdout is not None  # noqa: S101
        self.renders += 1
        line = b""
        try:
            async with asyncio.timeout(LONGEST):
                process.stdin.write(request + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except (TimeoutError, OSError, ValueError) as error:
            await self.stop()
            raise RendererError(f"the rendering process gave no answer: {error!r}") from error
        except asyncio.CancelledError:
            # Its answer would be taken for the next request's.
            await self.stop()
            raise
        if line.endswith(b"\n"):
            return line
        code = await process.wait()
        self._process = None
        if code == -SIGVTALRM:
            return None
        raise RendererError(f"the rendering process ended with {code}")

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=LONGEST_LINE,
                )
            except OSError as error:
                raise RendererError(f"the rendering process does not start: {error}") from error
        return self._process

    async def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _template(
    template: Template, parameters: Mapping[str, Any] | None, profile: ProfileFacts | None
) -> dict[str, Any]:
    return {
        "built_in": template.name if template.built_in else "",
        "template": {
            "metadata": {"name": template.name},
            "spec": {"template": template.body, "parameters": template.parameters},
        },
        "parameters": None if parameters is None else dict(parameters),
        "profile_parameters": dict(profile.parameters) if profile is not None else {},
        "profile": profile.name if profile is not None else "",
    }


def _written(request: Mapping[str, Any]) -> bytes | Failed:
    try:
        written = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        return Failed("InvalidParameters", f"parameters cannot be written as JSON: {error}", always=True)
    if len(written) > LONGEST_LINE:
        return Failed("InvalidParameters", f"more than {LONGEST_LINE >> 20} MiB of parameters", always=True)
    return written


def _joined(written: bytes, more: Mapping[str, Any]) -> bytes:
    """The same object with more members."""
    return written[:-1] + b"," + orjson.dumps(more)[1:]


def _digest(written: bytes) -> bytes:
    return blake2b(written, digest_size=16).digest()
