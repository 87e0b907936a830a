"""Memory of running processes, taken as keyed page digests, and the file that keeps it (floor 1)."""
