"""`ksmlab new`: what it writes works as it stands, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ksmlab_core.errors import BadInput, UnknownName
from ksmlab_core.policy import load_registry
from ksmlab_core.policy.kinds import KINDS
from ksmlab_core.policy.scaffold import new_plugin


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    return folder, {kind: new_plugin(kind, f"my-{kind}", folder) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_plugin_loads_and_is_about_forty_lines(written, kind):
    plugin, test = written[1][kind]
    assert (plugin.name, test.name) == (f"my_{kind}.py", f"test_my_{kind}.py")
    entry = load_registry([str(plugin)], autoload=False).get(kind, f"my-{kind}")
    assert entry.cls.__name__ == f"My{kind.capitalize()}"
    assert entry.params.model_fields
    assert 25 <= len(plugin.read_text().splitlines()) <= 45


def test_all_written_tests_pass(written):
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "."]
    done = subprocess.run(command, cwd=written[0], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{3 * len(KINDS)} passed" in done.stdout


def test_nothing_is_overwritten(tmp_path):
    new_plugin("scan", "mine", tmp_path)
    (tmp_path / "mine.py").write_text("precious")
    (tmp_path / "test_mine.py").unlink()
    with pytest.raises(BadInput) as error:
        new_plugin("scan", "mine", tmp_path)
    assert str(error.value) == f"{tmp_path / 'mine.py'}: is there already; nothing was written"
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert not (tmp_path / "test_mine.py").exists()


@pytest.mark.parametrize(
    ("name", "file", "cls"),
    [
        ("2q", "2q.py", "My2q"),
        ("random", "random_swapin.py", "Random"),
        ("swapin", "swapin.py", "MySwapin"),
        ("a-b-c", "a_b_c.py", "ABC"),
    ],
)
def test_names_that_would_hide_something_are_avoided(tmp_path, name, file, cls):
    plugin, _ = new_plugin("swapin", name, tmp_path)
    assert plugin.name == file
    assert load_registry([str(plugin)], autoload=False).get("swapin", name).cls.__name__ == cls


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My-Policy", "'My-Policy' is no name: use a-z, 0-9 and '-', beginning with no '-'"),
        ("../x", "'../x' is no name: use a-z, 0-9 and '-', beginning with no '-'"),
        ("", "'' is no name: use a-z, 0-9 and '-', beginning with no '-'"),
        ("remerge", "a swapin policy called 'remerge' is there already"),
    ],
    ids=["capitals", "path", "empty", "taken"],
)
def test_bad_names(tmp_path, name, said):
    with pytest.raises(BadInput) as error:
        new_plugin("swapin", name, tmp_path)
    assert str(error.value) == said
    assert list(tmp_path.iterdir()) == []


def test_unknown_kind(tmp_path):
    with pytest.raises(UnknownName, match=r"no kind of plugin is called 'swapins'.*did you mean 'swapin'"):
        new_plugin("swapins", "x", tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(BadInput) as error:
        new_plugin("scan", "x", tmp_path / "no")
    assert str(error.value) == f"{tmp_path / 'no' / 'x.py'}: cannot be written: No such file or directory"
