"""`python -m explorer` runs the `latentscape` command line."""

from explorer.cli import main

main()
