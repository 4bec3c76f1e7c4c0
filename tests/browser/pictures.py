"""The screenshots of docs/commands/graph.md, made anew: `python tests/browser/pictures.py`.

By hand, when the page looks different; they are no test, because fonts differ from machine to machine.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "tests")]

from browser.devtools import Page, browser  # noqa: E402
from tenantprofile.drawing.page import as_page  # noqa: E402
from unit.drawing.worlds import drawn, estate  # noqa: E402

IMAGES = ROOT / "docs" / "images"


def command(target: Path, *options: str) -> None:
    """Runs the command as a reader of the page would."""
    called = [sys.executable, "-m", "tenantprofile", "graph", "examples", "--file", str(target), *options]
    subprocess.run(called, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "operator")}, check=True)


async def pictures(folder: Path) -> None:
    examples, many = folder / "examples.html", folder / "many.html"
    command(IMAGES / "graph-payments.svg", "--namespace", "payments", "--title", "Payments")
    command(IMAGES / "graph-examples.svg")
    command(examples)
    await asyncio.to_thread(many.write_text, as_page(drawn(estate()), title="Staging"), encoding="utf-8")
    async with browser() as page:
        for dark in (False, True):
            look = "dark" if dark else "light"
            await page.open(examples, dark=dark, size=(1400, 760))
            await page.run(
                "[...document.querySelectorAll('#sheet .flow')].find(e => e.querySelector('title').textContent"
                ".startsWith('payments/frontend → payments/api'))"
                ".dispatchEvent(new MouseEvent('click'))"
            )
            await keep(page, f"graph-rule-{look}.png")
            await page.open(many, dark=dark, size=(1400, 760))
            await keep(page, f"graph-500-{look}.png")


async def keep(page: Page, name: str) -> None:
    (IMAGES / name).write_bytes(await page.screenshot())


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(pictures(Path(temporary)))
