"""The page of `tenantprofile graph` in a real browser: what a person does with it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from tenantprofile.drawing.page import as_page
from unit.drawing.worlds import deployment, drawn, namespace, policy

HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=2">'


def card(title: str) -> str:
    return f"[...document.querySelectorAll('.card .name')].find(e => e.textContent === {json.dumps(title)})"


def flow(beginning: str) -> str:
    """The flow whose tooltip begins so."""
    return (
        "[...document.querySelectorAll('#sheet .flow')].find(e =>"
        f" e.querySelector('title').textContent.startsWith({json.dumps(beginning)}))"
    )


async def click_flow(page, beginning: str) -> None:
    """A click of the mouse on the line itself."""
    x, y = await page.run(
        f"(() => {{ const p = {flow(beginning)}.querySelector('.line'); const m = p.getScreenCTM();"
        " for (const share of [0.5, 0.35, 0.65, 0.2, 0.8]) {"
        " const q = p.getPointAtLength(p.getTotalLength() * share).matrixTransform(m);"
        " if (document.elementFromPoint(q.x, q.y)?.closest('.flow') === p.parentNode) return [q.x, q.y]; }"
        " throw new Error('the line is covered') })()"
    )
    await page.click_at(x, y)


async def shown(page) -> list[str]:
    return await page.run("[...document.querySelectorAll('#sheet .box .name')].map(e => e.textContent)")


async def test_a_click_on_a_flow_shows_the_rules_on_both_sides(page, shop_page):
    await page.open(shop_page)
    await click_flow(page, "shop/web → shop/api")
    told = await page.text("#panel")
    assert "Leaving shop/web" in told
    assert "shop/web-out" in told
    assert "spec.egress[0].to[0]" in told
    assert "Arriving at shop/api" in told
    assert "spec.ingress[1].from[1]" in told
    assert "port: 8443" in told
    assert "world.yaml:1" in told


async def test_a_flow_without_a_policy_at_one_end_says_so(page, shop_page):
    await page.open(shop_page)
    await click_flow(page, "edge/proxy → shop/web")
    told = await page.text("#panel")
    assert "No policy isolates proxy for what leaves, so it may connect to anything." in told
    assert "spec.ingress[0].from[0]" in told


async def test_search_finds_workloads_labels_addresses_and_policies(page, shop_page):
    await page.open(shop_page)
    await page.press("/")
    assert await page.run("document.activeElement.id") == "query"
    for words, expected in {
        "nightly": "nightly",
        "app=api": "api",
        "10.50": "Private range",
        "shop/deny": "api",
        "no policy": "lab",
    }.items():
        await page.run("document.getElementById('query').value = ''")
        await page.type(words)
        await page.until("!document.getElementById('results').hidden")
        results = await page.run(
            "[...document.querySelectorAll('#results button span')].map(e => e.textContent)"
        )
        assert expected in results, (words, results)
    assert await page.run("document.querySelectorAll('#sheet .card.dim').length") > 0
    await page.press("Enter")
    assert await page.text("#panel h2") == "lab"


async def test_search_without_a_match_says_so(page, shop_page):
    await page.open(shop_page)
    await page.press("/")
    await page.type("zzz")
    assert await page.text("#matches") == "no match"
    await page.press("Escape")
    assert await page.run("document.getElementById('query').value") == ""
    assert await page.run("document.querySelectorAll('#sheet .dim').length") == 0


async def test_the_filter_leaves_a_namespace_and_what_it_connects_with(page, shop_page):
    await page.open(shop_page)
    assert set(await shown(page)) == {"shop", "edge", "bare"}
    await page.click("document.querySelector('[data-namespace=shop]')")
    assert set(await shown(page)) == {"shop", "edge"}
    await page.click("document.getElementById('near')")
    assert set(await shown(page)) == {"shop"}
    assert await page.run(f"Boolean({card('Private range')})")
    await page.click("document.getElementById('all')")
    assert set(await shown(page)) == {"shop", "edge", "bare"}


async def test_uncovered_pods_stand_out_in_words_and_shape(page, shop_page):
    await page.open(shop_page)
    assert await page.run(f"{card('lab')}.parentNode.querySelector('.badge-text').textContent") == "no policy"
    assert await page.run(f"{card('proxy')}.parentNode.querySelector('.badge-text').textContent") == (
        "no egress policy"
    )
    assert "url" in await page.run(f"getComputedStyle({card('lab')}.parentNode.querySelector('.face')).fill")
    assert await page.run(
        f"getComputedStyle({card('proxy')}.parentNode.querySelector('.face')).strokeDasharray"
    ) not in ("none", "")
    legend = await page.text("#legend")
    assert "no policy at all (1)" in legend
    assert "no policy for what leaves (1)" in legend
    await page.click(card("lab"))
    assert "No policy isolates it for what arrives" in await page.text("#panel")


async def test_ungoverned_flows_come_and_go(page, shop_page):
    await page.open(shop_page)
    before = await page.run("document.querySelectorAll('#sheet .flow.open').length")
    await page.click("document.getElementById('ungoverned')")
    after = await page.run("document.querySelectorAll('#sheet .flow.open').length")
    assert {before > 0, after > 0} == {True, False}


async def test_namespaces_collapse_and_their_flows_together(page, shop_page):
    await page.open(shop_page)
    await page.click("document.getElementById('fold')")
    assert await page.run("document.querySelectorAll('#sheet .box.whole').length") == 3
    await page.click("document.querySelector('#sheet .box.whole .toggle text')")
    assert await page.run("document.querySelectorAll('#sheet .box.whole').length") == 2


async def test_the_picture_can_be_used_with_keys_alone(page, shop_page):
    await page.open(shop_page)
    stops = []
    for _ in range(20):
        await page.press("Tab")
        stops.append(await page.run("document.activeElement.closest('#sheet') && document.activeElement.id"))
        if await page.run("document.activeElement.matches('#sheet .card, #sheet .box')"):
            break
    assert await page.run("document.activeElement.matches('#sheet .card, #sheet .box')"), stops
    seen = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft"):
        await page.press(key)
        seen.add(await page.run("document.activeElement.getAttribute('aria-label')"))
    assert len(seen) > 2
    assert await page.run("document.querySelectorAll('#sheet [tabindex=\"0\"]').length") == 1
    await page.press("Enter")
    assert await page.run("document.activeElement.matches('#panel h2')")
    await page.press("Tab")
    await page.press("Escape")
    assert await page.run("document.activeElement.matches('#sheet .card, #sheet .box')")


async def test_every_control_has_a_name_for_those_who_listen(page, shop_page):
    await page.open(shop_page)
    await page.click(card("api"))
    await page.call("Accessibility.enable")
    tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    controls = {"button", "checkbox", "searchbox", "link", "group", "complementary", "navigation", "search"}
    found = [
        node for node in tree if node.get("role", {}).get("value") in controls and not node.get("ignored")
    ]
    assert len(found) > 20
    needy = {"button", "checkbox", "searchbox", "link", "complementary", "navigation"}
    nameless = [
        node["role"]["value"]
        for node in found
        if node["role"]["value"] in needy and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    boxes = [node["name"]["value"] for node in found if "namespace" in node.get("name", {}).get("value", "")]
    assert any("lab in namespace bare, Deployment, no policy" in name for name in boxes), boxes


CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_words_are_readable(page, shop_page, dark):
    await page.open(shop_page, dark=dark)
    background = await page.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(15, 20, 26)" if dark else "rgb(255, 255, 255)")
    for pair, ratio in await page.run(CONTRAST):
        assert ratio >= 4.5, (pair, ratio)  # WCAG 2.2, success criterion 1.4.3


async def test_names_and_labels_are_never_markup(page, tmp_path):
    attack = deployment("space/name", {"app": HOSTILE})
    attack["metadata"] = {"namespace": HOSTILE, "name": HOSTILE}
    rule = policy("space/name", ingress=[{}])
    rule["metadata"] = {"namespace": HOSTILE, "name": HOSTILE}
    file = tmp_path / "hostile.html"
    await asyncio.to_thread(
        file.write_text, as_page(drawn([namespace(HOSTILE), attack, rule]), title=HOSTILE)
    )
    await page.open(file)
    await page.click("document.querySelector('#sheet .card .name')")
    assert HOSTILE in await page.text("#panel")
    await page.press("/")
    await page.type("script")
    assert HOSTILE in await page.text("#results")
    assert await page.run("window.owned === undefined")
    assert await page.run("document.querySelectorAll('img').length") == 0
    assert await page.run("document.title") == HOSTILE


async def test_the_browser_itself_refuses_any_other_script(page, shop_page):
    await page.open(shop_page)
    await page.run(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.owned = 1'}))"
    )
    assert await page.run("window.owned === undefined")
    assert page.complaints
    assert all("Content Security Policy" in complaint for complaint in page.complaints)
    page.complaints.clear()


async def test_five_hundred_workloads_open_as_namespaces(page, estate_page):
    started = time.monotonic()
    await page.open(estate_page)
    await page.until("document.querySelectorAll('#sheet .box.whole').length === 28")
    assert time.monotonic() - started < 10
    assert "503 workloads" in await page.text("#summary")
    assert await page.run("document.querySelectorAll('#sheet .card').length") < 5


async def test_a_flow_between_namespaces_expands_to_those_behind_it(page, estate_page):
    await page.open(estate_page)
    await page.run(
        f"{flow('team-00 → team-01')}.querySelector('.hit').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"
    )
    await page.until("document.querySelector('#panel h2')")
    if await page.run("Boolean(document.getElementById('expand-both'))"):
        await page.click("document.getElementById('expand-both')")
    else:
        assert "team-01/stock-api" in await page.text("#panel")
        await page.click("document.querySelector('#panel .row button')")
    assert await page.run("document.querySelectorAll('#sheet .card').length") > 10


async def test_five_hundred_workloads_answer_at_once(page, estate_page):
    await page.open(estate_page)
    timed = {
        "expand all": "document.getElementById('unfold').click()",
        "choose a workload": "document.querySelector('#sheet .card').dispatchEvent(new MouseEvent('click'))",
        "search": "const q = document.getElementById('query'); q.value = 'api'; q.dispatchEvent(new Event('input'))",
        "draw what no policy governs": "document.getElementById('ungoverned').click()",
        "collapse all": "document.getElementById('fold').click()",
    }
    for name, script in timed.items():
        spent = await page.run(
            f"(() => {{ const begun = performance.now(); {script};"
            " document.body.getBoundingClientRect(); return performance.now() - begun })()"
        )
        assert spent < 3000, (name, spent)  # a tenth of it on an idle machine


async def test_search_leads_to_one_among_five_hundred(page, estate_page):
    await page.open(estate_page)
    await page.press("/")
    await page.type("team-17 orders-api")
    await page.press("Enter")
    assert await page.text("#panel h2") == "orders-api"
    assert "in namespace team-17" in await page.text("#panel")
    inside = await page.run(
        "(() => { const r = document.querySelector('#sheet .card.chosen').getBoundingClientRect(),"
        " s = document.getElementById('sheet').getBoundingClientRect();"
        " return r.left >= s.left && r.right <= s.right && r.top >= s.top && r.bottom <= s.bottom })()"
    )
    assert inside


async def test_the_wheel_zooms_and_a_drag_moves(page, estate_page):
    await page.open(estate_page)
    where = "document.querySelector('#sheet > g').getAttribute('transform')"
    first = await page.run(where)
    await page.call("Input.dispatchMouseEvent", type="mouseWheel", x=700, y=450, deltaX=0, deltaY=-300)
    await page.until(f"{where} !== {json.dumps(first)}")
    second = await page.run(where)
    await page.call(
        "Input.dispatchMouseEvent", type="mousePressed", x=700, y=850, button="left", clickCount=1
    )
    for x in (720, 760):
        await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=860, button="left", buttons=1)
    await page.call(
        "Input.dispatchMouseEvent", type="mouseReleased", x=760, y=860, button="left", clickCount=1
    )
    assert await page.run(where) != second
    assert await page.text("#panel h2") == "Details"


async def test_a_narrow_screen_stacks_the_parts(page, shop_page):
    await page.open(shop_page, size=(420, 900))
    assert await page.run("document.documentElement.scrollWidth <= 420")
    assert await page.run("document.querySelector('.stage').offsetWidth === document.body.clientWidth")
