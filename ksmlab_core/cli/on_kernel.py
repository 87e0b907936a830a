"""Before anything is run on the kernel of this host: can it be, and may it be?"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from ksmlab_core.errors import HostInUse

if TYPE_CHECKING:
    from ksmlab_core.experiment import RunSpec
    from ksmlab_core.lab.once import Simulate

_WHAT_IT_MEANS = "What is shared now is broken up, and the figures hold those pages too."


def prepared(specs: Iterable[RunSpec], *, no_input: bool) -> Simulate:
    """What carries runs out on the running kernel, after everything was checked that can be beforehand.

    Raises:
        HostUnfit: the kernel, or the right to use it, is not there.
        Problems: a run has steps or settings that cannot be had.
        HostInUse: others use KSM, and nobody said that this does not matter.
    """
    from ksmlab_core import host
    from ksmlab_core.host import able, guard

    able.require_host()
    able.refuse_what_cannot_be_done(specs)
    user = guard.in_use_by_strangers()
    if user is None:
        return host.run
    if no_input or not sys.stdin.isatty():
        raise HostInUse(f"KSM is in use on this host: {user}")
    if not click.confirm(f"KSM is in use on this host: {user}. {_WHAT_IT_MEANS} Go on?", err=True):
        raise HostInUse("nothing was done")
    return partial(host.run, in_use_too=True)
