"""Rules for the manifests of deploy/kubernetes that no schema holds: each yields one sentence for each fault.

A schema finds misspelt fields and wrong types (`python -m tests.deployment.schemas`). It does not find a selector that
selects nothing, a quantity that is none, or a Secret without the key that a container asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from winnow import __version__
from winnow.api.settings import rows

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
VERSIONS: Final = {
    "Secret": "v1",
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "Job": "batch/v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
}
QUANTITY: Final = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?")
SPARE_SECONDS: Final = 5  # beyond what a pod needs to stop
HARDENED: Final = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}

Document = Mapping[str, Any]
Rule = Callable[[Sequence[Document]], Iterator[str]]


def read(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """All documents of a folder."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")))
    return [document for text in texts for document in yaml.safe_load_all(text)]


def known_kinds(documents: Sequence[Document]) -> Iterator[str]:
    """A kind with another apiVersion is skipped by some tools."""
    for each in documents:
        if VERSIONS.get(each["kind"]) != each["apiVersion"]:
            yield f"{each['kind']} {name(each)} has the apiVersion {each['apiVersion']}"


def selectors(documents: Sequence[Document]) -> Iterator[str]:
    """What selects pods selects those of the Deployment, and not those of the Job."""
    labels = [(each["kind"], each["spec"]["template"]["metadata"]["labels"]) for each in with_pods(documents)]
    for each in documents:
        if each["kind"] in {"Deployment", "PodDisruptionBudget", "Service"}:
            selector = each["spec"]["selector"]
            wanted = (selector if each["kind"] == "Service" else selector["matchLabels"]).items()
            found = [kind for kind, pod in labels if wanted <= pod.items()]
            if found != ["Deployment"]:
                yield f"{each['kind']} {name(each)} selects the pods of {found or 'nothing'}"


def quantities(documents: Sequence[Document]) -> Iterator[str]:
    for each in documents:
        for path, value in values(each):
            if re.search(r"(requests|limits)/\w+$|sizeLimit$", path) and not QUANTITY.fullmatch(str(value)):
                yield f"{name(each)}: {path} = {value} is no quantity"


def resources(documents: Sequence[Document]) -> Iterator[str]:
    """Every container asks for CPU and memory, and cannot take all memory of a node."""
    for owner, container in containers(documents):
        given = container.get("resources", {})
        if {"cpu", "memory"} - given.get("requests", {}).keys() or "memory" not in given.get("limits", {}):
            yield f"{owner}: a request or the limit of memory is missing"


def probes(documents: Sequence[Document]) -> Iterator[str]:
    """A pod is taken out by /readyz, and restarted only by /healthz."""
    wanted = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    for owner, container in containers(documents, kind="Deployment"):
        ports = {each["name"] for each in container.get("ports", ())}
        for probe, path in wanted.items():
            asked = container.get(probe, {}).get("httpGet", {})
            if asked.get("path") != path or asked.get("port") not in ports:
                yield f"{owner}: the {probe} asks {asked or 'nothing'}, not {path} of a port of the container"


def time_to_stop(documents: Sequence[Document]) -> Iterator[str]:
    """The pod pauses before it drains, and no request in progress is killed."""
    for each in of_kind(documents, "Deployment"):
        pod = each["spec"]["template"]["spec"]
        for container in pod["containers"]:
            command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
            set_ = {variable["name"]: variable.get("value") for variable in container["env"]}
            drain, stop = (int(set_.get(f"WINNOW_{which}_SECONDS") or 0) for which in ("DRAIN", "STOP"))
            pause = int(command[1]) if command[:1] == ["sleep"] else 0
            needed = pause + drain + stop + SPARE_SECONDS
            if not pause or not drain or not stop or pod.get("terminationGracePeriodSeconds", 30) < needed:
                yield f"{name(each)}: stopping takes {pause} + {drain} + {stop} s, none of them 0, so {needed} s"


