"""The machine's arrays as one pointer in compiled code.

A compiled function that takes every array as an argument pays for it at each call, and numba compiles each such call
anew. So compiled code sees the whole memory as one pointer to a table of addresses: ``m.frame`` is a load from that
table, ``m.frame.refcount[page]`` a load at ``page`` times the size of what lies together there (layout.py). The same
text runs without the compiler on `Memory` and `Columns` of mm_types. Nothing checks bounds, as in the kernel.

The arrays belong to `State`, which keeps them alive and publishes their addresses anew when one of them grows.
"""

from __future__ import annotations

import operator
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic, models, register_model

from ksmlab_core.mm import mm_types as t
from ksmlab_core.mm.layout import ARRAYS, HOME, RECORDS, place_of

_BYTE = ir.IntType(8)
_POINTER = _BYTE.as_pointer()
_POSITION = {name: position for position, name in enumerate(ARRAYS)}


class ColumnType(types.Type):
    """One field of a table: a pointer, the type of its values, the distance between two of them in bytes.

    And its place: what lies in different places cannot be the same, so that after a write to one of them the compiled
    code need not read the others anew.
    """

    def __init__(self, kind: Any, stride: int, place: str) -> None:
        self.kind, self.stride, self.place = kind, stride, place
        super().__init__(name=f"Column({kind}, {stride}, {place})")


class TableType(types.Type):
    """The records of one kind. Its value is that of the whole memory: which array to look in, a field says."""

    def __init__(self, record: str) -> None:
        self.record = record
        super().__init__(name=f"Table({record})")


class MemoryType(types.Type):
    """All arrays of a machine: a pointer to their addresses."""

    def __init__(self) -> None:
        super().__init__(name="Memory")


MEMORY = MemoryType()
MEMBERS: dict[str, Any] = {
    name: TableType(name)
    if name in RECORDS
    else ColumnType(numba.from_dtype(ARRAYS[name]), ARRAYS[name].itemsize, name)
    for name in t.Memory._fields
}


@register_model(ColumnType)
@register_model(TableType)
@register_model(MemoryType)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend: Any) -> None:
        super().__init__(manager, frontend, _POINTER)


@infer_getattr
class _MemoryMembers(AttributeTemplate):
    key = MemoryType

    def generic_resolve(self, _memory: Any, name: str) -> Any:
        return MEMBERS.get(name)


@infer_getattr
class _TableFields(AttributeTemplate):
    key = TableType

    def generic_resolve(self, table: TableType, name: str) -> Any:
        if (table.record, name) not in HOME:
            return None
        array, kind, offset = place_of(table.record, name)
        return ColumnType(numba.from_dtype(kind), ARRAYS[array].itemsize, f"{array}+{offset}")


def _address(builder: Any, memory: Any, array: str) -> Any:
    """The address of an array, from the table of addresses. The table never changes while compiled code runs."""
    addresses = builder.bitcast(memory, _POINTER.as_pointer())
    load = builder.load(builder.gep(addresses, [ir.Constant(ir.IntType(64), _POSITION[array])]))
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load


@lower_getattr_generic(MemoryType)
def _load_member(_context: Any, builder: Any, _typ: Any, value: Any, name: str) -> Any:
    return value if name in RECORDS else _address(builder, value, name)


@lower_getattr_generic(TableType)
def _field_of_table(_context: Any, builder: Any, table: Any, value: Any, name: str) -> Any:
    array, _kind, offset = place_of(table.record, name)
    return builder.gep(_address(builder, value, array), [ir.Constant(ir.IntType(64), offset)])


@infer_global(operator.getitem)
class _ReadColumn(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        column, index = args
        if isinstance(column, ColumnType) and isinstance(index, types.Integer):
            return signature(column.kind, column, types.int64)
        return None


@infer_global(operator.setitem)
class _WriteColumn(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        column, index, _value = args
        if isinstance(column, ColumnType) and isinstance(index, types.Integer):
            return signature(types.none, column, types.int64, column.kind)
        return None


def _element(context: Any, builder: Any, column: ColumnType, pointer: Any, index: Any) -> Any:
    distance = builder.mul(index, ir.Constant(ir.IntType(64), column.stride))
    place = builder.gep(pointer, [distance])
    return builder.bitcast(place, context.get_data_type(column.kind).as_pointer())


def _say_place(builder: Any, access: Any, column: ColumnType) -> None:
    """Mark a load or store with what can be there ("type-based alias analysis")."""
    root = builder.module.add_metadata(["ksmlab memory"])
    kind = builder.module.add_metadata([column.place, root])
    access.set_metadata("tbaa", builder.module.add_metadata([kind, kind, ir.Constant(ir.IntType(64), 0)]))


@lower_builtin(operator.getitem, ColumnType, types.int64)
def _read_column(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    load = builder.load(_element(context, builder, sig.args[0], args[0], args[1]))
    _say_place(builder, load, sig.args[0])
    return load


@lower_builtin(operator.setitem, ColumnType, types.int64, types.Any)
def _write_column(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    store = builder.store(args[2], _element(context, builder, sig.args[0], args[0], args[1]))
    _say_place(builder, store, sig.args[0])
    return context.get_dummy_value()


FETCH_AHEAD = not numba.config.DISABLE_JIT  # compiled code asks for what it will need soon (`prefetch`)

if numba.config.DISABLE_JIT:

    def as_memory(memory: t.Memory) -> t.Memory:
        """The memory as it is."""
        return memory

    def prefetch(_column: Any, _index: int) -> None:
        """Nothing, without the compiler."""

else:

    @intrinsic
    def prefetch(_typing: Any, column: Any, index: Any) -> Any:
        """Let the processor fetch ``column[index]``, which will be needed soon; any index will do, nothing is read."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = context.cast(builder, args[1], sig.args[1], types.int64)
            pointer = builder.bitcast(_element(context, builder, sig.args[0], args[0], place), _POINTER)
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [_POINTER, word, word, word])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [pointer, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return signature(types.none, column, index), generate

    @intrinsic
    def as_memory(_typing: Any, addresses: Any) -> Any:
        """The memory behind an array of addresses (`State.addresses`)."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            array = context.make_array(sig.args[0])(context, builder, args[0])
            return builder.bitcast(array.data, _POINTER)

        return signature(MEMORY, addresses), generate
