"""Compares the manifests of deploy/kubernetes with Kubernetes' own schemas, offline, in an environment made for it.

    python -m tests.deployment.schemas

kubernetes-validate holds the schemas and takes 110 MB, so it is not among the packages of the development environment.
Exits with 1 if a manifest differs, or if a manifest with a misspelt field does not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

from tests.deployment.manifests import FOLDER

PACKAGE: Final = "kubernetes-validate==1.37.0"
VERSIONS: Final = ("1.28", "1.37")
MISSPELT: Final = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: [{port: 80}]}\n"
SCRIPT: Final = """
import pathlib, sys
import kubernetes_validate, yaml
for path in map(pathlib.Path, sys.argv[2:]):
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(document, sys.argv[1], strict=True)
"""


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="winnow-schemas-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        misspelt = folder / "misspelt.yaml"
        misspelt.write_text(MISSPELT, encoding="utf-8")
        for version in VERSIONS:
            for path in sorted(FOLDER.glob("*.yaml")):
                fault = fault_of(python, version, path)
                print(f"{version} {path.name}: {fault or 'agrees'}")
                wrong += fault is not None
            if fault_of(python, version, misspelt) is None:
                print(f"{version}: a misspelt field was not found")
                wrong += 1
    return 1 if wrong else 0


def fault_of(python: str, version: str, path: Path) -> str | None:
    done = subprocess.run(
        [python, "-c", SCRIPT, version, str(path)], check=False, capture_output=True, text=True, timeout=120
    )
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
