"""So that `python -m connect.eaas.mongodb.cli` is `connect-mongodb`."""

from connect.eaas.mongodb.cli.main import main

main(prog_name="connect-mongodb")
