"""What a namespace should hold: the policies of every profile that selects it (pure).

The same profile, templates and namespace facts give the same bytes, in any order of the input. Most
templates use nothing of the namespace and are rendered once, not ten thousand times: a rendering is
kept by the facts that its template uses, and a request body is built once and shared by all
namespaces, because the namespace stands in the request's path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from json import dumps, loads
from typing import Any, Final, Protocol

from tenantprofile.assertions.hypothetical import Mentions
from tenantprofile.assertions.profile import ProfileAssertions, Violated
from tenantprofile.names import (
    ANNOTATION_APPLIED,
    ANNOTATION_OWNER,
    ANNOTATION_PURPOSE,
    ANNOTATION_SEAL,
    ANNOTATION_TEMPLATE,
    LABEL_COMPLETE,
    LABEL_MANAGED_BY,
    LABEL_NAMESPACE_NAME,
    LABEL_POLICY,
    LABEL_PROFILE,
    MANAGED_BY,
)
from tenantprofile.planning import observed
from tenantprofile.planning.profile import PolicyEntry, Profile
from tenantprofile.policy import protobuf
from tenantprofile.policy.findings import nearest
from tenantprofile.rendering.facts import NamespaceFacts, ProfileFacts
from tenantprofile.rendering.parameters import few_values, resolve
from tenantprofile.rendering.render import RenderError, render
from tenantprofile.rendering.templates import Template

_KEPT_RENDERINGS: Final = 50_000
"""Per entry; a template that prints the namespace's name has one rendering per namespace, and a cache that is smaller
than a cluster has namespaces renders all of them anew in every comparison. The renderings in use are kept anyway."""
_NOWHERE: Final = NamespaceFacts("", {}, {})
"""For templates that use nothing of the namespace."""

_KEPT_PLANS: Final = 4
_MAX_ENCODED: Final = 16_384
"""Bytes of a policy that is sent in the API server's own format; 256 of them are kept encoded."""

ASSERTION_FAILED: Final = "AssertionFailed"
"""The reason of what is held back because one of the profile's own assertions does not hold."""


@dataclass(frozen=True, slots=True)
class DesiredPolicy:
    """One NetworkPolicy as it should be, ready to be sent."""

    name: str
    profile: str
    profile_uid: str
    entry: str
    digest: str
    closes: bool
    """Allows nothing in any direction: written after, and removed before, the policies that allow."""
    _before: bytes
    _after: bytes
    _spec_at: int
    marked: bool = False
    """Carries the mark of a complete baseline; see `planning.baseline`."""

    def with_mark(self, marked: bool = True) -> DesiredPolicy:
        """The same policy with or without the mark, which counts in its digest like every label of the operator's."""
        return self if self.marked == marked else _with_mark(self, marked)

    @property
    def spec(self) -> bytes:
        """The spec as JSON."""
        return self._after[self._spec_at : -1]

    def body(self, seal: str = "", resource_version: str | None = None) -> bytes:
        """The request body; with the version it is based on, where it replaces an object."""
        version = f'"resourceVersion":"{resource_version}",' if resource_version else ""
        mark = f'"{ANNOTATION_SEAL}":"{seal}",' if seal else ""
        return self._before + f'{version}"annotations":{{{mark}'.encode() + self._after

    def wire(self, seal: str = "", resource_version: str | None = None) -> bytes:
        """The same request in the API server's own format; in JSON, where it is large or unusual."""
        encoded = _encoded(self._before, self._after) if len(self._after) <= _MAX_ENCODED else None
        if encoded is None:
            return self.body(seal, resource_version)
        metadata, spec = encoded
        more = {"resourceVersion": resource_version, "annotations": {ANNOTATION_SEAL: seal} if seal else None}
        return protobuf.policy(metadata + protobuf.metadata(more), spec)

    def stored(self) -> dict[str, Any]:
        """All of it as a JSON object, for `from_stored`."""
        manifest = loads(self.body())
        owner = {"profile": self.profile, "profileUid": self.profile_uid, "entry": self.entry}
        return owner | {"metadata": manifest["metadata"], "spec": manifest["spec"]}

    @classmethod
    def from_stored(cls, raw: Mapping[str, Any]) -> DesiredPolicy:
        """What `stored` gave. Raises KeyError and TypeError."""
        metadata = raw["metadata"]
        annotations = {k: v for k, v in metadata["annotations"].items() if k != ANNOTATION_APPLIED}
        owner = str(raw["profile"]), str(raw["profileUid"]), str(raw["entry"]), str(metadata["name"])
        return _made(*owner, metadata["labels"], annotations, raw["spec"])

    def manifest(self, namespace: str) -> dict[str, Any]:
        """The object as a mapping, for people and for merging into an object that others annotate."""
        manifest: dict[str, Any] = loads(self.body())
        metadata = manifest["metadata"]
        manifest["metadata"] = {"name": metadata.pop("name"), "namespace": namespace, **metadata}
        return manifest


