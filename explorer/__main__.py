"""`python -m explorer` is `latentscape`."""

from explorer.cli import main

main()
