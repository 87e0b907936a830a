"""Floor 4: carrying plans out, keeping their results, and showing them.

`runner` carries a plan out, in this process or in several; `store` keeps each run's results in a folder of its own;
`collection` is a plan's results as a whole, fresh or read back; `document`, `table` and `report` show them to a
program, a terminal and a reader.
"""
