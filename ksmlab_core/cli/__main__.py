"""``python -m ksmlab_core.cli``: the `ksmlab` script without its installation."""

import sys

from ksmlab_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
