"""Every way of getting a plugin file wrong that we know of is one line with its place."""

from __future__ import annotations

import pytest

from ksmlab_core.errors import PluginRejected
from ksmlab_core.policy import load_registry

HOOK = "@hookimpl\ndef ksmlab_swapin_policies():"
DECIDE = "    def decide(self, fault):"
CASES = {  # what was changed in the good plugin -> what is said
    "no name": (
        ('    name = "mine"\n', ""),
        "mine.py:5: class Mine has no name; give it one: name = 'mine'",
    ),
    "capital letters": (
        ('"mine"', '"Mine"'),
        "mine.py:5: class Mine: name 'Mine' is not made of a-z, 0-9 and '-', beginning with no '-'",
    ),
    "name is no text": (
        ('"mine"', "7"),
        "mine.py:5: class Mine: name 7 is not made of a-z, 0-9 and '-', beginning with no '-'",
    ),
    "trailing newline in the name": (
        ('"mine"', '"mine\\n"'),
        "mine.py:5: class Mine: name 'mine\\n' is not made of a-z, 0-9 and '-', beginning with no '-'",
    ),
    "no marker": (("@hookimpl\n", ""), "mine.py:15: function ksmlab_swapin_policies is not marked @hookimpl"),
    "no hook function": (
        (f"{HOOK}\n    return [Mine]\n", ""),
        "mine.py: registers nothing: no function ksmlab_swapin_policies marked @hookimpl returns [Mine]",
    ),
    "unknown hook": (
        ("ksmlab_swapin_policies", "ksmlab_swapin_policy"),
        "mine.py:15: there is no hook 'ksmlab_swapin_policy'; did you mean 'ksmlab_swapin_policies'?",
    ),
    "unknown argument": (
        (f"{HOOK}\n    return [Mine]\n", "@hookimpl\ndef ksmlab_sampled(run, smaple):\n    pass\n"),
        "mine.py:15: ksmlab_sampled has no argument 'smaple'; it has: run, sample; did you mean 'sample'?",
    ),
    "argument with a default": (
        (f"{HOOK}\n    return [Mine]\n", "@hookimpl\ndef ksmlab_sampled(run, sample=None):\n    pass\n"),
        "mine.py:15: ksmlab_sampled: argument sample=None must be plain, without a default",
    ),
    "keyword-only argument": (
        (f"{HOOK}\n    return [Mine]\n", "@hookimpl\ndef ksmlab_sampled(*, sample):\n    pass\n"),
        "mine.py:15: ksmlab_sampled: argument sample must be plain, without a default",
    ),
    "argument of a registering hook": (
        ("ksmlab_swapin_policies():", "ksmlab_swapin_policies(registry):"),
        "mine.py:15: ksmlab_swapin_policies has no argument 'registry'; it has: no arguments",
    ),
    "wrapper": (
        (HOOK, "@hookimpl(wrapper=True)\ndef ksmlab_swapin_policies():\n    yield"),
        "mine.py:15: ksmlab_swapin_policies cannot be wrapped",
    ),
    "marked class": (
        (f"{HOOK}\n    return [Mine]\n", "@hookimpl\nclass ksmlab_sampled:\n    pass\n"),
        "mine.py:15: ksmlab_sampled is marked @hookimpl but is not a function",
    ),
    "class instead of list": (
        ("return [Mine]", "return Mine"),
        "mine.py: ksmlab_swapin_policies must return a list of classes, not the class Mine",
    ),
    "nothing returned": (
        ("return [Mine]", "[Mine]"),
        "mine.py: ksmlab_swapin_policies must return a list of classes, not None",
    ),
    "a number returned": (
        ("return [Mine]", "return 3"),
        "mine.py: ksmlab_swapin_policies must return a list of classes, not 3",
    ),
    "names returned": (
        ("return [Mine]", 'return ["Mine"]'),
        "mine.py: ksmlab_swapin_policies must return classes, not 'Mine'",
    ),
    "hook raises": (
        ("return [Mine]", "return [Mien]"),
        "mine.py: ksmlab_swapin_policies raised NameError: name 'Mien' is not defined",
    ),
    "generator raises": (
        ("return [Mine]", "yield Mine\n    yield 1 / 0"),
        "mine.py: ksmlab_swapin_policies raised ZeroDivisionError: division by zero",
    ),
    "wrong kind": (
        ("ksmlab_swapin_policies", "ksmlab_scan_orders"),
        "mine.py:5: class Mine is not a ScanOrder",
    ),
    "no method": (
        (DECIDE, "    def decid(self, fault):"),
        "mine.py:5: class Mine does not define decide(self, fault)",
    ),
    "method with other arguments": (
        (DECIDE, "    def decide(self):"),
        "mine.py:11: class Mine must define decide(self, fault)",
    ),
    "parameters of another base": (
        ("class Params(SwapinPolicy.Params)", "class Params"),
        "mine.py:5: class Mine: Params must be a class derived from the base class's Params",
    ),
    "lax parameters": (
        ("        level", '        model_config = {"extra": "allow"}\n        level'),
        "mine.py:5: class Mine: Params must forbid extra keys and be frozen: derive it from the base's",
    ),
    "parameter without a description": (
        (', description="level"', ""),
        "mine.py:5: class Mine: Params: level has no description; use Field(..., description=...)",
    ),
    "parameter with a reserved name": (
        ("level: int", "use: int"),
        "mine.py:5: class Mine: Params: 'use' means something else in experiment files",
    ),
    "pretends to be compiled": (
        ('    name = "mine"', '    name = "mine"\n    compiled = True'),
        "mine.py:5: class Mine: compiled is for the core's own policies",
    ),
    "registered twice": (
        ("[Mine]", '[Mine, type("Twin", (Mine,), {})]'),
        None,  # the message carries the digest: see below
    ),
    "import error": (
        ("from ksmlab_core", "import nowhere_at_all\nfrom ksmlab_core"),
        "mine.py:2: cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'",
    ),
    "error while imported": (
        ('    name = "mine"', "    name = nmae"),
        "mine.py:6: cannot be imported: NameError: name 'nmae' is not defined",
    ),
    "exits": (
        ('"""A plugin."""', "raise SystemExit(3)"),
        "mine.py:1: cannot be imported: SystemExit: 3",
    ),
    "syntax error": (
        ("class Mine(SwapinPolicy):", "class Mine(SwapinPolicy)"),
        "mine.py:5: cannot be imported: SyntaxError: expected ':'",
    ),
}


