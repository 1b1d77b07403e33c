"""The `visage` command: thin wrappers that parse arguments and call the rest of the package."""
