"""The controller zone: the only code that may see a name or a key."""
