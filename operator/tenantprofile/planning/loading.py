"""PolicyTemplates and Namespaces of an input, as every offline command reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantprofile.connectivity.manifests import ManifestError, labels_of
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import API_VERSION, LABEL_NAMESPACE_NAME
from tenantprofile.paths import Path
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import (
    Template,
    TemplateError,
    builtin_templates,
    load_policy_template,
)


class LoadError(ValueError):
    """An object that cannot be used: `path` leads to the field, `message` says what is wrong there."""

    def __init__(self, item: SourceObject, path: Path, message: str) -> None:
        super().__init__(f"{item.place(path)}: {item}: {message}")
        self.item = item
        self.path = path
        self.message = message


def is_ours(item: SourceObject, kind: str) -> bool:
    """Whether an object is of this kind of the operator's API, in the version that is read."""
    return item.kind == kind and item.api_version == API_VERSION


def load_templates(
    objects: Iterable[SourceObject], refuse: Callable[[LoadError], object]
) -> dict[str, Template]:
    """The built-in templates and the usable ones of an input; each of the others goes to `refuse`."""
    known: dict[str, Template] = {}
    for item in objects:
        if not is_ours(item, "PolicyTemplate"):
            continue
        if item.name in builtin_templates():
            message = "metadata.name: a built-in template has this name; choose another"
            refuse(LoadError(item, ("metadata", "name"), message))
            continue
        try:
            template = load_policy_template(item.raw)
        except TemplateError as error:
            refuse(LoadError(item, ("spec",), error.message))
        else:
            known[template.name] = template
    return {**known, **builtin_templates()}


def namespace_facts(item: SourceObject) -> NamespaceFacts:
    """What profiles see of a Namespace object. Raises LoadError."""
    if not isinstance(item.metadata.get("name"), str):
        raise LoadError(item, ("metadata", "name"), "metadata.name: missing; expected a string")
    try:
        labels = labels_of(item.metadata.get("labels"), "metadata.labels")
        annotations = labels_of(item.metadata.get("annotations"), "metadata.annotations")
    except ManifestError as error:
        raise LoadError(item, error.path, str(error)) from error
    return NamespaceFacts(item.name, {**labels, LABEL_NAMESPACE_NAME: item.name}, annotations)
