"""docs/commands/doctor.md names every option and every check."""

from __future__ import annotations

import re
from pathlib import Path

from tenantprofile.cli.main import main
from tenantprofile.doctor.enforcement import RIGHTS, check_names

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "commands"
PAGE = (FOLDER / "doctor.md").read_text(encoding="utf-8")


def test_every_option_is_documented() -> None:
    for parameter in main.commands["doctor"].params:
        for option in parameter.opts:
            if option.startswith("--") and not getattr(parameter, "hidden", False):
                assert re.search(rf"`{option}\b", PAGE), option


def test_every_check_and_right_is_documented() -> None:
    for name in check_names():
        assert re.search(rf"^{name} ", PAGE, re.MULTILINE), name
    for right in RIGHTS:
        assert re.search(rf"\[{right.resource}(/{right.subresource})?\]", PAGE), right


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (FOLDER / target).exists(), target
