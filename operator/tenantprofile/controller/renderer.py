"""Renders PolicyTemplates in a process of their own, so that none can hold up the operator.

The process is started with the first PolicyTemplate that a profile uses, and again after it ended. A request that
uses up its processor time ends it; that template with these parameters is refused from then on, by name. A process
that does not answer for another reason is ended too, and the namespace is tried again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from signal import SIGVTALRM
from typing import Any, Final

import orjson

from tenantprofile.controller.render_process import PROCESSOR_SECONDS
from tenantprofile.planning.desired import Failed
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.templates import Template

logger = logging.getLogger(__name__)

LONGEST: Final = 30.0
"""Seconds that an answer may take on a busy machine, beside the processor time that it may use."""
LONGEST_LINE: Final = 8 * 1024 * 1024
"""Bytes of a request or an answer."""
MAX_REFUSED: Final = 1000


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
        self.renders = 0
        """Requests made."""
        self.rendered: Callable[[float], None] = lambda seconds: None
        """Called after each request that was asked, with how long it took."""

    async def render(
        self,
        template: Template,
        parameters: Mapping[str, Any],
        namespace: NamespaceFacts,
        profile: ProfileFacts,
    ) -> Mapping[str, Any] | Failed:
        """The spec, or why there is none. Raises RendererError."""
        try:
            what = orjson.dumps(
                [
                    template.name,
                    template.body,
                    template.parameters,
                    dict(profile.parameters),
                    dict(parameters),
                ],
                option=orjson.OPT_SORT_KEYS,
            )
            request = orjson.dumps(
                {
                    "built_in": template.name if template.built_in else "",
                    "template": {
                        "metadata": {"name": template.name},
                        "spec": {"template": template.body, "parameters": template.parameters},
                    },
                    "parameters": dict(parameters),
                    "profile_parameters": dict(profile.parameters),
                    "profile": profile.name,
                    "namespace": namespace.name,
                    "labels": dict(namespace.labels),
                    "annotations": dict(namespace.annotations),
                }
            )
        except (TypeError, ValueError) as error:
            return Failed("InvalidParameters", f"parameters cannot be written as JSON: {error}", always=True)
        if len(request) > LONGEST_LINE:
            return Failed(
                "InvalidParameters", f"more than {LONGEST_LINE >> 20} MiB of parameters", always=True
            )
        key = blake2b(what, digest_size=16).digest()
        refused = self._refused.get(key)
        if refused is not None:
            return refused
        async with self._one_at_a_time:
            begun = time.monotonic()
            try:
                line = await self._ask(request)
            finally:
                self.rendered(time.monotonic() - begun)
        if line is None:
            refused = Failed(
                "RenderFailed",
                f"template {template.name!r} ({template.source}): needs more than {PROCESSOR_SECONDS:.0f} s of"
                " processor time with these parameters; make its loops shorter",
                always=True,
            )
            self._refused[key] = refused
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)
            logger.warning("a template used up its processor time: %s", refused.message)
            return refused
        answer = orjson.loads(line)
        if "spec" in answer:
            spec: Mapping[str, Any] = answer["spec"]
            return spec
        return Failed(answer["kind"], answer["message"], bool(answer.get("always")))

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
