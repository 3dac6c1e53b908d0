"""Plans compactions that keep chunk numbers ascending within each fragment.

Lance joins neighbours in the dataset and places the result behind all other fragments. So after one compaction,
neighbours in the dataset need not be neighbours by number, and joining those would mix the numbers of several
fragments. The plan is Lance's; its groups are split wherever another fragment's numbers lie between or come first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import lance
from lance.optimize import Compaction, CompactionOptions, CompactionTask


def plan_joins(
    dataset: lance.LanceDataset, options: CompactionOptions, fragments: Sequence[int]
) -> list[CompactionTask]:
    """Return tasks that each join fragments whose chunk numbers follow each other.

    `fragments` are the ids of all fragments in ascending order of chunk number. One that the split leaves alone is
    rewritten only if it has deleted rows.
    """
    places = {fragment: place for place, fragment in enumerate(fragments)}
    tasks = []
    for task in Compaction.plan(dataset, options).tasks:
        described = json.loads(task.json())  # type: ignore[attr-defined]  # the stubs lack both
        for group in _split(described["task"]["fragments"], places):
            if len(group) > 1 or group[0].get("deletion_file") is not None:
                described["task"]["fragments"] = group
                tasks.append(CompactionTask.from_json(json.dumps(described)))  # type: ignore[attr-defined]
    return tasks


def members_of(tasks: Iterable[CompactionTask]) -> set[int]:
    """Return the ids of the fragments that these tasks rewrite."""
    return {fragment.id for task in tasks for fragment in task.fragments}


def _split(members: Sequence[dict[str, Any]], places: dict[int, int]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for each in members:
        if group and places.get(each["id"], -1) != places.get(group[-1]["id"], -1) + 1:
            yield group
            group = []
        group.append(each)
    if group:
        yield group
