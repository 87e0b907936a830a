"""`ksmlab kernels`: which kernels can be simulated, and the switches that tell them apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ksmlab_core.cli.options import json_option
from ksmlab_core.cli.text import aligned
from ksmlab_core.errors import UnknownName

if TYPE_CHECKING:
    from ksmlab_core.mm.profile import Knob, Profile
    from ksmlab_core.mm.switches import Switch


@click.command("kernels", short_help="List kernel profiles, or show how two of them differ.")
@click.argument("names", nargs=-1, metavar="[PROFILE [PROFILE]]")
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """List the kernels that can be simulated and the cost table of the machine; with two names, how these two differ.

    A kernel profile is a set of named switches. `kernel: {profile: NAME, SWITCH: VALUE}` in an experiment file changes
    one behaviour alone; `machine: {costs: {EVENT: TIME}}` changes one cost.
    """
    if len(names) > 2:
        raise click.UsageError("one profile, or two to compare")
    profiles = _profiles(names)
    if len(names) == 2:
        _compare(profiles[0], profiles[1], as_json)
    elif as_json:
        click.echo(json.dumps(_document(profiles), indent=1))
    else:
        _list(profiles)


def _profiles(names: tuple[str, ...]) -> list[Profile]:
    """The profiles of these names, or all."""
    from ksmlab_core.mm.profile import PROFILES

    for name in names:
        if name not in PROFILES:
            raise UnknownName("kernel profile", name, PROFILES)
    return [PROFILES[name] for name in names or PROFILES]


def _list(profiles: list[Profile]) -> None:
    from ksmlab_core.mm.costs import COSTS
    from ksmlab_core.mm.switches import SWITCHES

    for profile in profiles:
        _print_profile(profile)
    click.echo("switches")
    for switch in SWITCHES.values():
        _print_switch(switch, profiles)
    click.echo("costs, ns of simulated time")
    for line in aligned([[name, f"{cost:>6}", about] for name, (cost, about) in COSTS.items()], indent="  "):
        click.echo(line)


def _compare(one: Profile, other: Profile, as_json: bool) -> None:
    """How two kernels differ: switches, knobs, and what they count."""
    from ksmlab_core.mm.switches import SWITCHES

    switches = [switch for name, switch in SWITCHES.items() if one.switches.get(name) != other.switches.get(name)]
    metrics = [[name for name in a.metrics if name not in b.metrics] for a, b in ((one, other), (other, one))]
    if as_json:
        differing = {
            switch.name: [one.switches.get(switch.name), other.switches.get(switch.name)] for switch in switches
        }
        click.echo(
            json.dumps({"profiles": [one.name, other.name], "switches": differing, "metrics": metrics}, indent=1)
        )
        return
    click.echo(f"{one.name}: {one.about}\n{other.name}: {other.about}\n")
    for switch in switches:
        _print_switch(switch, [one, other])
    if not switches:
        click.echo("no switch differs")
    for profile, own in zip((one, other), metrics, strict=True):
        if own:
            click.echo(f"only {profile.name} has {', '.join(own)}")


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


def _document(profiles: list[Profile]) -> dict[str, Any]:
    from ksmlab_core.mm.costs import COSTS
    from ksmlab_core.mm.switches import SWITCHES

    return {
        "profiles": [_profile(profile) for profile in profiles],
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
