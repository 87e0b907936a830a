"""Where accesses and contents come from (floor 1)."""
