"""The configuration: read, checked, and what follows from it."""
