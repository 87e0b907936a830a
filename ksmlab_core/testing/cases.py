"""Cases: a number stands for a machine, a policy for each question, and a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ksmlab_core.experiment.plan import Step
from ksmlab_core.mm.profile import PROFILES, Profile, profile
from ksmlab_core.mm.switches import SWITCHES, contradiction
from ksmlab_core.policy.registry import load_registry
from ksmlab_core.testing.anyhow import Anyhow
from ksmlab_core.testing.dice import Dice
from ksmlab_core.testing.random_scripts import LATER_KNOBS, random_script

HOOKS: Final = ("reclaim", "swapin", "scan")


@dataclass(frozen=True)
class Setting:
    """The machine that a script runs on.

    Attributes:
        frames: page frames.
        slots: swap slots.
        swap_start: slot at which allocation begins.
        pagevecs: "drained" or "per-cpu".
        every_ns: simulated time between two periodic samples, if any.
        nodes: NUMA nodes.
        small_tables: the simulator's own tables begin so small that they have to grow.
        ksm: knobs.
        profile: which kernel.
        switches: changed switches of the profile.
    """

    frames: int
    slots: int
    swap_start: int
    pagevecs: str
    every_ns: int | None
    small_tables: bool
    nodes: int
    ksm: dict[str, int | str]
    profile: str
    switches: dict[str, Any]

    @property
    def kernel(self) -> Profile:
        """The profile with its changed switches."""
        return profile(self.profile).with_switches(self.switches)


def random_setting(number: int) -> Setting:
    """The machine of a case, from tight to ample in frames and in swap; one in four is another kernel in parts."""
    dice = Dice(number, 1)
    name = Dice(number, 5).one(list(PROFILES))
    frames = dice.one([dice.between(4, 23), *[dice.between(24, 64)] * 3, *[dice.between(65, 260)] * 2])
    slots = dice.one([0, dice.between(1, 12), dice.between(13, 60), dice.between(61, 700), 400, 400])
    return Setting(
        frames=frames,
        slots=slots,
        swap_start=dice.between(1, slots) if slots and dice.chance(0.3) else 1,
        pagevecs=dice.one(["drained", "per-cpu"]),
        every_ns=dice.one([None, None, 3_000_000]),
        small_tables=dice.chance(0.3),
        nodes=Dice(number, 6).one([1, 1, 2, 4]),
        ksm={"run": int(dice.chance(0.25)), "pages_to_scan": dice.one([1, 5, 20, 100]), **_random_knobs(number, name)},
        profile=name,
        switches=_random_switches(dice, name) if dice.chance(0.25) else {},
    )


def _random_knobs(number: int, name: str) -> dict[str, Any]:
    """Values for some of the knobs that only later kernels have, such that little memory already feels them."""
    dice = Dice(number, 7)
    return {
        knob: dice.one(values)
        for knob, values in LATER_KNOBS.items()
        if knob in profile(name).knobs and dice.chance(0.6)
    }


def _random_switches(dice: Dice, name: str) -> dict[str, Any]:
    """One switch set to any of its values, or several, as long as they go together."""
    several = [switch.name for switch in SWITCHES.values() if len(switch.values) > 1]
    names = [dice.one(several)] if dice.chance(0.5) else [name for name in several if dice.chance(0.4)]
    chosen = {each: dice.one(SWITCHES[each].values) for each in names}
    while (wrong := contradiction({**profile(name).switches, **chosen})) is not None:
        chosen[wrong[0]] = dice.one(SWITCHES[wrong[0]].values)
    return chosen


@dataclass(frozen=True)
class Case:
    """One random run: its number, and what the number stands for."""

    number: int
    setting: Setting
    policies: dict[str, dict[str, Any]]  # by hook: {"use": name, "params": {...}}
    steps: Sequence[Step]


@cache
def registry() -> Any:
    """The policies that ship with ksmlab."""
    return load_registry(autoload=False)


_PARAMETERS: Final[Mapping[tuple[str, str], Mapping[str, Sequence[Any]]]] = {
    ("reclaim", "ksm-aware"): {"sharer_weight": (0.0, 1.0, 3.0), "write_weight": (0.0, 0.5), "ksm_weight": (0.0, 9.0)},
    ("swapin", "remerge"): {"min_sharers": (1, 2, 3)},
    ("scan", "changed-last"): {"skip_above": (0, 1, 255, 255)},
}


def policies_of(number: int) -> dict[str, dict[str, Any]]:
    """The policies of a case: consecutive numbers go through all combinations."""
    dice = Dice(number, 3)
    chosen = {}
    for hook in HOOKS:
        names = [*(entry.name for entry in registry().entries(hook)), Anyhow.name]
        number, place = divmod(number, len(names))
        params = {key: dice.one(values) for key, values in _PARAMETERS.get((hook, names[place]), {}).items()}
        chosen[hook] = {"use": names[place], "params": params}
    return chosen


def case_of(number: int) -> Case:
    """The case that a number stands for."""
    size = Dice(number, 4).between(10, 60)
    setting = random_setting(number)
    knobs = setting.kernel.knobs
    steps = [_placed(step, setting.nodes) for step in random_script(number, size) if _can_be_set(step, knobs)]
    return Case(number, setting, policies_of(number), steps)


def _placed(step: Step, nodes: int) -> Step:
    """A step whose NUMA node is one that the machine has."""
    if step.kind != "mmap" or "node" not in step.args:
        return step
    return replace(step, args={**step.args, "node": step.args["node"] % nodes})


def _can_be_set(step: Step, knobs: Mapping[str, Any]) -> bool:
    return all(name.removeprefix("ksm.") in knobs for name in step.args.get("knobs") or ())
