"""The machine's arrays as one pointer in compiled code.

A compiled function that takes every array as an argument pays for it at each call, and numba compiles each such call
anew. So compiled code sees the whole memory as one pointer to a table of addresses: ``m.frame`` is a load from that
table, ``m.frame.refcount`` an offset, ``m.frame.refcount[page]`` a load at ``page`` times the record's size. The same
text runs without the compiler on `Memory` and `Columns` of mm_types. Nothing checks bounds, as in the kernel.

The arrays belong to `State`, which keeps them alive and publishes their addresses anew when one of them grows.
"""

from __future__ import annotations

import operator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic, models, register_model

from ksmlab_core.mm import mm_types as t

_BYTE = ir.IntType(8)
_POINTER = _BYTE.as_pointer()
_TABLES = {
    "pte": t.PTE,
    "frame": t.FRAME,
    "item": t.ITEM,
    "node": t.NODE,
    "slot": t.SLOT,
    "mm": t.MM,
    "vma": t.VMA,
    "anon": t.ANON_VMA,
}
_COLUMNS = {
    "pte_flags": np.uint8,
    "pte_target": np.int32,
    "last_access": np.int64,
    "sc": np.int64,
    "scratch": np.int32,
    "queue": np.int32,
}


class ColumnType(types.Type):
    """One field of a table: a pointer, the type of its values, and the distance between two of them in bytes."""

    def __init__(self, kind: Any, stride: int) -> None:
        self.kind, self.stride = kind, stride
        super().__init__(name=f"Column({kind}, {stride})")


class TableType(types.Type):
    """One structured array."""

    def __init__(self, name: str, records: np.dtype[Any]) -> None:
        self.records = records
        super().__init__(name=f"Table({name})")


class MemoryType(types.Type):
    """All arrays of a machine: a pointer to their addresses."""

    def __init__(self) -> None:
        super().__init__(name="Memory")


MEMORY = MemoryType()
MEMBERS: dict[str, Any] = {
    name: TableType(name, _TABLES[name])
    if name in _TABLES
    else ColumnType(numba.from_dtype(np.dtype(_COLUMNS[name])), np.dtype(_COLUMNS[name]).itemsize)
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
        fields: Any = table.records.fields or {}
        if name not in fields:
            return None
        return ColumnType(numba.from_dtype(fields[name][0]), table.records.itemsize)


@lower_getattr_generic(MemoryType)
def _load_member(_context: Any, builder: Any, _typ: Any, value: Any, name: str) -> Any:
    """The address of an array, from the table of addresses. The table never changes while compiled code runs."""
    addresses = builder.bitcast(value, _POINTER.as_pointer())
    position = ir.Constant(ir.IntType(64), t.Memory._fields.index(name))
    load = builder.load(builder.gep(addresses, [position]))
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load


@lower_getattr_generic(TableType)
def _field_of_table(_context: Any, builder: Any, table: Any, value: Any, name: str) -> Any:
    offset = table.records.fields[name][1]
    return builder.gep(value, [ir.Constant(ir.IntType(64), offset)])


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


@lower_builtin(operator.getitem, ColumnType, types.int64)
def _read_column(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load(_element(context, builder, sig.args[0], args[0], args[1]))


@lower_builtin(operator.setitem, ColumnType, types.int64, types.Any)
def _write_column(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    builder.store(args[2], _element(context, builder, sig.args[0], args[0], args[1]))
    return context.get_dummy_value()


if numba.config.DISABLE_JIT:

    def as_memory(memory: t.Memory) -> t.Memory:
        """The memory as it is."""
        return memory

else:

    @intrinsic
    def as_memory(_typing: Any, addresses: Any) -> Any:
        """The memory behind an array of addresses (`State.addresses`)."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            array = context.make_array(sig.args[0])(context, builder, args[0])
            return builder.bitcast(array.data, _POINTER)

        return signature(MEMORY, addresses), generate
