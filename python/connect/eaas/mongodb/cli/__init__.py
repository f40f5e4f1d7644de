"""The command line, `connect-mongodb`."""

from connect.eaas.mongodb.cli.main import main
from connect.eaas.mongodb.cli.page import page

main.add_command(page)

__all__ = ["main"]
