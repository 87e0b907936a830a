"""What system calls return: 0, or one of these."""

from __future__ import annotations

OK = 0
EINTR = 4
EAGAIN = 11
ENOMEM = 12
EBUSY = 16
EINVAL = 22

NAMES = {OK: "0", EINTR: "EINTR", EAGAIN: "EAGAIN", ENOMEM: "ENOMEM", EBUSY: "EBUSY", EINVAL: "EINVAL"}
NUMBERS = {name: number for number, name in NAMES.items()}
