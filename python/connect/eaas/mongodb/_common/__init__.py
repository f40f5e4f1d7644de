"""What the asynchronous and the blocking API have in common."""
