"""A template that does not end is ended with its process, refused by name, and not tried again and again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenantprofile.controller import render_process
from tenantprofile.controller.renderer import ProcessRenderer, RendererError
from tenantprofile.planning.desired import (
    ASSERTION_FAILED,
    DesiredPolicy,
    Failed,
    NotPreparedError,
    ProfilePlan,
    Refusal,
)
from tenantprofile.planning.profile import parse_profile
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.templates import (
    Template,
    builtin_templates,
    load_policy_template,
    read_policy_template,
)

BODY = "podSelector:\n  matchLabels: {ns: {{ namespace.name }}}\npolicyTypes: [Ingress]\n"
PROFILE = ProfileFacts("p")
SHOP = NamespaceFacts("shop")

NEVER_ENDS = (
    "import sys\n"
    "sys.argv[0] = 'x'\n"
    "from tenantprofile.controller import render_process\n"
    "honest = render_process.answer\n"
    "def answer(request):\n"
    "    if request['do'] == 'check': return honest(request)\n"
    "    while request['template']['metadata']['name'] == 'runaway' and request['do'] == 'render': pass\n"
    "    while request['template']['metadata']['name'] == 'unloadable' and request['do'] == 'load': pass\n"
    "    if request['template']['metadata']['name'] == 'crash': import os; os._exit(7)\n"
    "    if request['template']['metadata']['name'] == 'memory': return [0] * 10**9\n"
    "    if request['template']['metadata']['name'] == 'large': return {'spec': 'x' * 2**23}\n"
    "    return honest(request)\n"
    "render_process.answer = answer\n"
    "render_process.main()\n"
)
"""The process, with templates that get past every charge: what must not be possible, and is not relied on."""


def template(name: str = "own", body: str = BODY) -> Template:
    return load_policy_template({"metadata": {"name": name}, "spec": {"template": body}})


@pytest.fixture
async def renderer() -> AsyncIterator[ProcessRenderer]:
    made = ProcessRenderer((sys.executable, "-c", NEVER_ENDS))
    yield made
    await made.stop()


async def test_what_comes_back_is_what_is_rendered_in_place(renderer: ProcessRenderer) -> None:
    plan = ProfilePlan(profile("own"), {"own": template()})
    await plan.prepare(renderer, SHOP)
    # It is loaded, then rendered.
    assert renderer.renders == 2
    (there,) = plan.desired(SHOP)
    assert renderer.renders == 2
    (here,) = ProfilePlan(profile("own"), {"own": template()}).desired(SHOP)
    assert isinstance(here, DesiredPolicy)
    assert there == here


def profile(*entries: str, **parameters: Any) -> Any:
    return parse_profile(
        {
            "metadata": {"name": "p", "uid": "u"},
            "spec": {
                "namespaceSelector": {"matchLabels": {"a": "b"}},
                "policies": [{"template": name, "parameters": parameters} for name in entries],
            },
        }
    )


async def test_a_template_that_does_not_end_is_refused_by_name_and_not_tried_again(
    renderer: ProcessRenderer,
) -> None:
    for _ in range(3):
        made = await renderer.render(template("runaway"), {}, SHOP, PROFILE)
        assert isinstance(made, Failed)
        assert made.always
        assert "'runaway'" in made.message
        assert "processor time" in made.message
    assert renderer.renders == 1


async def test_many_that_ask_for_the_same_wait_for_it_once(renderer: ProcessRenderer) -> None:
    asked = (renderer.render(template("runaway"), {}, SHOP, PROFILE) for _ in range(20))
    assert all(isinstance(made, Failed) for made in await asyncio.gather(*asked))
    assert renderer.renders == 1


async def test_a_template_that_cannot_be_loaded_in_time_is_refused_by_name(renderer: ProcessRenderer) -> None:
    for _ in range(3):
        loaded = await renderer.load(template("unloadable"))
        assert isinstance(loaded, Failed)
        assert "'unloadable'" in loaded.message
        assert "to be loaded" in loaded.message
    assert renderer.renders == 1
    assert await renderer.load(template()) == {"namespace.name"}


async def test_a_plan_holds_its_other_entries_where_one_cannot_be_loaded(renderer: ProcessRenderer) -> None:
    known = {"unloadable": template("unloadable"), "own": template()}
    plan = ProfilePlan(profile("unloadable", "own"), known, in_place=False)
    await plan.prepare(renderer, SHOP)
    refusal, policy = plan.desired(SHOP)
    assert isinstance(refusal, Refusal)
    assert isinstance(policy, DesiredPolicy)
    assert plan.refusals == (refusal,)


async def test_a_schema_that_refuses_itself_is_told_by_the_process(renderer: ProcessRenderer) -> None:
    schema = {"type": "object", "properties": {"p": {"type": "string", "default": 7}}}
    raw = {"metadata": {"name": "own"}, "spec": {"template": BODY, "parameters": schema}}
    loaded = await renderer.load(read_policy_template(raw))
    assert isinstance(loaded, Failed)
    assert loaded.kind == "TemplateInvalid"
    assert "refuses its own default" in loaded.message


async def test_wrong_parameters_are_told_before_any_namespace_is_selected(renderer: ProcessRenderer) -> None:
    plan = ProfilePlan(profile("own", x="y"), {"own": template()}, in_place=False)
    await plan.prepare(renderer)
    (refusal,) = plan.refusals
    assert refusal.reason == "InvalidParameters"


def test_an_operators_plan_works_nothing_out_in_place() -> None:
    plan = ProfilePlan(profile("own"), {"own": template()}, in_place=False)
    with pytest.raises(NotPreparedError):
        plan.desired(SHOP)
    with pytest.raises(NotPreparedError):
        _ = plan.refusals


def asserting(labels: int, expect: str = "deny") -> tuple[Any, Template]:
    """A profile whose policy tells 2^labels kinds of pods apart, and asserts something about all of them."""
    rules = "".join(
        f"- from: [{{podSelector: {{matchLabels: {{k{n}: v}}}}}}]\n  ports: [{{port: {n + 1}}}]\n"
        for n in range(labels)
    )
    body = f"podSelector: {{}}\npolicyTypes: [Ingress]\ningress:\n{rules}"
    anything = {"anything": True}
    one = {"name": "nothing", "from": anything, "to": anything, "expect": expect, "ports": [443]}
    raw = {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "namespaceSelector": {"matchLabels": {"a": "b"}},
            "policies": [{"template": "own"}],
            "assertions": [one],
        },
    }
    return parse_profile(raw), template(body=body)


async def test_assertions_are_answered_as_in_place(renderer: ProcessRenderer) -> None:
    for expect in ("deny", "allow"):
        made, own = asserting(2, expect)
        plan = ProfilePlan(made, {"own": own}, in_place=False)
        await plan.prepare(renderer, SHOP)
        await plan.prepare(renderer)
        here = ProfilePlan(made, {"own": own})
        assert plan.desired(SHOP) == here.desired(SHOP)
        assert plan.refusals == here.refusals


async def test_an_assertion_that_takes_too_long_is_refused_by_name_and_holds_the_policies_back(
    renderer: ProcessRenderer,
) -> None:
    made, own = asserting(10)
    plan = ProfilePlan(made, {"own": own}, in_place=False)
    preparing = asyncio.create_task(plan.prepare(renderer, SHOP))
    turns = 0
    while not preparing.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 10
    told, held = plan.desired(SHOP)
    assert isinstance(told, Refusal)
    assert told.reason == ASSERTION_FAILED
    assert "'nothing'" in told.message
    assert "processor time" in told.message
    assert isinstance(held, Refusal)
    asked = renderer.renders
    await plan.prepare(renderer, NamespaceFacts("other", {"a": "b"}))
    assert renderer.renders == asked, "it is known to take too long"


async def test_others_are_rendered_after_it(renderer: ProcessRenderer) -> None:
    await renderer.render(template("runaway"), {}, SHOP, PROFILE)
    assert not isinstance(await renderer.render(template(), {}, SHOP, PROFILE), Failed)


async def test_after_a_restart_it_is_refused_again(renderer: ProcessRenderer) -> None:
    """A new operator knows nothing of it, and its first rendering has the same limit."""
    await renderer.render(template("runaway"), {}, SHOP, PROFILE)
    again = ProcessRenderer((sys.executable, "-c", NEVER_ENDS))
    try:
        assert isinstance(await again.render(template("runaway"), {}, SHOP, PROFILE), Failed)
        assert again.renders == 1
    finally:
        await again.stop()


async def test_the_event_loop_goes_on_meanwhile(renderer: ProcessRenderer) -> None:
    rendering = asyncio.create_task(renderer.render(template("runaway"), {}, SHOP, PROFILE))
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0.01)
        turns += 1
    # One second of processor time is at least one second: a loop that is held up makes one turn.
    assert turns > 10


async def test_the_plan_names_it_in_its_refusals(renderer: ProcessRenderer) -> None:
    plan = ProfilePlan(profile("runaway", "own"), {"runaway": template("runaway"), "own": template()})
    await plan.prepare(renderer, SHOP)
    refusal, policy = plan.desired(SHOP)
    assert isinstance(refusal, Refusal)
    assert isinstance(policy, DesiredPolicy)
    assert plan.refusals == (refusal,)
    assert refusal.reason == "RenderFailed"
    assert "processor time" in refusal.message


@pytest.mark.parametrize(("name", "words"), [("memory", "memory"), ("large", "MiB")])
async def test_what_wants_too_much_is_answered_and_ends_no_process(
    renderer: ProcessRenderer, name: str, words: str
) -> None:
    made = await renderer.render(template(name), {}, SHOP, PROFILE)
    assert isinstance(made, Failed)
    assert made.always
    assert words in made.message
    before = renderer._process
    assert not isinstance(await renderer.render(template(), {}, SHOP, PROFILE), Failed)
    assert renderer._process is before


async def test_a_process_that_ends_is_to_be_tried_again(renderer: ProcessRenderer) -> None:
    with pytest.raises(RendererError, match="ended with 7"):
        await renderer.render(template("crash"), {}, SHOP, PROFILE)
    assert not isinstance(await renderer.render(template(), {}, SHOP, PROFILE), Failed)


async def test_a_process_that_somebody_kills_is_to_be_tried_again(renderer: ProcessRenderer) -> None:
    await renderer.render(template(), {}, SHOP, PROFILE)
    process = renderer._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert not isinstance(await renderer.render(template(), {}, SHOP, PROFILE), Failed)


async def test_a_request_that_is_cancelled_leaves_no_answer_for_the_next(renderer: ProcessRenderer) -> None:
    await renderer.render(template(), {}, SHOP, PROFILE)
    rendering = asyncio.create_task(renderer.render(template("runaway"), {}, SHOP, PROFILE))
    while renderer.renders < 2:
        await asyncio.sleep(0)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    spec: Any = await renderer.render(template(), {}, NamespaceFacts("other"), PROFILE)
    assert spec["podSelector"] == {"matchLabels": {"ns": "other"}}


async def test_each_of_many_at_once_gets_its_own_answer(renderer: ProcessRenderer) -> None:
    names = [f"ns-{number}" for number in range(100)]
    specs: list[Any] = await asyncio.gather(
        *(renderer.render(template(), {}, NamespaceFacts(name), PROFILE) for name in names)
    )
    assert [spec["podSelector"]["matchLabels"]["ns"] for spec in specs] == names


async def test_a_process_that_cannot_be_started_is_an_error_to_try_again_on() -> None:
    with pytest.raises(RendererError, match="does not start"):
        await ProcessRenderer(("/nonexistent",)).render(template(), {}, SHOP, PROFILE)


async def test_a_built_in_template_is_rendered_here_unless_it_has_very_many_parameters(
    renderer: ProcessRenderer,
) -> None:
    few, many = ([f"10.{n // 256}.{n % 256}.0/24" for n in range(count)] for count in (20, 900))
    for cidrs, asked in ((few, 0), (many, 2)):
        made = profile("cidr-egress", cidrs=cidrs)
        plan = ProfilePlan(made, builtin_templates())
        await plan.prepare(renderer, SHOP)
        assert renderer.renders == asked
        assert plan.desired(SHOP) == ProfilePlan(made, builtin_templates()).desired(SHOP)


async def test_why_parameters_are_refused_is_said_alike_here_and_there(renderer: ProcessRenderer) -> None:
    made = profile("cidr-egress", cidr=["10.0.0.0/8"] * 900)
    plan = ProfilePlan(made, builtin_templates())
    await plan.prepare(renderer, SHOP)
    (there,), (here,) = plan.desired(SHOP), ProfilePlan(made, builtin_templates()).desired(SHOP)
    assert there == here
    assert isinstance(here, Refusal)
    assert 'did you mean "cidrs"' in here.message


def test_any_line_gets_an_answer() -> None:
    for line in (b"", b"[", b"[]", b"{}", b'{"template": {"metadata": {"name": 1}}}', b"\xff"):
        assert json.loads(render_process.answered(line))["kind"] == "RenderFailed"
