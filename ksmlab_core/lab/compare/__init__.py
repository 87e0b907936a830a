"""Two or more sets of runs against each other, paired over points and seeds: exactly, and over seeds by statistics.

`sides` says what is compared with what, `figures` which metrics, `table` works it out, `rules` says what must not be,
`words` and `pages` tell it.
"""

from ksmlab_core.lab.compare.rules import Rule, Violation, broken, read_rule
from ksmlab_core.lab.compare.sides import Sides, by_setting, of_folders
from ksmlab_core.lab.compare.table import Comparison, compare

__all__ = ["Comparison", "Rule", "Sides", "Violation", "broken", "by_setting", "compare", "of_folders", "read_rule"]
