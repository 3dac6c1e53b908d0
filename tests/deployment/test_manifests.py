"""The manifests for Kubernetes obey every rule, and each rule finds its own fault."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.manifests import RULES, name, read

BROKEN = Path(__file__).with_name("broken")


@pytest.mark.parametrize("rule", RULES)
def test_the_manifests_obey(rule: str) -> None:
    assert list(RULES[rule](read())) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_manifest_is_found_by_its_rule_alone(rule: str) -> None:
    """broken/RULE.yaml changes fields of one manifest."""
    change = yaml.safe_load((BROKEN / f"{rule}.yaml").read_text(encoding="utf-8"))
    documents = read()
    (broken,) = [each for each in documents if each["kind"] == change["kind"] and name(each) == name(change)]
    before = deepcopy(broken)
    merge(broken, change)
    assert broken != before
    assert {each for each in RULES if list(RULES[each](documents))} == {rule}


def merge(into: Any, change: Any) -> None:
    """Mappings by key, lists by place; null removes a key."""
    pairs = change.items() if isinstance(change, dict) else enumerate(change)
    for key, value in pairs:
        if value is None and isinstance(into, dict):
            del into[key]
        elif isinstance(value, dict | list) and (key in into if isinstance(into, dict) else key < len(into)):
            merge(into[key], value)
        else:
            into[key] = value
