"""`python -m winnow.api.cli`."""

from winnow.api.cli.main import main

main()
