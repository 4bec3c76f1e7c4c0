"""The drawn pictures of the documentation, each for a light and a dark page.

    python docs/pictures.py            writes docs/images/<name>-light.svg and <name>-dark.svg
    python docs/pictures.py --check    writes nothing; exit code 1 and the names of stale pictures

A page shows one by `<picture>` with a source for the dark page; docs/conf.py turns that into the site's own form.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).resolve().parent / "images"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Scheme:
    """The colours of one page; text on every fill has a contrast of at least 4.5."""

    name: str
    text: str
    muted: str
    line: str
    box: str
    panel: str
    blue: str
    green: str
    red: str
    amber: str


LIGHT: Final = Scheme(
    "light", "#1b2430", "#4b5768", "#8a97a8", "#ffffff", "#eef2f7", "#1a56b0", "#1c6b3c", "#a8201a", "#7a4a00"
)
DARK: Final = Scheme(
    "dark", "#e8edf4", "#aebaca", "#66758a", "#1c2430", "#131a23", "#8ab8ff", "#7fd6a1", "#ff9d96", "#f0c070"
)


@dataclass
class Drawing:
    """Shapes on a sheet, written in order."""

    width: int
    height: int
    title: str
    scheme: Scheme
    parts: list[str] = field(default_factory=list)

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        *lines: str,
        edge: str = "",
        fill: str = "",
        dashed: bool = False,
    ) -> None:
        """A rounded box; its first line is bold."""
        s = self.scheme
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill or s.box}"'
            f' stroke="{edge or s.line}" stroke-width="1.6"{dash}/>'
        )
        top = y + h / 2 - (len(lines) - 1) * 9 + 5
        for number, line in enumerate(lines):
            self.text(x + w / 2, top + number * 18, line, bold=number == 0, muted=number > 0)

    def panel(self, x: float, y: float, w: float, h: float, title: str) -> None:
        """An area with a title in its upper left corner."""
        s = self.scheme
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="10" fill="{s.panel}" stroke="{s.line}"'
            ' stroke-width="1"/>'
        )
        self.text(x + 12, y + 21, title, bold=True, anchor="start")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        bold: bool = False,
        muted: bool = False,
        anchor: str = "middle",
        colour: str = "",
        size: int = 13,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        fill = colour or (self.scheme.muted if muted else self.scheme.text)
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{fill}" font-size="{size}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def arrow(
        self,
        *points: tuple[float, float],
        colour: str = "",
        dashed: bool = False,
        label: str = "",
        at: tuple[float, float] | None = None,
    ) -> None:
        """A line through points with a head at its end; `at` is the middle of the label."""
        stroke = colour or self.scheme.muted
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        head = "head-" + stroke.lstrip("#")
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.8"{dash} marker-end="url(#{head})"/>'
        )
        if label and at:
            self.text(*at, label, colour=stroke, size=12)

    def svg(self) -> str:
        s = self.scheme
        heads = "".join(
            f'<marker id="head-{colour.lstrip("#")}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
            f' markerHeight="7" orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
            for colour in (s.muted, s.blue, s.green, s.red, s.amber)
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
                f' width="{self.width}" height="{self.height}" role="img" font-family="{FONT}">',
                f"<title>{escape(self.title)}</title>",
                f"<defs>{heads}</defs>",
                *self.parts,
                "</svg>",
                "",
            ]
        )


def overview(s: Scheme) -> Drawing:
    built_in = len(list((IMAGES.parent.parent / "templates").glob("*.j2")))
    d = Drawing(760, 300, "A profile selects namespaces by label; each gets one policy for each entry", s)
    d.box(
        16,
        30,
        214,
        104,
        "TenantProfile payments",
        "selector: tenant=payments",
        "default-deny",
        "dns-egress",
        edge=s.blue,
    )
    d.box(16, 176, 214, 70, "Templates", f"{built_in} built in,", "and PolicyTemplates")
    d.arrow((123, 176), (123, 136))
    d.box(284, 78, 132, 64, "Operator", "renders, applies,", "repairs", edge=s.blue)
    d.arrow((230, 92), (284, 104), colour=s.blue)
    d.panel(478, 16, 266, 118, "Namespace payments-web")
    d.panel(478, 146, 266, 118, "Namespace payments-jobs")
    for y in (46, 176):
        d.box(494, y, 234, 34, "payments.default-deny", edge=s.green)
        d.box(494, y + 42, 234, 34, "payments.dns-egress", edge=s.green)
    d.arrow((416, 98), (494, 66), colour=s.green)
    d.arrow((416, 104), (494, 104), colour=s.green)
    d.arrow((416, 116), (450, 150), (450, 192), (494, 192), colour=s.green)
    d.arrow((416, 124), (438, 160), (438, 234), (494, 234), colour=s.green)
    d.text(
        744, 287, "plain NetworkPolicies; the network plugin enforces them", muted=True, size=12, anchor="end"
    )
    d.text(350, 176, "status, Events,", muted=True, size=12)
    d.text(350, 192, "metrics", muted=True, size=12)
    return d


def selection(s: Scheme) -> Drawing:
    d = Drawing(760, 250, "Which namespaces a profile selects", s)
    d.box(16, 86, 190, 72, "TenantProfile web", "matchLabels: tier=web", "excluded: legacy", edge=s.blue)
    rows = [
        ("shop", "tier=web", "selected", s.green),
        ("forms", "tier=Web", "not selected: tier=Web", s.red),
        ("legacy", "tier=web", "excluded by name", s.amber),
        ("kube-system", "tier=web", "system, not included", s.amber),
    ]
    for number, (name, label, why, colour) in enumerate(rows):
        y = 14 + number * 58
        d.box(330, y, 170, 46, name, label, edge=colour, dashed=colour != s.green)
        d.arrow((206, 122), (330, y + 23), colour=colour, dashed=colour != s.green)
        d.text(516, y + 28, why, anchor="start", colour=colour)
    return d


def drift(s: Scheme) -> Drawing:
    d = Drawing(760, 210, "What happens when somebody changes a managed policy", s)
    d.box(16, 70, 150, 58, "As desired", "nothing is written", edge=s.green)
    d.box(236, 70, 166, 58, "Changed or deleted", "by somebody else", edge=s.red)
    d.arrow((166, 88), (236, 88), colour=s.red, label="edit", at=(201, 80))
    d.box(486, 14, 256, 58, "drift: Repair", "the whole policy is put back", edge=s.green)
    d.box(486, 132, 256, 58, "drift: Report", "left as it is; Degraded, Drifted", edge=s.amber)
    d.arrow((402, 88), (444, 88), (444, 43), (486, 43), colour=s.green)
    d.arrow((402, 110), (444, 110), (444, 161), (486, 161), colour=s.amber)
    d.arrow((600, 14), (600, 4), (91, 4), (91, 70), colour=s.green)
    d.text(284, 24, "milliseconds later, with an Event that names what and who", colour=s.green, size=12)
    return d


def ownership(s: Scheme) -> Drawing:
    d = Drawing(760, 270, "Whose is a policy, and what is done about it", s)
    d.box(240, 12, 280, 52, "NetworkPolicy web.default-deny", "in a selected namespace")
    d.box(270, 100, 220, 52, "Written by the operator?", "ledger, or seal", edge=s.blue)
    d.arrow((380, 64), (380, 100))
    d.box(16, 192, 220, 62, "Managed", "compared, repaired,", "deleted when unwanted", edge=s.green)
    d.box(
        262,
        192,
        236,
        62,
        "Foreign: Conflict",
        "left alone; the namespace",
        "is reported as not protected",
        edge=s.red,
    )
    d.box(524, 192, 220, 62, "Taken over", "changed in place,", "uid is kept", edge=s.amber)
    d.arrow((270, 126), (126, 126), (126, 192), colour=s.green, label="yes", at=(200, 118))
    d.arrow((380, 152), (380, 192), colour=s.red, label="no", at=(396, 176))
    d.arrow((490, 126), (634, 126), (634, 192), colour=s.amber)
    d.text(566, 100, "no, but annotated adopt,", colour=s.amber, size=12)
    d.text(566, 116, "or conflicts: Replace", colour=s.amber, size=12)
    return d


def deletion(s: Scheme) -> Drawing:
    d = Drawing(760, 220, "What becomes of the policies when a profile is deleted", s)
    d.box(16, 80, 180, 58, "kubectl delete", "tenantprofile web", edge=s.blue)
    rows = [
        ("deletionPolicy: Delete", "denies first, then the rest", "policies are gone", s.red),
        ("deletionPolicy: Retain", "nothing is written", "policies stay in force", s.green),
        ("operator not running", "nobody hears of it", "policies stay in force", s.green),
    ]
    for number, (when, what, then, colour) in enumerate(rows):
        y = 12 + number * 70
        d.box(290, y, 212, 54, when, what)
        d.box(576, y, 168, 54, then, edge=colour)
        d.arrow((196, 109), (290, y + 27))
        d.arrow((502, y + 27), (576, y + 27), colour=colour)
    return d


def architecture(s: Scheme) -> Drawing:
    d = Drawing(780, 336, "An event's way through the operator", s)
    d.panel(12, 12, 140, 300, "API server")
    d.panel(172, 12, 596, 300, "Operator")
    d.box(26, 46, 112, 44, "watch")
    d.box(26, 150, 112, 44, "write")
    d.box(26, 252, 112, 44, "status")
    d.box(192, 46, 120, 54, "Informer", "cluster.informer")
    d.box(352, 46, 130, 54, "Controller", "whom it concerns")
    d.box(522, 46, 110, 54, "Queue", "two priorities", edge=s.blue)
    d.box(522, 140, 230, 54, "Desired and plan", "pure: planning.desired, plan", edge=s.blue)
    d.box(352, 140, 130, 54, "Reconcile", "order of writes")
    d.box(192, 140, 120, 54, "Apply", "one write")
    d.box(192, 246, 120, 54, "Ledger", "what we wrote", edge=s.amber)
    d.box(352, 246, 130, 54, "Tally", "adds outcomes")
    d.box(522, 246, 230, 54, "Status", "pure: planning.status", edge=s.blue)
    d.arrow((138, 68), (192, 68))
    d.arrow((312, 73), (352, 73))
    d.arrow((482, 73), (522, 73))
    d.arrow((577, 100), (577, 140))
    d.arrow((522, 167), (482, 167))
    d.arrow((352, 167), (312, 167))
    d.arrow((192, 172), (138, 172), colour=s.green)
    d.arrow((252, 194), (252, 246), colour=s.amber)
    d.arrow((417, 194), (417, 246))
    d.arrow((482, 273), (522, 273))
    d.arrow((637, 300), (637, 322), (160, 322), (160, 274), (138, 274), colour=s.green)
    return d


def timeline(s: Scheme) -> Drawing:
    d = Drawing(760, 190, "From a new namespace to its protection, and what the guard closes before it", s)
    d.arrow((30, 96), (740, 96))
    marks = [
        (90, "namespace", "is created", s.muted, True),
        (270, "policies written", "all at once", s.green, False),
        (450, "tenant edits one", "allow-all", s.red, True),
        (620, "put back", "milliseconds later", s.green, False),
    ]
    for x, first, second, colour, above in marks:
        d.parts.append(f'<circle cx="{x}" cy="96" r="6" fill="{colour}"/>')
        y = 52 if above else 122
        d.text(x, y, first, bold=True, colour=colour)
        d.text(x, y + 17, second, muted=True)
    for begin, end in ((90, 270), (450, 620)):
        d.parts.append(
            f'<rect x="{begin}" y="92" width="{end - begin}" height="8" fill="{s.red}" opacity="0.35"/>'
        )
    d.text(180, 174, "open: short, not nothing", colour=s.red, size=12)
    d.text(535, 174, "open; the guard refuses the edit instead", colour=s.red, size=12)
    return d


PICTURES: Final[dict[str, Callable[[Scheme], Drawing]]] = {
    "architecture": architecture,
    "deletion": deletion,
    "drift": drift,
    "overview": overview,
    "ownership": ownership,
    "selection": selection,
    "timeline": timeline,
}


def files() -> Iterator[tuple[Path, str]]:
    """Every picture's path and text."""
    for name, draw in PICTURES.items():
        for scheme in (LIGHT, DARK):
            yield IMAGES / f"{name}-{scheme.name}.svg", draw(scheme).svg()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if a picture is stale"
    )
    check = parser.parse_args(arguments).check
    stale = [(path, text) for path, text in files() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"{path.name} is stale; run: python docs/pictures.py", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {path.name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
