"""Write the reference and the Python client's generated modules, or compare them with the code."""

from __future__ import annotations

import sys

from docs.generate import pages, python_client
from docs.generate.pages import FOLDER, PAGES
from docs.generate.python_client import MODULES

COMMAND = "python -m docs.generate"


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write(f"usage: {COMMAND} [--check]\n")
        return 2
    if sys.argv[1:] == ["--check"]:
        names = [*pages.outdated(), *python_client.outdated()]
        if names:
            sys.stderr.write(f"differs from the code: {', '.join(names)}. Run `{COMMAND}`\n")
        return 1 if names else 0
    pages.write_all()
    python_client.write_all()
    sys.stdout.write(f"wrote {len(PAGES)} pages to {FOLDER}, and {len(MODULES)} modules of the Python client\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
