"""The site: it builds without a warning, its links are checked, and it takes nothing from another host."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


conf = load("conf")
pictures = load("pictures")


def build(docs: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-E"]
    return subprocess.run(
        [*command, "-d", str(output / ".doctrees"), str(docs), str(output)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", output)
    assert done.returncode == 0, done.stderr
    return output


def test_every_page_is_on_the_site(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file(), page


def test_a_file_of_the_root_is_a_page_with_its_own_text(site: Path) -> None:
    text = (site / "project" / "security.html").read_text()
    assert "What it does not protect against" in text
    assert 'href="../behaviour.html#names-and-ownership"' in text


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        for kind, target in re.findall(
            r'<(script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]+)"', page.read_text()
        ):
            assert "//" not in target, (page.name, kind, target)


def test_flags_keep_their_dashes(site: Path) -> None:
    assert "–enforcement" not in (site / "reference" / "commands.html").read_text()


LINKS_TO_NOTHING = {
    "[x](nowhere.md)": "a link leads nowhere: nowhere.md",
    "[x](../deploy/nowhere.yaml)": "a link leads nowhere: ../deploy/nowhere.yaml",
    "[x](concepts.md#nowhere)": "'nowhere'",
    "![x](images/nowhere.svg)": "a link leads nowhere: images/nowhere.svg",
}


def test_a_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    # A site of two pages with the real configuration: what is checked does not depend on how many there are.
    docs = tmp_path / "repository" / "docs"
    docs.mkdir(parents=True)
    (tmp_path / "repository" / "operator").symlink_to(ROOT / "operator")
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    shutil.copytree(ROOT / "docs" / "_static", docs / "_static")
    (docs / "concepts.md").write_text("# Concepts\n\n## Here\n")
    (docs / "index.md").write_text("# Home\n\n[x](concepts.md#here)\n\n```{toctree}\nconcepts\n```\n")
    good = build(docs, tmp_path / "good")
    assert good.returncode == 0, good.stderr

    (docs / "concepts.md").write_text("\n\n".join(["# Concepts", "## Here", *LINKS_TO_NOTHING]) + "\n")

    bad = build(docs, tmp_path / "bad")
    assert bad.returncode != 0
    for complaint in LINKS_TO_NOTHING.values():
        assert complaint in bad.stderr


def test_links_in_code_are_left_alone() -> None:
    text = "```text\n[x](nowhere.md)\n```\n"
    assert conf.on_site(text, ROOT / "docs") == (text, [])


def test_a_file_outside_of_the_site_is_a_download_and_a_folder_is_named() -> None:
    text, missing = conf.on_site("[a](../examples/minimal.yaml) [b](../deploy/base)", ROOT / "docs")
    assert text == "{download}`a </../examples/minimal.yaml>` b (`deploy/base`)"
    assert missing == []


def test_the_pictures_are_what_the_script_draws(capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(["--check"]) == 0, capsys.readouterr().err


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [pictures.LIGHT, pictures.DARK], ids=lambda scheme: str(scheme.name))
def test_text_in_the_pictures_can_be_read(scheme: object) -> None:
    """WCAG's contrast of 4.5, on boxes, on panels, and on the page itself."""
    page = {"light": "#ffffff", "dark": "#131416"}[scheme.name]  # type: ignore[attr-defined]
    for ground in (scheme.box, scheme.panel, page):  # type: ignore[attr-defined]
        for text in ("text", "muted", "blue", "green", "red", "amber"):
            pair = sorted((_luminance(getattr(scheme, text)), _luminance(ground)))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)
