"""Write the types of clients/typescript from the OpenAPI description, with openapi-typescript.

    npm ci --prefix clients/typescript
    python -m docs.generate.typescript [--check]

The first line of the types holds the hash of the description, so that `--check`, and a test, see without Node whether
they are current.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from docs.generate.openapi import described
from winnow.api.http.description.openapi import PROBLEM
from winnow.api.http.problems import MEDIA_TYPE

PROJECT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = PROJECT / "clients" / "typescript"
TYPES: Final = PACKAGE / "src" / "schema.ts"
PROGRAM: Final = PACKAGE / "node_modules" / ".bin" / "openapi-typescript"
COMMAND: Final = "python -m docs.generate.typescript"
HEAD: Final = "// Written by `{command}` from the OpenAPI description with sha256 {hash}. Do not edit.\n"
SECONDS_MAX: Final = 120


def document() -> str:
    """Return the description without examples, in which each operation names the usual error body once."""
    description = _without_examples(described())
    for methods in description["paths"].values():
        for operation in methods.values():
            operation["responses"] = _joined(operation["responses"])
    return json.dumps(description)


def head() -> str:
    """Return the first line of types that are current."""
    return HEAD.format(command=COMMAND, hash=hashlib.sha256(document().encode()).hexdigest())


def is_current() -> bool:
    """Return whether the committed types were written from this description."""
    return TYPES.is_file() and TYPES.read_text(encoding="utf-8").startswith(head())


def written() -> str:
    """Return the types as openapi-typescript makes them. Needs Node, and what `npm ci` installs."""
    command = [str(PROGRAM), "--default-non-nullable=false"]  # a field with a default need not be sent
    done = subprocess.run(  # noqa: S603  a program of the lock file
        command, input=document(), capture_output=True, text=True, timeout=SECONDS_MAX, check=True
    )
    return head() + done.stdout


def _without_examples(part: Any) -> Any:
    """Recorded answers differ from time to time, types do not."""
    if isinstance(part, dict):
        left_out = {"example"} if "schema" in part else set()
        return {name: _without_examples(each) for name, each in part.items() if name not in left_out}
    return [_without_examples(each) for each in part] if isinstance(part, list) else part


def _joined(responses: dict[str, Any]) -> dict[str, Any]:
    usual = {MEDIA_TYPE: PROBLEM}
    kept = {
        status: answer
        for status, answer in responses.items()
        if status.startswith("2") or answer.get("content", usual) != usual
    }
    return kept | {"default": {"description": "A refusal or a failure", "content": usual}}


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write(f"usage: {COMMAND} [--check]\n")
        return 2
    if sys.argv[1:] == ["--check"]:
        if not is_current():
            sys.stderr.write(f"The OpenAPI description has changed. Run `{COMMAND}`\n")
        return 0 if is_current() else 1
    if not PROGRAM.exists():
        sys.stderr.write("openapi-typescript is not installed. Run `npm ci --prefix clients/typescript`\n")
        return 1
    TYPES.write_text(written(), encoding="utf-8")
    sys.stdout.write(f"wrote {TYPES.relative_to(PROJECT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
