"""Paths to fields: what code writes can be read back, and keys of an object never are."""

from __future__ import annotations

import pytest

from tenantprofile.connectivity.manifests import ManifestError, labels_of
from tenantprofile.input.objects import read_text
from tenantprofile.paths import Complaint, field_path, path_of
from tenantprofile.planning.profile import ProfileError, parse_profile
from tenantprofile.selectors import SelectorError, parse_selector

PROFILE = """\
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata: {name: base}
spec:
  namespaceSelector:
    matchLabels:
      env: prod
      "a: b.c[0]'": x
  policies:
    - template: default-deny
"""


@pytest.mark.parametrize("text", ["spec", "spec.ingress[0].from[12].ipBlock", "metadata.labels"])
def test_a_path_that_code_writes_can_be_read_back(text: str) -> None:
    assert field_path(path_of(text)) == text


def test_a_complaint_says_where_and_what() -> None:
    assert str(Complaint(("spec", "a", 0, "b/c"), "missing")) == "spec.a[0]['b/c']: missing"
    assert str(Complaint((), "missing")) == "missing"


@pytest.mark.parametrize("key", ["a:b", "a.b[0]", "it's", "a: b", "]", ""])
def test_a_key_is_one_step_whatever_it_holds(key: str) -> None:
    with pytest.raises(SelectorError) as selector:
        parse_selector({"matchLabels": {key: 1}})
    assert selector.value.path == ("matchLabels", key)
    with pytest.raises(ManifestError) as manifest:
        labels_of({key: 1}, "metadata.labels")
    assert manifest.value.path == ("metadata", "labels", key)


def test_a_profile_is_refused_in_the_line_of_the_key_that_is_wrong() -> None:
    (item,) = read_text(PROFILE, "base.yaml")
    with pytest.raises(ProfileError) as caught:
        parse_profile(item.raw)
    (complaint,) = caught.value.complaints
    assert item.place(complaint.path) == "base.yaml:8"
