"""Pages of the graph command, opened in a real Chromium; skipped by name where there is none."""

from __future__ import annotations

import pytest
import pytest_asyncio

from browser.devtools import INSTALL, browser, executable
from tenantprofile.drawing.page import PolicyText, as_page
from unit.drawing.worlds import drawn, estate, shop


def pytest_collection_modifyitems(items):
    if executable() is None:
        for item in items:
            if "browser" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=INSTALL))


@pytest_asyncio.fixture
async def page():
    """A fresh browser; whatever a test did on its page, nothing may have gone wrong or out."""
    async with browser() as found:
        yield found
        assert found.complaints == []
        assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []


def write(path, objects, **options):
    manifests = {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": item
        for item in objects
        if item["kind"] == "NetworkPolicy"
    }
    found = drawn(objects)
    describe = lambda policy: PolicyText(place="world.yaml:1", manifest=manifests[str(policy)])  # noqa: E731
    path.write_text(as_page(found, describe, **options), encoding="utf-8")
    return path


@pytest.fixture
def shop_page(tmp_path):
    return write(tmp_path / "shop.html", shop())


@pytest.fixture(scope="session")
def estate_page(tmp_path_factory):
    """503 workloads."""
    return write(tmp_path_factory.mktemp("estate") / "estate.html", estate())
