"""`python -m vremove_cli` is `vremove`."""

from vremove_cli.app import main

main()
