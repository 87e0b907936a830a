"""How numba is kept from making each inner function runnable by itself.

numba optimises every function together with all that it calls and turns the result into machine code, and then does the
same with each of its callers. Of floor 0 only the doors are ever called from outside, so an inner function is kept as
intermediate code, and a door is put together, optimised and made runnable once, with all that it needs: the first start
takes half the time. This touches numba's inside, so other versions of numba than those it was tried with compile in
their own way, with the same results.
"""

from __future__ import annotations

from typing import Any

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NoPythonSupportedFeatureValidation

_TRIED = ("0.68.",)


class _NoEnvironment:
    """The code generator, except that code which is not runnable has no environment to be told."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, _name: str, _environment: Any) -> None:
        """Nothing: the code cannot run by itself."""


class _InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """One inner function, as intermediate code that doors take in."""

    _whole: Any = None

    @property
    def codegen(self) -> Any:
        return _NoEnvironment(self._codegen)

    def finalize(self) -> None:
        """Nothing is to be made of it."""
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        """None: it is not runnable."""
        return 0

    def own_module(self) -> Any:
        """The code of this function alone."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """The code of this function with all that it needs, for callers that numba compiles in its own way."""
        if self._whole is None:
            self._whole = self.own_module().clone()
            _link(self._whole, [library for library in _all_needed([self], {}) if library is not self])
        return self._whole


def _all_needed(libraries: list[Any], found: dict[Any, None]) -> dict[Any, None]:
    """These libraries and those that they need in turn, each once, in the order in which they are come upon."""
    for library in libraries:
        if library not in found:
            found[library] = None
            if isinstance(library, _InnerLibrary):
                _all_needed(library._linking_libraries, found)
    return found


def _link(module: Any, libraries: list[Any]) -> None:
    for library in libraries:
        inner = isinstance(library, _InnerLibrary)
        module.link_in(library.own_module() if inner else library._get_module_for_linking(), preserve=True)


class _DoorLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A door with all the inner functions that it needs."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        """Take in what is needed, directly or not, and make it runnable."""
        needed = list(_all_needed(self._linking_libraries, {}))
        _link(self._final_module, needed)
        for library in needed:
            self._reload_init.update(library._reload_init)
        self._linking_libraries = []
        super().finalize()


def _library_pass(kind: type[JITCodeLibrary], name: str) -> Any:
    """A pass that chooses the kind of library before code is generated into it."""

    class _ChooseLibrary(FunctionPass):  # type: ignore[misc]
        _name = name

        def __init__(self) -> None:
            FunctionPass.__init__(self)

        def run_pass(self, state: Any) -> bool:
            codegen = state.targetctx.codegen()
            state.library = kind(codegen, state.func_id.func_qualname)
            state.library.enable_object_caching()
            return True

    return register_pass(mutates_CFG=False, analysis_only=True)(_ChooseLibrary)


def _compiler(kind: type[JITCodeLibrary], name: str) -> Any:
    choose = _library_pass(kind, name)

    class _Compiler(CompilerBase):  # type: ignore[misc]
        def define_pipelines(self) -> list[Any]:
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
            passes.add_pass_after(choose, NoPythonSupportedFeatureValidation)
            passes.finalize()
            return [passes]

    return _Compiler


# Options of numba.njit for inner functions and for doors.
INNER: dict[str, Any] = {}
DOOR: dict[str, Any] = {}
if numba.__version__.startswith(_TRIED):
    INNER["pipeline_class"] = _compiler(_InnerLibrary, "inner_library")
    DOOR["pipeline_class"] = _compiler(_DoorLibrary, "door_library")
