"""`winnow`, and `python -m winnow.api.cli`: the command line as a program of its own."""

from __future__ import annotations

from winnow.retrieval.interrupts import ending_at_once, repeat_lost_interrupts


def run() -> None:
    """Run the command line, and end with its exit code."""
    with ending_at_once():
        from winnow.api.cli.main import main
    repeat_lost_interrupts()
    main()


if __name__ == "__main__":
    run()
