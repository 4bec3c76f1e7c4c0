"""The release checklist stops a release that is not consistent, and names what is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import release


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the checklist reads, as they are, to be changed."""
    for name in ("operator/tenantprofile/__init__.py", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(release.ROOT / name, tmp_path / name)
    shutil.copytree(release.CHART, tmp_path / "chart")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "CHART", tmp_path / "chart")
    return tmp_path


def test_package_and_chart_have_one_version(repository: Path) -> None:
    release.one_version()
    chart = repository / "chart" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"appVersion: {release.version()}", "appVersion: 9.9.9"))
    with pytest.raises(release.ReleaseError, match=r"appVersion 9\.9\.9"):
        release.one_version()


def test_a_version_needs_its_section_in_the_changelog(repository: Path) -> None:
    changelog = repository / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n")
    with pytest.raises(release.ReleaseError, match="no section"):
        release.changelog_has_it()
    changelog.write_text(f"# Changelog\n\n## [{release.version()}] - 2027-01-01\n")
    release.changelog_has_it()


def test_a_point_that_does_not_hold_stops_the_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong() -> None:
        """Everything is right."""
        raise release.ReleaseError("it is not")

    built: list[str] = []
    monkeypatch.setattr(release, "CHECKS", (wrong,))
    monkeypatch.setattr(release, "BUILDS", (lambda: built.append("it"),))
    assert release.main([]) == 1
    assert built == []
    assert capsys.readouterr().out == "[NO] Everything is right\n     it is not\n"


def test_what_could_not_be_built_is_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def image() -> None:
        raise release.ReleaseError("docker build\nno daemon")

    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "DIST", tmp_path / "dist")
    monkeypatch.setattr(release, "version", lambda: "1.2.3")
    monkeypatch.setattr(release, "BUILDS", (image,))
    assert release.build()
    assert "not built: image: no daemon" in (tmp_path / "dist" / "RELEASE.md").read_text()