def rolling(documents: Sequence[Document]) -> Iterator[str]:
    """An update and a drained node leave replicas that answer."""
    for each in of_kind(documents, "Deployment"):
        replicas = each["spec"]["replicas"]
        unavailable = each["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable")
        budgets = [budget["spec"].get("maxUnavailable") for budget in of_kind(documents, "PodDisruptionBudget")]
        if replicas < 2 or unavailable != 0 or any(budget not in range(1, replicas) for budget in budgets or [None]):
            yield f"{name(each)}: {replicas} replicas, {unavailable} unavailable in an update, budgets {budgets}"


def secrets(documents: Sequence[Document]) -> Iterator[str]:
    """Settings without a flag may hold a password: they come from the Secret, which has them."""
    hidden = {row.variable for row in rows() if row.flag is None}
    there = {(name(each), key) for each in of_kind(documents, "Secret") for key in each["stringData"]}
    for owner, container in containers(documents):
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            if variable["name"] in hidden and not source:
                yield f"{owner}: {variable['name']} is written out"
            if source and (source["name"], source["key"]) not in there:
                yield f"{owner}: no Secret has {source['name']}/{source['key']}"


def settings(documents: Sequence[Document]) -> Iterator[str]:
    """A misspelt variable would be ignored."""
    known = {row.variable for row in rows()}
    for owner, container in containers(documents):
        for variable in container.get("env", ()):
            if variable["name"].startswith("WINNOW_") and variable["name"] not in known:
                yield f"{owner}: winnow has no setting {variable['name']}"


def confinement(documents: Sequence[Document]) -> Iterator[str]:
    for each in with_pods(documents):
        pod = each["spec"]["template"]["spec"]
        if not pod.get("securityContext", {}).get("runAsNonRoot") or pod.get("automountServiceAccountToken", True):
            yield f"{name(each)}: the pod may run as root, or gets a token of the cluster"
    for owner, container in containers(documents):
        if container.get("securityContext") != HARDENED:
            yield f"{owner}: the container is not confined to {HARDENED}"


def volumes(documents: Sequence[Document]) -> Iterator[str]:
    """The data folder is one claim that several nodes can write, and nothing else is written but /tmp."""
    shared = {name(each) for each in of_kind(documents, "PersistentVolumeClaim") if is_shared(each)}
    for each in with_pods(documents):
        pod = each["spec"]["template"]["spec"]
        claims = {one["name"]: one.get("persistentVolumeClaim", {}).get("claimName") for one in pod["volumes"]}
        for container in pod["containers"]:
            data = next(one["value"] for one in container["env"] if one["name"] == "WINNOW_DATA")
            mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            if not set(mounted.values()) <= claims.keys() or claims.get(mounted.get(data, "")) not in shared:
                yield f"{name(each)}: {data} is on no claim that is shared between nodes, or a volume is missing"


def images(documents: Sequence[Document]) -> Iterator[str]:
    """The catalog is migrated by what serves it."""
    used = {container["image"] for _, container in containers(documents)}
    if used != {f"winnow-search:{__version__}"}:
        yield f"the images are {sorted(used)}, not all winnow-search:{__version__}"


RULES: Final[Mapping[str, Rule]] = {
    rule.__name__: rule
    for rule in (
        known_kinds, selectors, quantities, resources, probes, time_to_stop, rolling, secrets, settings, confinement,
        volumes, images,
    )
}  # fmt: skip


def name(document: Document) -> str:
    return str(document["metadata"]["name"])


def of_kind(documents: Sequence[Document], kind: str) -> list[Document]:
    return [each for each in documents if each["kind"] == kind]


def with_pods(documents: Sequence[Document]) -> list[Document]:
    return [each for each in documents if each["kind"] in {"Deployment", "Job"}]


def containers(documents: Sequence[Document], *, kind: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """With the names of their owners."""
    for each in with_pods(documents) if kind is None else of_kind(documents, kind):
        for container in each["spec"]["template"]["spec"]["containers"]:
            yield name(each), container


def is_shared(claim: Document) -> bool:
    return claim["spec"]["accessModes"] == ["ReadWriteMany"]


def values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is neither a mapping nor a list, with its path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from values(value, f"{path}/{key}")
    elif isinstance(node, list):
        for value in node:
            yield from values(value, f"{path}[]")
    else:
        yield path, node
