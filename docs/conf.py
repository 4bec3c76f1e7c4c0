"""The site: the pages of docs/ as they stand, for a reader of the web and for a reader of the repository alike.

    make site        builds it into dist/site; every warning is an error

Links are written so that they work in the repository. Those that lead out of docs/ are turned here into what works
on the site: a page of its own for the files in ROOT_PAGES, a download for any other file. A link to nothing is a
warning, and so an error. External links are not fetched.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS: Final = Path(__file__).resolve().parent
ROOT: Final = DOCS.parent
sys.path.insert(0, str(ROOT / "operator"))

from tenantprofile import __version__  # noqa: E402

project = "TenantProfile operator"
author = "The TenantProfile authors"
copyright = author
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # `--flag` stays what it is

myst_heading_anchors = 4

html_theme = "furo"
html_title = f"TenantProfile {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
# Nothing on the site comes from another host.
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"

ROOT_PAGES: Final = {
    "SECURITY.md": "security",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "CODE_OF_CONDUCT.md": "code-of-conduct",
    "dev/README.md": "control-plane",
    "deploy/helm/tenantprofile-operator/README.md": "helm-chart",
}
"""Files of the repository that are pages of the site, with their names there: `project/<name>`."""

LINK: Final = re.compile(r"\[(?P<text>(?:[^\[\]\\]|\\.)*)\]\((?P<target>[^)\s]+)\)")
PICTURE: Final = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r"<img (?P<about>[^>]*)>\s*</picture>"
)
FILE: Final = re.compile(r"^<!-- file: (?P<name>\S+) -->\n+```(?P<language>\w+)\n", re.M)
"""A block that a reader has to save: the site shows the name of the file above it."""
FENCE: Final = re.compile(r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)\s*$", re.M | re.S)


def on_site(text: str, here: Path) -> tuple[str, list[str]]:
    """A page's source for the site, and the links of it that lead nowhere. `here` is the file's folder."""
    missing: list[str] = []

    def link(found: re.Match[str]) -> str:
        path, hash_, anchor = found["target"].partition("#")
        if not path or re.match(r"[a-z]+:", path) or path.startswith("/"):
            return found[0]
        target = Path(os.path.normpath(here / path))
        if not target.exists() or not target.is_relative_to(ROOT):
            missing.append(found["target"])
            return found[0]
        name = target.relative_to(ROOT).as_posix()
        if name in ROOT_PAGES:
            return f"[{found['text']}](/project/{ROOT_PAGES[name]}.md{hash_}{anchor})"
        if target.is_relative_to(DOCS) and target.suffix in (".md", ".svg", ".png"):
            return f"[{found['text']}](/{target.relative_to(DOCS).as_posix()}{hash_}{anchor})"
        if name == "README.md":
            return f"[{found['text']}](/index.md)"
        if target.is_file():
            return f"{{download}}`{found['text'].replace('`', '')} </{os.path.relpath(target, DOCS)}>`"
        # A folder is named, not linked, because the site has no copy of it.
        return f"{found['text']} (`{name}`)"

    def picture(found: re.Match[str]) -> str:
        about = dict(re.findall(r'(\w+)="([^"]*)"', found["about"]))
        lines = []
        for kind, source in (("light", about["src"]), ("dark", found["dark"])):
            target = Path(os.path.normpath(here / source))
            if not target.is_file():
                missing.append(source)
            path = Path("/") / target.relative_to(DOCS)
            lines.append(f"```{{image}} {path.as_posix()}\n:alt: {about['alt']}\n:class: only-{kind}\n```")
        return "\n\n".join(lines)

    text = FILE.sub(r"```{code-block} \g<language>\n:caption: \g<name>\n\n", text)
    parts, end = [], 0
    for fence in [*FENCE.finditer(text), None]:
        prose = text[end : fence.start()] if fence else text[end:]
        parts.append(LINK.sub(link, PICTURE.sub(picture, prose)))
        if fence:
            parts.append(fence[0])
            end = fence.end()
    return "".join(parts), missing


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's `source-read`: what on_site makes of a page, or of the root's file that it stands for."""
    from sphinx.util import logging

    text, here = source[0], (DOCS / docname).parent
    for name, page in ROOT_PAGES.items():
        if docname == f"project/{page}":
            app.env.note_dependency(str(ROOT / name))
            text, here = (ROOT / name).read_text(encoding="utf-8"), (ROOT / name).parent
    source[0], missing = on_site(text, here)
    for target in missing:
        logging.getLogger(__name__).warning("a link leads nowhere: %s", target, location=docname)


def setup(app: Sphinx) -> None:
    app.connect("source-read", read_source)
