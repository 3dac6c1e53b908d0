"""Write the reference, or compare it with the code."""

from __future__ import annotations

import sys

from docs.generate.pages import FOLDER, PAGES, outdated, write_all

COMMAND = "python -m docs.generate"


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write(f"usage: {COMMAND} [--check]\n")
        return 2
    if sys.argv[1:] == ["--check"]:
        names = outdated()
        if names:
            sys.stderr.write(f"differs from the code: {', '.join(names)}. Run `{COMMAND}`\n")
        return 1 if names else 0
    write_all()
    sys.stdout.write(f"wrote {len(PAGES)} pages to {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
