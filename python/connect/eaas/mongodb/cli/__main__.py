"""Runs `connect-mongodb` as `python -m connect.eaas.mongodb.cli`."""

from connect.eaas.mongodb.cli.main import main

main(prog_name="connect-mongodb")
