"""Which pages of the reference are written from the code?

    python -m docs.generate            writes docs/reference/*.md
    python -m docs.generate --check    names the pages that differ from the code; exit code 1 if there are any

One module per page, each with one function `page()`. `tests/docs/test_reference.py` compares.
"""
