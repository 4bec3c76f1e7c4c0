"""The SARIF that code hosts read, held against the parts of its schema that are used."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from tenantprofile.input.objects import Origin, SourceObject
from tenantprofile.linting.catalogue import RULES
from tenantprofile.linting.judge import lint
from tenantprofile.linting.sarif import as_sarif
from unit.linting.judged import judge, objects
from unit.linting.test_profiles import PROFILE, TEMPLATE
from unit.linting.test_waivers import POLICY


def strict(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
BAG = {"type": "object", "properties": {"tags": many(TEXT)}}
MESSAGE = strict("text", text=TEXT, markdown=TEXT)
ARTIFACT = strict(uri={**TEXT, "pattern": r"^[^ \\]+$"}, uriBaseId=TEXT, description=MESSAGE)
RULE = strict(
    "id",
    id=TEXT,
    name={**TEXT, "pattern": "^[A-Z][A-Za-z0-9]+$"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    helpUri=TEXT,
    defaultConfiguration=strict(level=LEVEL, enabled={"type": "boolean"}),
    properties=BAG,
)
RESULT = strict(
    "message",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=LEVEL,
    message=MESSAGE,
    locations=many(
        strict(
            physicalLocation=strict(
                "artifactLocation",
                artifactLocation=ARTIFACT,
                region=strict(startLine=COUNT, startColumn=COUNT),
            ),
            logicalLocations=many(strict(name=TEXT, fullyQualifiedName=TEXT, kind=TEXT)),
        )
    ),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions=many(
        strict(
            "kind",
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        )
    ),
    properties=BAG,
)
LOG = strict(
    "version runs",
    **{
        "$schema": TEXT,
        "version": {"const": "2.1.0"},
        "runs": many(
            strict(
                "tool",
                tool=strict(
                    "driver",
                    driver=strict("name", name=TEXT, version=TEXT, semanticVersion=TEXT, rules=many(RULE)),
                ),
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                originalUriBaseIds={"type": "object", "additionalProperties": ARTIFACT},
                results=many(RESULT),
            )
        ),
    },
)

WAIVED = POLICY.format(waiver="every-peer: public pages, until 2027-01-31")


def run(*texts: str) -> Any:
    log = as_sarif(judge(*texts), "0.0.0")
    Draft202012Validator(LOG).validate(log)
    return log["runs"][0]


def test_everything_is_in_the_form_that_the_standard_asks_for() -> None:
    found = run(WAIVED, PROFILE.replace("owner: shop", "ownr: shop"), TEMPLATE)
    assert len(found["results"]) > 3
    rules = found["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_result_points_to_its_line() -> None:
    (result,) = (r for r in run(WAIVED)["results"] if r["ruleId"] == "every-namespace")
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "1.yaml", "uriBaseId": "%SRCROOT%"}
    assert physical["region"] == {"startLine": 13, "startColumn": 11}
    assert result["level"] == "warning"


def test_what_is_waived_is_suppressed_with_its_reason() -> None:
    (result,) = (r for r in run(WAIVED)["results"] if "suppressions" in r)
    assert result["ruleId"] == "every-peer"
    assert result["suppressions"][0]["justification"] == "public pages (until 2027-01-31)"


def test_a_fingerprint_outlives_a_move_and_differs_between_findings() -> None:
    def prints(*texts: str) -> list[str]:
        return [r["partialFingerprints"]["tenantprofileLint/v1"] for r in run(*texts)["results"]]

    assert prints(WAIVED) == prints("# moved\n\n" + WAIVED)
    assert len(set(prints(WAIVED))) == len(prints(WAIVED)) > 1


def test_an_object_from_a_cluster_has_no_file() -> None:
    live = [SourceObject(item.raw, Origin("cluster prod")) for item in objects(WAIVED)]
    log = as_sarif(lint(live, "2026-11-21"), "0.0.0")
    Draft202012Validator(LOG).validate(log)
    (result,) = (r for r in log["runs"][0]["results"] if r["ruleId"] == "every-namespace")
    assert "physicalLocation" not in result["locations"][0]
    assert "NetworkPolicy shop/web" in result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]


def test_names_of_files_are_uris() -> None:
    def uri(source: str) -> str:
        moved = [
            SourceObject(item.raw, Origin(source, item.origin.document, item.origin.prefix))
            for item in objects(WAIVED)
        ]
        found = as_sarif(lint(moved, "2026-11-21"), "0.0.0")["runs"][0]["results"][0]
        return str(found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])

    assert uri("./policies/my shop.yaml") == "policies/my%20shop.yaml"
    assert uri("/srv/a b.yaml") == "file:///srv/a%20b.yaml"
