"""The quick start, the how-to guides and the troubleshooting page: every block is valid, offline ones do as shown.

python -m pytest tests/unit/documentation
PYTHONPATH=operator:tests python tests/unit/documentation/test_pages.py    writes the output of offline commands anew
"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from documented import PAGES, ROOT, Block, blocks, folder, rewritten, same
from tenantprofile.cli.main import main

ALL = [block for page in PAGES for block in blocks(page)]
OFFLINE = [block for block in ALL if block.run == "offline"]
TIME = "1795219200"


def printed(command: str, here: Path) -> str:
    """What a command prints in a folder, with the exit code where it is not 0."""
    command, *filters = command.split(" | ")
    words = shlex.split(command)
    assert words[0] == "tenantprofile", command
    before = Path.cwd()
    os.chdir(here)
    try:
        done = CliRunner().invoke(main, words[1:], env={"SOURCE_DATE_EPOCH": TIME}, prog_name="tenantprofile")
    finally:
        os.chdir(before)
    if filters:
        (which,) = filters
        lines = done.stdout.splitlines(keepends=True)
        number = int(which.split()[-1])
        return done.stderr + "".join(lines[:number] if which.startswith("head -n ") else lines[-number:])
    code = f"[exit code {done.exit_code}]\n" if done.exit_code else ""
    return done.output + code


@pytest.mark.parametrize("block", OFFLINE, ids=[block.place for block in OFFLINE])
def test_an_offline_command_prints_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    here = folder(block.page, tmp_path)
    for step in block.steps:
        found = printed(step.command, here)
        assert same(step.output, found), f"{step.command}\n--- shown\n{step.output}--- printed\n{found}"


CONSOLE = [block for block in ALL if block.language == "console"]


@pytest.mark.parametrize("block", CONSOLE, ids=[block.place for block in CONSOLE])
def test_every_command_is_run_or_says_why_not(block: Block) -> None:
    assert block.text.startswith("$ "), block.text
    assert block.run in ("offline", "cluster") or block.run.startswith("no, "), "no <!-- run: … --> before it"


YAML = [block for block in ALL if block.language == "yaml"]


@pytest.mark.parametrize("block", YAML, ids=[block.place for block in YAML])
def test_every_manifest_is_valid(block: Block, tmp_path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(block.text) if document is not None]
    assert documents
    ours = [d for d in documents if isinstance(d, dict) and "kind" in d and "apiVersion" in d]
    if not ours:
        assert not block.file or block.file.startswith("values"), "a file without objects"
        return
    if all(d["kind"] in ("TenantProfile", "PolicyTemplate", "NetworkPolicy") for d in ours):
        file = tmp_path / "block.yaml"
        file.write_text(block.text, encoding="utf-8")
        folder(block.page, tmp_path / "page")
        # Templates of the page that a profile of another block uses.
        templates = [b.file for b in blocks(block.page) if b.file and "kind: PolicyTemplate" in b.text]
        others = [str(tmp_path / "page" / name) for name in templates]
        done = CliRunner().invoke(main, ["lint", "--fail-on", "error", str(file), *others])
        assert (done.exit_code != 0) == block.file.startswith("wrong"), done.output


def test_every_language_is_one_that_the_tests_know() -> None:
    assert {block.language for block in ALL} <= {"console", "yaml", "text", "mermaid"}
    assert len(OFFLINE) > 5


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_page_has_something_that_is_run(page: Path) -> None:
    if page.name != "index.md":
        assert any(block.run in ("offline", "cluster") for block in blocks(page))


if __name__ == "__main__":
    for one in PAGES:
        outputs = {}
        with tempfile.TemporaryDirectory() as name:
            place = folder(one, Path(name))
            for number, found in enumerate(blocks(one)):
                if found.run == "offline":
                    for step, what in enumerate(found.steps):
                        said = printed(what.command, place)
                        if not same(what.output, said):
                            outputs[number, step] = said
        if outputs:
            one.write_text(rewritten(one, outputs), encoding="utf-8")
            print(f"wrote {one}")
