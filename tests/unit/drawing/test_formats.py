"""Each format: well-formed, the same for the same objects, and safe whatever names and labels hold."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from tenantprofile.drawing.dot import as_dot
from tenantprofile.drawing.layout import lay_out
from tenantprofile.drawing.mermaid import as_mermaid
from tenantprofile.drawing.page import PolicyText, as_page, embedded
from tenantprofile.drawing.svg import as_svg, fitted
from tenantprofile.drawing.view import view
from unit.drawing.worlds import deployment, drawn, estate, namespace, policy, shop

FORMATS = {"svg": as_svg, "dot": as_dot, "mermaid": as_mermaid, "html": as_page}
HOSTILE = (
    '</script><script>alert("x")</script>',
    "<img src=x onerror=alert(1)>",
    '"];evil [label="owned',
    "\\N\\",
    'a"]:::x --> b; click n0 href "javascript:alert(1)"',
    "]]><!-- {{data}} {{script}} &lt;b&gt;",
    "line\nbreak %%{init: {}}%%\u2028end",
    "`**bold**` #quot; end",
)

MERMAID_LINE = re.compile(
    r"""flowchart\ LR | \ \ %%\ .* | \ \ end | \ \ classDef\ [\w:#,\s-]+
    | \ \ subgraph\ s\d+\[""\]
    | \s+n\d+ (\[""\] | \(\[""\]\)) :::\w+
    | \ \ n\d+\ (-->|-\.->) \|""\|\ n\d+""",
    re.VERBOSE,
)


def hostile():
    """Objects whose every name and label is an attack; an API server would refuse most, a file may hold them."""
    found = []
    for text in HOSTILE:
        workload = deployment("space/name", {"app": text}, 80)
        workload["metadata"] = {"namespace": text, "name": text}
        rule = policy("space/name", ingress=[])
        rule["metadata"] = {"namespace": text, "name": text}
        found += [namespace(text, note=text), workload, rule]
    bare = deployment("open/name", {})
    bare["metadata"]["name"] = HOSTILE[0]
    return [*found, bare]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("objects", [shop(), estate(6)], ids=["shop", "estate"])
def test_the_order_of_objects_changes_no_byte(form, objects):
    draw = FORMATS[form]
    expected = draw(drawn(objects))
    shuffled = list(objects)
    random.Random(7).shuffle(shuffled)
    assert draw(drawn(shuffled)) == expected


@pytest.mark.parametrize("options", [{}, {"detail": "namespaces"}, {"ungoverned": "show"}])
def test_svg_is_well_formed_and_asks_for_nothing(options):
    text = as_svg(drawn(shop()), **options)
    root = ElementTree.fromstring(text)  # noqa: S314
    assert root.attrib["role"] == "img"
    assert root.find("{http://www.w3.org/2000/svg}title").text == "What policies allow"
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?://[^\"' )]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|image|foreignObject|use)\b|\bon\w+=|@import", text)


@pytest.mark.parametrize("form", FORMATS)
def test_a_world_without_workloads_is_drawn_empty(form):
    assert FORMATS[form](drawn([namespace("a")]))
    assert FORMATS[form](drawn([]))


@pytest.mark.parametrize("detail", ["workloads", "namespaces"])
def test_svg_takes_names_as_text(detail):
    text = as_svg(drawn(hostile()), HOSTILE[0], detail=detail, ungoverned="show")
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}  # noqa: S314
    known = {
        "svg",
        "title",
        "desc",
        "style",
        "defs",
        "marker",
        "path",
        "pattern",
        "rect",
        "line",
        "g",
        "text",
    }
    assert tags <= known


@pytest.mark.parametrize("detail", ["workloads", "namespaces"])
def test_dot_takes_names_as_text(detail):
    text = as_dot(drawn(hostile()), HOSTILE[2], detail=detail, ungoverned="show")
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert re.fullmatch(r'[\w\s{}\[\]=,;>"-]*', bare), bare
    assert "evil" not in bare
    assert "alert" not in bare
    escapes = {
        pair for quoted in re.findall(r'"(?:[^"\\]|\\.)*"', text) for pair in re.findall(r"\\.", quoted)
    }
    assert escapes <= {'\\"', "\\\\", "\\n"}


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz; on Debian: apt-get install graphviz")
@pytest.mark.parametrize("objects", [shop(), hostile()], ids=["shop", "hostile"])
def test_graphviz_reads_the_dot(objects):
    text = as_dot(drawn(objects), ungoverned="show")
    done = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True)
    assert "<svg" in done.stdout


@pytest.mark.parametrize("detail", ["workloads", "namespaces"])
def test_mermaid_takes_names_as_text(detail):
    text = as_mermaid(drawn(hostile()), HOSTILE[4], detail=detail, ungoverned="show")
    for line in text.splitlines():
        bare = re.sub(r'"[^"]*"', '""', line)
        assert MERMAID_LINE.fullmatch(bare), line
        assert not re.search(r"[<>`]", re.sub(r"<br/>|-->|-\.->", "", line)), line


def page_parts(text):
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S)
    return {("data" if "json" in attributes else "script"): body for attributes, body in scripts}, len(
        scripts
    )


def test_the_page_keeps_names_out_of_its_markup():
    found = drawn(hostile())
    text = as_page(found, lambda policy: PolicyText(*(HOSTILE[:4])), HOSTILE[0])
    parts, number = page_parts(text)
    assert number == 2
    assert not re.search(r"[<>&\u2028\u2029]", parts["data"])
    outside = text.replace(parts["data"], "")
    assert "alert(1)" not in outside
    assert "<title>&lt;/script&gt;&lt;script&gt;" in outside
    data = json.loads(parts["data"])
    assert data["title"] == HOSTILE[0]
    assert any(HOSTILE[1] in node["title"] for node in data["nodes"])
    assert data["policies"][0]["origin"] == HOSTILE[0]


def test_the_page_may_run_only_what_stands_in_it():
    text = as_page(drawn(shop()))
    policy_text = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    script = page_parts(text)[0]["script"]
    for name, body in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy_text
    assert policy_text.startswith("default-src 'none'")
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def test_the_page_tells_of_a_flow_what_the_command_line_tells():
    found = drawn(shop())
    manifest = next(
        item for item in shop() if item["metadata"]["name"] == "api" and item["kind"] == "NetworkPolicy"
    )
    text = as_page(found, lambda policy: PolicyText("", "shop.yaml:1", "Calls", "me", manifest))
    data = json.loads(page_parts(text)[0]["data"])
    keys = [node["key"] for node in data["nodes"]]
    ends = [keys.index("shop/Deployment/web"), keys.index("shop/Deployment/api")]
    link = next(link for link in data["links"] if link[:2] == ends)
    arriving = data["sides"][link[5]]
    number, path, ports, rule = arriving["rules"][0]
    assert data["policies"][number]["name"] == "shop/api"
    assert (path, ports) == ("spec.ingress[1].from[1]", "TCP 8443")
    assert "port: 8443" in data["rules"][rule]


def test_data_in_a_page_cannot_end_its_element():
    assert embedded({"a": "</script>&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u2028"}'


@pytest.mark.parametrize("detail", ["workloads", "namespaces"])
def test_nothing_lies_upon_anything_else(detail):
    layout = lay_out(view(drawn(estate(9)), detail))
    boxes = list(layout.boxes.items())
    for at, (key, one) in enumerate(boxes):
        for other_key, other in boxes[at + 1 :]:
            apart = (
                one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
            )
            assert apart, (key, other_key)
    for key, card in layout.cards.items():
        home = layout.boxes[key.split("/")[0] if key.count("/") == 2 else key]
        assert home.x <= card.x
        assert card.right <= home.right
        assert home.y <= card.y
        assert card.bottom <= home.bottom + 0.1


def test_callers_stand_before_the_called():
    layout = lay_out(view(drawn(shop())))
    assert layout.boxes["edge"].right < layout.boxes["shop"].x < layout.boxes["10.50.0.0/24"].x
    assert layout.cards["shop/Deployment/web"].right < layout.cards["shop/Deployment/api"].x


def test_long_names_are_shortened_in_the_middle():
    assert fitted("a-very-long-name-of-a-workload-7f9c", 13, 120) != "a-very-long-name-of-a-workload-7f9c"
    assert fitted("a-very-long-name-of-a-workload-7f9c", 13, 120).endswith("9c")
    assert fitted("short", 13, 120) == "short"


def test_five_hundred_workloads_stay_a_small_page():
    text = as_page(drawn(estate()))
    assert len(text) < 500_000
