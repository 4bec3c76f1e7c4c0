"""What SECURITY.md promises and denies, and the tests that prove it.

The words are the page's own; tests/unit/security/test_page.py holds one against the other.
"""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = "tests/attacks/test_attacks.py::test_attempt"

CLAIMS: Final[dict[str, tuple[str, ...]]] = {
    # Who may do what
    "Whoever may write a TenantProfile or a PolicyTemplate decides about the network of every tenant": (
        ATTEMPTS,
    ),
    "Neither is aggregated to `edit` or `admin`": (
        "tests/cluster/test_base.py::test_whoever_views_the_cluster_can_read_profiles_and_a_tenants_admin_cannot_write_them",
    ),
    "Kubernetes adds policies up": ("tests/packets/test_templates.py::test_together", ATTEMPTS),
    # What the operator's account can do
    "Exactly what [deploy/base/rbac.yaml](deploy/base/rbac.yaml) says": (
        "tests/cluster/test_base.py::test_the_operator_may_do_what_it_needs_everywhere",
        "tests/cluster/test_base.py::test_no_rule_has_a_wildcard",
    ),
    "The operator itself touches only policies that it wrote": (
        "tests/cluster/test_truth.py::test_claims_do_not_make_a_foreign_policy_ours",
        "tests/cluster/test_ownership.py::test_a_copy_of_our_label_on_a_foreign_policy_does_not_get_it_removed",
    ),
    "anything else of the same name is left alone and reported as a Conflict": (
        "tests/cluster/test_ownership.py::test_a_foreign_policy_of_the_same_name_is_left_alone_and_named",
    ),
    "hold a lease in its own namespace": (
        "tests/cluster/test_base.py::test_the_operator_may_hold_a_lease_in_its_own_namespace_only",
    ),
    "It cannot read other Secrets or pods, write to namespaces, change RBAC, or run anything": (
        "tests/cluster/test_base.py::test_the_operator_may_not_do_what_it_does_not_need",
    ),
    "namespace enforces the restricted Pod Security Standard": (
        "tests/cluster/test_base.py::test_the_operators_pod_is_admitted_under_the_restricted_standard_and_a_weaker_one_is_not",
    ),
    "a read-only root, no capabilities and no user": (
        "tests/cluster/test_base.py::test_the_operators_container_needs_nothing_to_write_to_and_no_privilege",
        "tests/cluster/test_image_build.py::test_it_runs_as_nobody_on_a_root_that_cannot_be_written",
    ),
    "policies of its own leave it only DNS and the API server's ports": (
        "tests/cluster/test_base.py::test_probes_and_the_operators_own_policies_speak_of_the_same_port_and_pods",
    ),
    # What it protects against
    "put right at once, recorded with who (field manager) and what": (
        "tests/cluster/test_drift.py::test_status_and_events_tell_who_changed_what",
        "tests/packets/test_protection.py::test_what_a_tenant_opens_is_closed_again",
    ),
    "Drift while the operator was down is found at its start": (
        "tests/cluster/test_drift.py::test_drift_while_the_operator_was_down_is_repaired",
    ),
    "it never deletes and recreates": (
        "tests/cluster/test_selection.py::test_a_changed_parameter_reaches_every_namespace_in_place",
    ),
    "leaves the last good policies in place": (
        "tests/cluster/test_status.py::test_a_broken_edit_keeps_the_last_good_policies_and_their_repair",
        "tests/unit/planning/test_desired.py::test_what_an_entry_falls_back_on_is_each_namespace_s_own",
    ),
    "nothing is removed while caches are incomplete": (
        "tests/chaos/test_faults.py::test_a_writer_that_is_behind_removes_nothing",
        "tests/cluster/test_truth.py::test_nothing_is_removed_while_an_entry_of_the_profile_is_broken",
    ),
    "With the operator gone, all policies stay in force": (
        "tests/packets/test_protection.py::test_a_stopped_operator_leaves_protection_in_force",
    ),
    "A policy that reads well and allows everything": (
        "tests/unit/policy/test_rules.py::test_a_rule_finds_what_it_is_for_at_its_field",
        "tests/unit/rendering/test_injection.py::test_an_empty_list_in_any_parameter_is_refused_and_never_widens_even_without_its_schema",
    ),
    "Injection through parameters, labels or annotations": (
        "tests/unit/rendering/test_injection.py::test_a_string_in_any_parameter_of_any_template_stays_a_scalar_at_its_place_or_is_refused",
        "tests/unit/rendering/test_injection.py::test_labels_and_names_of_a_namespace_are_values_as_well",
    ),
    "A selector left empty by mistake": (
        "tests/cluster/test_crds.py::test_what_cannot_be_right_is_refused_with_what_would_be",
    ),
    "One object that cannot be read is told, and costs only itself": (
        "tests/cluster/test_survival.py::test_objects_that_cannot_be_parsed_stop_nobody",
        "tests/unit/cluster/test_decode.py::test_one_object_of_a_page_costs_only_itself",
    ),
    "takes a fixed amount of memory per object, whatever its size": (
        "tests/attacks/test_memory.py::test_large_objects_that_change_all_the_time_leave_room_under_the_limit",
    ),
    "a policy that was the operator's stays the operator's": (
        "tests/cluster/test_truth.py::test_a_name_stolen_while_the_operator_was_down_is_taken_back",
        "tests/cluster/test_truth.py::test_a_name_stolen_right_after_a_crash_is_taken_back",
        ATTEMPTS,
    ),
    "a tenant's object is never changed or deleted because of what it claims": (
        "tests/cluster/test_truth.py::test_claims_do_not_make_a_foreign_policy_ours",
    ),
    # What it does not protect against
    "Tenants' own policies that allow more": (ATTEMPTS,),
    "The moment between a tenant's edit and the repair": (
        "tests/packets/test_protection.py::test_a_tenant_who_keeps_at_it",
        "tests/cluster/test_drift.py::test_with_report_drift_is_told_and_left",
    ),
    "turns Degraded with reason `Contested` at once": (
        "tests/attacks/test_fight.py::test_a_fight_is_told_while_it_goes_on",
    ),
    "Names taken before a namespace is selected": (
        "tests/cluster/test_ownership.py::test_a_foreign_policy_of_the_same_name_is_left_alone_and_named",
        "tests/cluster/test_truth.py::test_with_conflicts_replace_a_taken_name_is_taken_back_and_nothing_is_lost",
        "tests/guard/test_managed_objects.py::test_names_of_profiles_are_reserved_and_older_squatters_can_only_go",
    ),
    "Labels that tenants set themselves": (
        ATTEMPTS,
        "tests/guard/test_membership.py::test_leaving_entering_and_creating_inside_are_refused_and_other_labels_are_free",
    ),
    "Pods that start before the policies of a brand-new namespace are there": (
        "tests/packets/test_protection.py::test_time_to_protected",
    ),
    "What NetworkPolicies cannot see": (
        "tests/packets/test_deviations.py::test_the_node_reaches_its_pods_whatever_is_denied",
        "tests/packets/test_deviations.py::test_a_denied_pod_reaches_node_ports",
    ),
    "Cluster administrators": (
        "tests/guard/test_managed_objects.py::test_platform_operator_and_administrator_pass",
    ),
    # What was tried
    "another tenant's lost policy comes back and a new namespace gets its policies": (
        ATTEMPTS,
        "tests/attacks/test_neighbours.py::test_a_neighbour_is_served_during_an_attack",
    ),
    # Templates
    "Data never becomes YAML": (
        "tests/unit/security/test_templates.py::test_a_value_stays_a_scalar_at_its_place",
    ),
    "no file, no environment, no cluster, no clock": (
        "tests/unit/security/test_templates.py::test_nothing_leads_out_of_the_sandbox",
    ),
    "Patterns are RE2's, which run in linear time": (
        "tests/unit/security/test_templates.py::test_patterns_run_in_linear_time",
    ),
    "loaded (compiled, their schemas and defaults checked) and rendered in a process of their own": (
        "tests/unit/controller/test_renderer.py::test_an_operators_plan_works_nothing_out_in_place",
        "tests/unit/controller/test_renderer.py::test_a_template_that_cannot_be_loaded_in_time_is_refused_by_name",
        "tests/unit/controller/test_renderer.py::test_a_template_that_does_not_end_is_refused_by_name_and_not_tried_again",
        "tests/unit/controller/test_renderer.py::test_after_a_restart_it_is_refused_again",
    ),
    "a profile's assertions are checked there": (
        "tests/unit/controller/test_renderer.py::test_an_assertion_that_takes_too_long_is_refused_by_name_and_holds_the_policies_back",
    ),
    "the operator's lease and probes go on meanwhile": (
        "tests/unit/controller/test_renderer.py::test_the_event_loop_goes_on_meanwhile",
        "tests/attacks/test_neighbours.py::test_a_neighbour_is_served_during_an_attack",
    ),
    "nested deeper than the operator walks are refused in status": (
        "tests/cluster/test_survival.py::test_parameters_nested_too_deeply_are_refused_in_status",
    ),
    "exactly one NetworkPolicy spec": (
        "tests/unit/security/test_templates.py::test_what_comes_out_is_one_spec_that_the_api_would_take",
    ),
    "Templates, parameters, profiles and policies are fuzzed": (
        "tests/unit/rendering/test_fuzz.py::test_any_schema_and_parameters_yield_a_policy_or_a_declared_error",
        "tests/unit/rendering/test_fuzz.py::test_any_template_for_long",
    ),
    # Supply chain
    "built from the sources in the repository alone": (
        "tests/cluster/test_image_build.py::test_it_holds_nothing_of_the_machine_that_built_it",
    ),
    "no shell, no package manager, no pip, no compiler": (
        "tests/cluster/test_image_steps.py::test_the_last_stage_holds_no_shell_and_no_package_manager",
    ),
    "pins every dependency by hash": (
        "tests/unit/deploy/test_lock.py::test_every_pin_has_hashes_and_no_address",
        "tests/cluster/test_image_steps.py::test_everything_that_is_installed_is_pinned_by_hash",
    ),
    "`make audit` looks for known vulnerabilities": (
        "tests/unit/deploy/test_lock.py::test_an_audit_that_saw_nothing_says_so",
    ),
}
