"""The registry: what it knows of each entry, and what it says of unknown and clashing names."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys

import pytest

from ksmlab_core.errors import PluginRejected, UnknownName
from ksmlab_core.policy import Policy, load_registry
from ksmlab_core.policy.registry import Registry

VERSION = importlib.metadata.version("ksmlab")
SHIPPED = {
    "reclaim": ["clock", "fifo", "kernel", "ksm-aware", "ksm-first", "ksm-last", "lru", "random"],
    "swapin": ["copy", "defer", "kernel", "remerge"],
    "scan": ["changed-last", "cold-first", "kernel", "random"],
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(autoload=False)


@pytest.mark.parametrize("kind", SHIPPED)
def test_the_shipped_policies_are_there_in_order(registry, kind):
    assert [entry.name for entry in registry.entries(kind)] == SHIPPED[kind]


def test_every_entry_can_be_traced_and_built_from_its_defaults(registry):
    for kind in SHIPPED:
        for entry in registry.entries(kind):
            assert (entry.provider, entry.version, entry.kind) == ("ksmlab", VERSION, kind)
            text = open(entry.file, "rb").read()  # noqa: SIM115
            assert hashlib.sha256(text).hexdigest() == entry.sha256
            assert text.decode().splitlines()[entry.line - 1].startswith(f"class {entry.cls.__name__}(")
            assert entry.summary.endswith(".")
            assert isinstance(entry.cls(entry.params()), Policy)


def test_only_the_cores_own_policies_are_compiled(registry):
    compiled = {(kind, e.name) for kind in SHIPPED for e in registry.entries(kind) if e.cls.compiled}
    assert compiled == {("reclaim", "kernel"), ("swapin", "kernel"), ("scan", "kernel")}


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "swapin",
            "remerg",
            "no swapin policy is called 'remerg'; known: copy, defer, kernel, remerge; did you mean 'remerge'?",
        ),
        (
            "scan",
            "sorted",
            "no scan order is called 'sorted'; known: changed-last, cold-first, kernel, random",
        ),
        (
            "swap-in",
            "copy",
            "no kind of plugin is called 'swap-in'; known: reclaim, scan, swapin, workload; did you mean 'swapin'?",
        ),
    ],
)
def test_unknown_names(registry, kind, name, message):
    with pytest.raises(UnknownName) as error:
        registry.get(kind, name)
    assert str(error.value) == message


def test_a_file_is_its_own_provider(desk):
    registry = desk.good()
    entry = registry.get("swapin", "mine")
    assert (entry.provider, entry.line, entry.summary) == ("mine.py", 5, "A plugin.")
    assert entry.file == str(desk.folder / "mine.py")
    assert entry.version == f"sha256:{entry.sha256[:8]}"
    assert entry.provenance() == {
        "kind": "swapin",
        "name": "mine",
        "provider": "mine.py",
        "version": entry.version,
        "file": entry.file,
        "line": 5,
        "sha256": entry.sha256,
    }
    assert entry.cls.__module__ == f"ksmlab_local.mine_{entry.cls.__module__[-8:]}"


def test_a_file_may_state_its_version(desk):
    assert desk.good(("class Mine", '__version__ = "1.2"\n\nclass Mine')).get("swapin", "mine").version == "1.2"


def test_the_same_file_named_twice_is_one_plugin(desk):
    desk.good()
    registry = load_registry(["./mine.py", str(desk.folder / "mine.py")], autoload=False)
    assert len([e for e in registry.entries("swapin") if e.name == "mine"]) == 1


def test_an_edited_file_is_read_anew(desk):
    first = desk.good().get("swapin", "mine")
    second = desk.good(("return Swapin.KERNEL", "return Swapin.COPIED")).get("swapin", "mine")
    assert first.cls is not second.cls
    assert first.sha256 != second.sha256


def test_an_unchanged_file_keeps_its_class(desk):
    assert desk.good().get("swapin", "mine").cls is desk.good().get("swapin", "mine").cls


def test_files_are_relative_to_the_experiment(desk, monkeypatch):
    desk.good()
    monkeypatch.chdir("/")
    assert load_registry(["mine.py"], desk.folder, autoload=False).get("swapin", "mine")


def test_two_files_that_claim_one_name(desk):
    desk.good()
    one = load_registry(["./mine.py"], autoload=False).get("swapin", "mine")
    two = desk.write(f"# other\n{(desk.folder / 'mine.py').read_text()}", "other.py")
    digest = hashlib.sha256(two.read_bytes()).hexdigest()[:8]
    with pytest.raises(PluginRejected) as error:
        load_registry(["./mine.py", "./other.py"], autoload=False)
    assert str(error.value) == (
        f"other.py: swapin policy 'mine' is there already, from mine.py {one.version} (mine.py:5); "
        f"rename one: this is other.py sha256:{digest} (other.py:6)"
    )


@pytest.mark.parametrize("name", ["kernel", "remerge"])
def test_a_shipped_name_is_taken(desk, name):
    with pytest.raises(PluginRejected, match=rf"swapin policy '{name}' is there already, from ksmlab {VERSION} "):
        desk.good(('"mine"', f'"{name}"'))


def test_a_module_can_be_named(desk, monkeypatch):
    desk.write((desk.folder / "mine.py").read_text() if desk.good() else "", "h2_module_plugin.py")
    monkeypatch.syspath_prepend(str(desk.folder))
    entry = load_registry(["h2_module_plugin"], autoload=False).get("swapin", "mine")
    assert (entry.provider, entry.cls.__module__) == ("h2_module_plugin", "h2_module_plugin")
    del sys.modules["h2_module_plugin"]


@pytest.fixture
def package(desk, monkeypatch):
    """An installed distribution `ksmlab-demo 2.5` with the good plugin."""
    text = (desk.folder / "mine.py").read_text() if desk.good() else ""
    desk.write(text, "h2_demo_plugin.py")
    info = desk.folder / "ksmlab_demo-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ksmlab-demo\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[ksmlab]\ndemo = h2_demo_plugin\n")
    monkeypatch.syspath_prepend(str(desk.folder))
    yield desk.folder / "h2_demo_plugin.py"
    sys.modules.pop("h2_demo_plugin", None)


def test_installed_packages_are_loaded(package):
    entry = load_registry().get("swapin", "mine")
    assert (entry.provider, entry.version, entry.file) == ("ksmlab-demo", "2.5", str(package))


def test_installed_packages_can_be_left_out(package, monkeypatch):
    with pytest.raises(UnknownName):
        load_registry(autoload=False).get("swapin", "mine")
    monkeypatch.setenv("KSMLAB_PLUGIN_AUTOLOAD", "0")
    with pytest.raises(UnknownName):
        load_registry().get("swapin", "mine")


def test_an_installed_package_that_breaks_is_named(package):
    package.write_text("import nowhere_to_be_found\n")
    with pytest.raises(PluginRejected) as error:
        load_registry()
    assert str(error.value) == (
        "installed plugin ksmlab-demo 2.5: cannot be imported: ModuleNotFoundError: No module named "
        "'nowhere_to_be_found'; KSMLAB_PLUGIN_AUTOLOAD=0 leaves installed plugins out"
    )


def test_an_installed_package_must_name_a_module(package):
    (package.parent / "ksmlab_demo-2.5.dist-info" / "entry_points.txt").write_text(
        "[ksmlab]\ndemo = h2_demo_plugin:Mine\n"
    )
    with pytest.raises(PluginRejected, match="its entry point 'h2_demo_plugin:Mine' is not a module"):
        load_registry()