@lru_cache(maxsize=1024)
def _with_mark(policy: DesiredPolicy, marked: bool) -> DesiredPolicy:
    manifest = loads(policy.body())
    metadata = manifest["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key != LABEL_COMPLETE}
    annotations = {key: value for key, value in metadata["annotations"].items() if key != ANNOTATION_APPLIED}
    if marked:
        labels[LABEL_COMPLETE] = "true"
    owner = policy.profile, policy.profile_uid, policy.entry, policy.name
    return _made(*owner, labels, annotations, manifest["spec"])


@lru_cache(maxsize=256)
def _encoded(before: bytes, after: bytes) -> tuple[bytes, bytes] | None:
    """Metadata and spec of a request body in the API server's own format; None where that cannot hold them."""
    manifest = loads(before + b'"annotations":{' + after)
    try:
        return protobuf.metadata(manifest["metadata"]), protobuf.spec(manifest["spec"])
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that yields no policy; what it yielded before stays where it is."""

    name: str
    profile: str
    entry: str
    reason: str
    """TemplateNotFound, InvalidParameters, RenderFailed, PolicyRefused or AssertionFailed: a condition's
    reason."""
    message: str
    """Empty for an entry that is only held back: the assertion's own refusal, without an entry, says why."""
    last_good: DesiredPolicy | None = None
    """What the entry yielded before it went wrong, where this process still knows: it is kept up."""
    assertion: str = ""
    """The name of the assertion that does not hold, where the refusal is about one."""


class NotPreparedError(RuntimeError):
    """Something would have to be worked out in place that may hold up everything else."""

    def __init__(self) -> None:
        super().__init__("a profile's plan was asked before it was prepared")


class Renderer(Protocol):
    """Runs what people wrote where it cannot hold up anything else; see `controller.renderer`.

    Every method raises what a caller has to try again on.
    """

    async def load(
        self,
        template: Template,
        parameters: Mapping[str, Any] | None = None,
        profile: ProfileFacts | None = None,
    ) -> frozenset[str] | Failed:
        """Compile a template and check its schema, and an entry's parameters against it.

        Which facts its renderings depend on; or why it cannot be used.
        """

    async def check(
        self,
        assertion: Mapping[str, Any],
        policies: Sequence[DesiredPolicy],
        namespace: str,
        labels: Mapping[str, str],
    ) -> tuple[Mentions, tuple[Violated, ...]] | Failed:
        """Hold policies against one of a profile's assertions, as `ProfileAssertions` does it in place."""

    async def render(
        self,
        template: Template,
        parameters: Mapping[str, Any],
        namespace: NamespaceFacts,
        profile: ProfileFacts,
    ) -> Mapping[str, Any] | Failed:
        """The spec of a template with an entry's parameters; or why there is none.

        `profile` carries the profile's own parameters.
        """


@dataclass(frozen=True, slots=True)
class Failed:
    """A rendering that gave no policy, as RenderError tells it. `always`: with every namespace alike."""

    kind: str
    message: str
    always: bool = False


class ProfilePlan:
    """A profile bound to the templates it names; made anew when either changes.

    Making it costs nothing: entries are rendered when they are asked for. Where a template or an assertion must not
    hold up anything else (`in_place=False`), `prepare` has to come first, which lets a Renderer load and render
    templates that are not the operator's own, and check the assertions; without it NotPreparedError is raised.

    `previous`: the plan that this one takes the place of. An entry that cannot be rendered any more
    falls back on what it rendered there; where the profile's assertions do not hold, all of it does.
    `unusable`: why a PolicyTemplate of a name cannot be used, by name.
    """

    def __init__(
        self,
        profile: Profile,
        templates: Mapping[str, Template],
        previous: ProfilePlan | None = None,
        unusable: Mapping[str, str] | None = None,
        *,
        in_place: bool = True,
    ) -> None:
        self.profile = profile
        self._in_place = in_place
        if previous is not None and previous.profile.uid != profile.uid:
            previous = None
        # What was never rendered, or held back everywhere, is nothing to fall back on.
        while previous is not None and previous._violated_everywhere != ():
            previous = previous._previous
        before = {entry.name: entry for entry in previous._entries} if previous is not None else {}
        self._entries: list[_EntryPlan] = [
            _EntryPlan(profile, entry, templates, before.get(entry.name), unusable or {}, in_place)
            for entry in profile.entries
        ]
        self.template_names = frozenset(entry.template for entry in profile.entries)
        self._shared: tuple[DesiredPolicy | Refusal, ...] | None = None
        self._assertions = ProfileAssertions(profile.assertions) if profile.assertions else None
        self._previous: ProfilePlan | None = previous if self._assertions is not None else None
        self._violated_everywhere: tuple[Refusal, ...] | None = None if self._assertions is not None else ()
        self._forget_the_oldest()

    @property
    def _uses_namespace(self) -> bool:
        return any(entry.varies for entry in self._entries)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What is wrong in every namespace alike: the profile's problem, told once."""
        failed = [failure for entry in self._entries if (failure := entry.failed) is not None]
        if self._violated_everywhere is None:
            self._violated_everywhere = self._violated_anyhow()
        return (*self._violated_everywhere, *failed)

    async def prepare(self, renderer: Renderer, namespace: NamespaceFacts | None = None) -> None:
        """Render what is not rendered yet: what all namespaces share, and what this one needs."""
        for entry in self._entries:
            await entry.prepare(renderer, namespace)
        if self._previous is not None:
            await self._previous.prepare(renderer, namespace)
        if self._assertions is None:
            return
        if namespace is not None:
            rendered = tuple(entry.desired(namespace) for entry in self._entries)
            await self._learn(renderer, rendered, namespace.name, namespace.labels)
        elif not self._uses_namespace:
            rendered = tuple(entry.desired(_NOWHERE) for entry in self._entries)
            await self._learn(renderer, rendered, *self._least())

    async def _learn(
        self,
        renderer: Renderer,
        rendered: tuple[DesiredPolicy | Refusal, ...],
        namespace: str,
        labels: Mapping[str, str],
    ) -> None:
        """Find out which assertions these policies violate."""
        policies = _good(rendered)
        assertions = self._assertions
        if assertions is None or assertions.known(policies, namespace, labels) is not None:
            return
        violated: list[Violated] = []
        seen = Mentions.none()
        for assertion in loads(self.profile.spec_key).get("assertions") or ():
            found = await renderer.check(assertion, policies, namespace, labels)
            if isinstance(found, Failed):
                violated.append(Violated(str(assertion.get("name")), found.message))
                continue
            seen.add_mentions(found[0])
            violated.extend(found[1])
        assertions.learn(policies, namespace, labels, seen, tuple(violated))

    def _violated(
        self, rendered: tuple[DesiredPolicy | Refusal, ...], namespace: str, labels: Mapping[str, str]
    ) -> tuple[Violated, ...]:
        if self._assertions is None:
            return ()
        policies = _good(rendered)
        found = self._assertions.known(policies, namespace, labels)
        if found is None:
            if not self._in_place:
                raise NotPreparedError
            found = self._assertions.violated(policies, namespace, labels)
        return found

    def desired(self, namespace: NamespaceFacts) -> tuple[DesiredPolicy | Refusal, ...]:
        """The profile's policies for one namespace, in the order of its entries.

        Where they violate an assertion, none of them: one refusal without an entry for each violated
        assertion, and one for each policy of this plan and of the last good one, which is kept up.
        """
        if self._shared is None or self._uses_namespace:
            self._shared = tuple(entry.desired(namespace) for entry in self._entries)
        if self._assertions is None:
            return self._shared
        violated = self._violated(self._shared, namespace.name, namespace.labels)
        return self._held_back(namespace, self._shared, violated) if violated else self._shared

    def _held_back(
        self,
        namespace: NamespaceFacts,
        rendered: tuple[DesiredPolicy | Refusal, ...],
        violated: tuple[Violated, ...],
    ) -> tuple[DesiredPolicy | Refusal, ...]:
        last = _good(self._previous.desired(namespace)) if self._previous is not None else []
        before = {policy.name: policy for policy in last}
        held = [
            item
            if isinstance(item, Refusal)
            else Refusal(item.name, item.profile, item.entry, ASSERTION_FAILED, "", before.get(item.name))
            for item in rendered
        ]
        # What this plan leaves out stays as well: leaving it out may be what violates the assertion.
        names = {item.name for item in held}
        gone = [
            Refusal(policy.name, policy.profile, policy.entry, ASSERTION_FAILED, "", policy)
            for policy in last
            if policy.name not in names
        ]
        return (*self._told(violated), *held, *gone)

    def _told(self, violated: tuple[Violated, ...]) -> tuple[Refusal, ...]:
        # No object can have such a name, so that it stands for nothing but the message.
        return tuple(
            Refusal(
                f"assertion {one.name}",
                self.profile.name,
                "",
                ASSERTION_FAILED,
                one.message,
                assertion=one.name,
            )
            for one in violated
        )

    def _violated_anyhow(self) -> tuple[Refusal, ...]:
        """Assertions that fail in a namespace of which only the labels that the selector asks for are known."""
        if self._assertions is None or self._uses_namespace:
            return ()
        name, labels = self._least()
        if self._shared is None:
            self._shared = tuple(entry.desired(NamespaceFacts(name, labels, {})) for entry in self._entries)
        return self._told(self._violated(self._shared, name, labels))

    def _least(self) -> tuple[str, Mapping[str, str]]:
        """Name and labels of a namespace of which only what the selector asks for is known."""
        labels = {
            requirement.key: next(iter(requirement.values))
            for requirement in self.profile.selector.requirements
            if requirement.operator == "In" and len(requirement.values) == 1
        }
        return labels.get(LABEL_NAMESPACE_NAME, ""), labels

    def _forget_the_oldest(self) -> None:
        """A few steps back are enough; without an end, the chain would grow with every edit."""
        oldest: ProfilePlan | None = self
        for _ in range(_KEPT_PLANS):
            oldest = oldest._previous if oldest is not None else None
        if oldest is not None:
            oldest._previous = None


def _good(items: Iterable[DesiredPolicy | Refusal]) -> list[DesiredPolicy]:
    """The policies that items hold a namespace to: the desired ones, and the last good of the others."""
    kept = (item.last_good if isinstance(item, Refusal) else item for item in items)
    return [policy for policy in kept if policy is not None]


class _EntryPlan:
    """One entry: parameters resolved and checked once, renderings kept by the facts they depend on."""

    def __init__(
        self,
        profile: Profile,
        entry: PolicyEntry,
        templates: Mapping[str, Template],
        previous: _EntryPlan | None,
        unusable: Mapping[str, str],
        in_place: bool,
    ) -> None:
        self._profile = profile
        self._entry = entry
        self.name = entry.name
        self._kept: dict[tuple[Any, ...], DesiredPolicy | Refusal] = {}
        self._parameters: Mapping[str, Any] | None = None
        # What was never rendered, or failed everywhere, yielded nothing to fall back on; of the others, a few
        # are enough, because without an end the chain would grow with every edit.
        while previous is not None and (previous._failed is not None or not previous._kept):
            previous = previous._previous
        self._previous: _EntryPlan | None = previous
        oldest = previous
        for _ in range(3):
            oldest = oldest._previous if oldest is not None else None
        if oldest is not None:
            oldest._previous = None
        self._template = templates.get(entry.template)
        # The operator's own templates are trusted, and cost next to nothing but for very many parameters.
        self._elsewhere = self._template is not None and not (
            self._template.built_in and few_values(profile.parameters, entry.parameters)
        )
        self._never_here = self._elsewhere and not in_place
        self._failed: Refusal | None = None
        self._uses: frozenset[str] | None = None
        if self._template is None and entry.template in unusable:
            self._failed = self._refusal("TemplateInvalid", unusable[entry.template])
        elif self._template is None:
            found = f"no template {entry.template!r}{nearest(entry.template, templates)}"
            known = ", ".join(sorted(templates))
            self._failed = self._refusal("TemplateNotFound", f"{found}; known templates: {known}")

    @property
    def uses(self) -> frozenset[str]:
        """Which facts of a namespace its renderings depend on."""
        if self._uses is None:
            if self._template is None or self._failed is not None:
                return frozenset()
            if self._never_here and not self._template.built_in:
                raise NotPreparedError
            self._uses = _of_namespace(self._template.uses)
        return self._uses

    @property
    def varies(self) -> bool:
        """Whether namespaces may get different policies: from the template, or from what it falls back on."""
        fallback = self._previous if self._failed is not None else None
        return bool(self.uses) or (fallback is not None and fallback.varies)

    @property
    def failed(self) -> Refusal | None:
        """Why the entry yields a policy in no namespace."""
        if self._never_here:
            if self._failed is None and self._uses is None:
                raise NotPreparedError
            return self._failed
        if self._failed is None and self._template is not None and not self._kept:
            if self.uses:
                self._resolve(self._template)
            else:
                self._rendered(_NOWHERE)
        return self._failed

    def desired(self, namespace: NamespaceFacts) -> DesiredPolicy | Refusal:
        found = self.failed or self._rendered(namespace)
        if isinstance(found, Refusal) and self._previous is not None:
            before = self._previous.desired(namespace)
            last_good = before.last_good if isinstance(before, Refusal) else before
            return replace(found, last_good=last_good)
        return found

    async def prepare(self, renderer: Renderer, namespace: NamespaceFacts | None) -> None:
        """Let a Renderer render a template that is not the operator's own; see ProfilePlan.prepare."""
        template = self._template
        if template is not None and self._elsewhere and self._failed is None and self._uses is None:
            own = ProfileFacts(self._profile.name, self._profile.parameters)
            loaded = await renderer.load(template, self._entry.parameters, own)
            if isinstance(loaded, Failed):
                self._failed = self._refusal(loaded.kind, loaded.message)
            else:
                self._uses = _of_namespace(loaded)
        facts = namespace if self.uses else _NOWHERE
        if template is not None and self._elsewhere and self._failed is None and facts is not None:
            key = self._key(facts)
            if key not in self._kept:
                profile = ProfileFacts(self._profile.name, self._profile.parameters)
                made = await renderer.render(template, self._entry.parameters, facts, profile)
                if isinstance(made, Failed):
                    refusal = self._refusal(made.kind, made.message)
                    self._keep(key, refusal)
                    if made.always or not self.uses:
                        self._failed = refusal
                else:
                    self._keep(key, _policy(self._profile, self._entry, template, made))
        found = self._failed or (self._kept.get(self._key(facts)) if facts is not None else None)
        if self._previous is not None and isinstance(found, Refusal):
            await self._previous.prepare(renderer, namespace)

    def _key(self, namespace: NamespaceFacts) -> tuple[Any, ...]:
        return tuple(_fact(namespace, use) for use in sorted(self.uses))

    def _keep(self, key: tuple[Any, ...], made: DesiredPolicy | Refusal) -> None:
        if len(self._kept) >= _KEPT_RENDERINGS:
            # The oldest half: those that a fan-out over all namespaces comes back to last.
            for known in list(self._kept)[: _KEPT_RENDERINGS // 2]:
                del self._kept[known]
        self._kept[key] = made

    def _rendered(self, namespace: NamespaceFacts) -> DesiredPolicy | Refusal:
        key = self._key(namespace)
        found = self._kept.get(key)
        if found is None and self._template is not None:
            if self._never_here:
                raise NotPreparedError
            found = self._render(self._template, namespace)
            self._keep(key, found)
        if found is None:
            raise AssertionError("an entry without a template has failed already")
        return found

    def _resolve(self, template: Template) -> Mapping[str, Any] | None:
        if self._parameters is None and self._failed is None:
            try:
                self._parameters = resolve(template, self._profile.parameters, self._entry.parameters)
            except RenderError as error:
                self._failed = self._refusal(error.kind, words(error))
        return self._parameters

    def _render(self, template: Template, namespace: NamespaceFacts) -> DesiredPolicy | Refusal:
        parameters = self._resolve(template)
        if parameters is None:
            return self._failed or self._refusal("InvalidParameters", "")
        facts = ProfileFacts(self._profile.name, self._profile.parameters)
        try:
            spec = render(template, parameters, namespace, facts)
        except RenderError as error:
            refusal = self._refusal(error.kind, words(error))
            if not self.uses:
                self._failed = refusal
            return refusal
        return _policy(self._profile, self._entry, template, spec)

    def _refusal(self, reason: str, message: str) -> Refusal:
        name = self._profile.object_name(self._entry.name)
        return Refusal(name, self._profile.name, self._entry.name, reason, message)


def _of_namespace(uses: Iterable[str]) -> frozenset[str]:
    return frozenset(use for use in uses if use.startswith("namespace."))


def words(error: RenderError) -> str:
    """Why nothing was rendered. Wrong parameters are the profile's; the rest has a place in a template."""
    return error.message if error.kind == "InvalidParameters" else str(error)


def _fact(namespace: NamespaceFacts, use: str) -> str | tuple[tuple[str, str], ...]:
    if use == "namespace.name":
        return namespace.name
    mapping = namespace.labels if use == "namespace.labels" else namespace.annotations
    return tuple(sorted(mapping.items()))


def _policy(
    profile: Profile, entry: PolicyEntry, template: Template, spec: Mapping[str, Any]
) -> DesiredPolicy:
    labels = {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_POLICY: entry.name,
        LABEL_PROFILE: profile.name,
    }
    annotations = {ANNOTATION_TEMPLATE: template.name}
    if purpose := entry.purpose or template.purpose:
        annotations[ANNOTATION_PURPOSE] = purpose
    if entry.owner:
        annotations[ANNOTATION_OWNER] = entry.owner
    name = profile.object_name(entry.name)
    return _made(profile.name, profile.uid, entry.name, name, labels, annotations, spec)


def _made(
    profile: str,
    profile_uid: str,
    entry: str,
    name: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    spec: Mapping[str, Any],
) -> DesiredPolicy:
    # No owner reference: garbage collection would act on it before the operator could hear that the profile retains
    # its policies, when the CRD is deleted, and when a backup brings the profile back under another uid.
    digest = observed.digest(labels, annotations, [], spec)
    metadata: dict[str, Any] = {
        "name": name,
        "labels": labels,
        "annotations": {**annotations, ANNOTATION_APPLIED: digest},
    }
    meta = dumps(metadata, sort_keys=True, separators=(",", ":"))
    # Byte for byte reproducible, with room for a resourceVersion and the seal between the two halves.
    before = '{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{'
    # The annotations come first, and are never empty.
    after = meta.removeprefix('{"annotations":{') + ',"spec":'
    spec_at = len(after.encode())
    after += dumps(spec, sort_keys=True, separators=(",", ":")) + "}"
    return DesiredPolicy(
        name=name,
        profile=profile,
        profile_uid=profile_uid,
        entry=entry,
        digest=digest,
        closes=observed.closes(spec),
        _before=before.encode(),
        _after=after.encode(),
        marked=LABEL_COMPLETE in labels,
        _spec_at=spec_at,
    )
