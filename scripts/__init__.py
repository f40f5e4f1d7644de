"""What the project's files are made with."""
