"""`ksmlab kernels`: which kernels can be simulated, and the switches that tell them apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option
from ksmlab_core.cli.text import aligned

if TYPE_CHECKING:
    from ksmlab_core.mm.profile import Knob, Profile, Switch


@click.command("kernels", short_help="List kernel profiles, their knobs and switches.")
@json_option
def command(as_json: bool) -> None:
    """List the kernels that can be simulated, and the cost table of the machine.

    A kernel profile is a set of named switches. `kernel: {profile: NAME, SWITCH: VALUE}` in an experiment file changes
    one behaviour alone; `machine: {costs: {EVENT: TIME}}` changes one cost.
    """
    from ksmlab_core.mm.costs import COSTS
    from ksmlab_core.mm.profile import PROFILES, SWITCHES

    if as_json:
        click.echo(json.dumps(_document(), indent=1))
        return
    for profile in PROFILES.values():
        _print_profile(profile)
    click.echo("switches")
    for switch in SWITCHES.values():
        _print_switch(switch, list(PROFILES.values()))
    click.echo("costs, ns of simulated time")
    for line in aligned([[name, f"{cost:>6}", about] for name, (cost, about) in COSTS.items()], indent="  "):
        click.echo(line)


def _print_profile(profile: Profile) -> None:
    click.echo(f"profile {profile.name}: {profile.about}")
    for line in aligned([_knob_row(knob) for knob in profile.knobs.values()], indent="  "):
        click.echo(line)
    click.echo()


def _knob_row(knob: Knob) -> list[str]:
    default = "by memory" if knob.default is None else str(knob.default)
    if knob.words:
        return [f"ksm.{knob.name}", f"= {knob.words[knob.default or 0]}", " or ".join(knob.words), knob.about]
    return [f"ksm.{knob.name}", f"= {default}", f"{knob.low} to {knob.high}", knob.about]


def _print_switch(switch: Switch, profiles: list[Profile]) -> None:
    """A switch: its value in each profile, what else it can be, what it does and where it comes from."""
    here = ", ".join(f"{profile.name}: {json.dumps(profile.switches.get(switch.name))}" for profile in profiles)
    values = " or ".join(json.dumps(value) for value in switch.values)
    rules = f" [{', '.join(switch.rules)}]" if switch.rules else ""
    click.echo(f"  {switch.name}: {values}  ({here})")
    click.echo(f"      {switch.effect}; since {switch.introduced_by}{rules}")


def _document() -> dict[str, Any]:
    from ksmlab_core.mm.costs import COSTS
    from ksmlab_core.mm.profile import PROFILES, SWITCHES

    return {
        "profiles": [_profile(profile) for profile in PROFILES.values()],
        "switches": [
            {
                "name": switch.name,
                "values": list(switch.values),
                "introduced_by": switch.introduced_by,
                "effect": switch.effect,
                "rules": list(switch.rules),
            }
            for switch in SWITCHES.values()
        ],
        "costs": {name: {"ns": cost, "about": about} for name, (cost, about) in COSTS.items()},
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "about": profile.about,
        "switches": dict(profile.switches),
        "knobs": {
            knob.name: {
                "default": knob.default,
                "low": knob.low,
                "high": knob.high,
                "about": knob.about,
                "words": list(knob.words),
            }
            for knob in profile.knobs.values()
        },
        "metrics": list(profile.metrics),
    }