@pytest.mark.parametrize("case", [case for case, (_, said) in CASES.items() if said])
def test_a_wrong_plugin_is_one_exact_line(desk, case):
    change, said = CASES[case]
    with pytest.raises(PluginRejected) as error:
        desk.good(change)
    assert str(error.value) == said
    assert error.value.exit_status == 2


def test_one_name_twice_in_one_file(desk):
    with pytest.raises(PluginRejected, match=r"^mine.py: swapin policy 'mine' is there already, from mine.py sha256:"):
        desk.good(CASES["registered twice"][0])


@pytest.mark.parametrize("batch", ["0", "True", "2.0", "None"])
def test_batch_is_a_positive_whole_number(desk, batch):
    text = f"""
        from ksmlab_core.policy import ReclaimPolicy, hookimpl
        class Greedy(ReclaimPolicy):
            name = "greedy"
            batch = {batch}
            def victims(self, frames, n):
                return frames.index[:n]
        @hookimpl
        def ksmlab_reclaim_policies():
            return [Greedy]
        """
    with pytest.raises(PluginRejected) as error:
        desk.load(text)
    assert str(error.value) == f"mine.py:2: class Greedy: batch must be a whole number >= 1, not {batch}"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("./mnie.py", "mnie.py: no such file; did you mean 'mine.py'?"),
        ("./folder", "folder: is a folder; name the .py file in it"),
        ("./folder/x.py", "folder/x.py: no such file"),
        ("./mine.py/x.py", "mine.py/x.py: no such file"),
        ("./notes.txt", "notes.txt: is not a .py file"),
        ("", "'': is neither a .py file nor the name of a module"),
        ("my-plugin", "my-plugin: is neither a .py file nor the name of a module"),
        ("mine", "mine: no module of this name is installed; did you mean './mine.py'?"),
        ("no_such.module", "no_such.module: no module of this name is installed"),
        ("pluggy", "pluggy: registers nothing: no function in it is marked @hookimpl"),
        ("./empty.py", "empty.py: registers nothing: no function in it is marked @hookimpl"),
        ("./zeros.py", None),
    ],
)
def test_what_cannot_be_loaded_is_one_line(desk, spec, said):
    desk.good()
    (desk.folder / "folder").mkdir()
    (desk.folder / "notes.txt").write_text("x")
    (desk.folder / "empty.py").write_text("")
    (desk.folder / "zeros.py").write_bytes(b"\0" * 20)
    with pytest.raises(PluginRejected) as error:
        load_registry([spec], autoload=False)
    said = said or str(error.value)  # Python versions word the null bytes differently
    assert str(error.value) == said
    assert "\n" not in said
    assert said.startswith("zeros.py: cannot be imported: ") or spec != "./zeros.py"


def test_a_file_that_cannot_be_imported_is_refused_every_time(desk):
    for _ in range(2):
        with pytest.raises(PluginRejected, match="division by zero"):
            desk.good(("    return [Mine]", "    return [Mine]\n\n\n1 / 0"))


def test_a_rejected_file_can_be_mended_and_loaded(desk):
    with pytest.raises(PluginRejected):
        desk.good(("[Mine]", "[Mien]"))
    assert desk.good().get("swapin", "mine")


def test_observers_alone_are_a_plugin(desk):
    registry = desk.load("""
        from ksmlab_core.policy import hookimpl
        seen = []
        @hookimpl(specname="ksmlab_run_failed")
        def note(run, failure):
            seen.append((run, failure))
        """)
    registry.hook.ksmlab_run_failed(run="r", failure="f")
    assert registry.providers[-1].module.seen == [("r", "f")]


def test_the_cause_keeps_the_plugins_own_traceback(desk):
    with pytest.raises(PluginRejected) as error:
        desk.good(('    name = "mine"', "    name = 1 / 0"))
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_file_with_an_odd_name_loads(desk):
    assert desk.good(name="my policy-2.py").get("swapin", "mine").provider == "my policy-2.py"
