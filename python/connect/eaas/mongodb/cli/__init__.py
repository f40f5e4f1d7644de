"""The command line, `connect-mongodb`."""

from connect.eaas.mongodb.cli.main import main

__all__ = ["main"]
