"""Values to bytes and back, by Rust type: the Python side of `harness/rf_wire.rs`.

Little-endian, length-prefixed, no tags but those of Option and Result. `decode` is given bytes that hostile code may
have written: it returns a value or raises `BadFrame`, and never allocates beyond the frame's own size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

from reward_farm.errors import BadValue, FarmError
from reward_farm.problem import Err, Ok, Value
from reward_farm.rust_type import INTEGERS, RustType

_LENGTH = struct.Struct("<I")
_FLOATS = {"f32": struct.Struct("<f"), "f64": struct.Struct("<d")}
_SEQUENCES = {"slice", "Vec", "VecDeque", "array", "HashSet", "BTreeSet"}
_MAPS = {"HashMap", "BTreeMap"}
MAX_ANSWER = 1 << 20
"""Bytes of one answer; a candidate that sends more floods."""
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9  # near zero a relative bound forbids every rounding error


class BadFrame(FarmError):
    """Bytes that are no value of the expected type."""


def encode(kind: RustType, value: Value) -> bytes:
    """The wire form of `value`. Raises BadValue if the Rust type can't hold it."""
    out = bytearray()
    try:
        _encode(kind, value, out)
    except (TypeError, AttributeError, OverflowError, struct.error, UnicodeError) as error:
        raise BadValue(f"{value!r:.120} is no `{kind}`: {error}") from error
    return bytes(out)


def _encode(kind: RustType, value: Any, out: bytearray) -> None:
    name = kind.name
    if name in INTEGERS:
        bits, signed = INTEGERS[name]
        if type(value) is not int:
            raise TypeError("an int is needed")
        out += value.to_bytes(bits // 8, "little", signed=signed)
    elif name in _FLOATS:
        out += _FLOATS[name].pack(value)
    elif name == "bool":
        if type(value) is not bool:
            raise TypeError("a bool is needed")
        out.append(value)
    elif name == "char":
        if not isinstance(value, str) or len(value) != 1:
            raise TypeError("a string of one character is needed")
        out += _LENGTH.pack(ord(value))
    elif name in ("str", "String"):
        text = value.encode()
        out += _LENGTH.pack(len(text)) + text
    elif name in ("ref", "Box"):
        _encode(kind.args[0], value, out)
    elif name == "Option":
        out.append(value is not None)
        if value is not None:
            _encode(kind.args[0], value, out)
    elif name == "Result":
        if not isinstance(value, (Ok, Err)):
            raise TypeError("Ok(...) or Err(...) is needed")
        out.append(isinstance(value, Err))
        _encode(kind.args[isinstance(value, Err)], value.value, out)
    elif name == "tuple":
        _encode_fields(kind, value, out)
    elif name == "Ordering":
        out += int(value).to_bytes(1, "little", signed=True)
    elif name in _MAPS:
        out += _LENGTH.pack(len(value))
        for key, item in value.items():
            _encode(kind.args[0], key, out)
            _encode(kind.args[1], item, out)
    else:
        _encode_items(kind, value, out)


def _encode_fields(kind: RustType, value: Any, out: bytearray) -> None:
    if len(value) != len(kind.args):
        raise TypeError(f"{len(kind.args)} fields are needed")
    for field, item in zip(kind.args, value, strict=True):
        _encode(field, item, out)


def _encode_items(kind: RustType, value: Any, out: bytearray) -> None:
    items: Iterable[Any] = sorted(value, key=_order) if isinstance(value, (set, frozenset)) else value
    if kind.name == "array" and len(value) != kind.length:
        raise TypeError(f"{kind.length} items are needed")
    out += _LENGTH.pack(len(value))
    for item in items:
        _encode(kind.args[0], item, out)


def decode(kind: RustType, frame: bytes) -> Value:
    """The value that `frame` holds. Raises BadFrame if it is none, or if bytes are left over."""
    reader = _Reader(frame)
    try:
        value: Value = reader.value(kind)
    except (struct.error, ValueError, IndexError, OverflowError, TypeError) as error:
        raise BadFrame(f"not a `{kind}`: {error}") from error
    if reader.position != len(frame):
        raise BadFrame(f"{len(frame) - reader.position} bytes follow a `{kind}`")
    return value


class _Reader:
    __slots__ = ("frame", "items", "position")

    def __init__(self, frame: bytes) -> None:
        self.frame, self.position = frame, 0
        self.items = len(frame)
        """How many more items may come: items of no size (`()`) would let a short frame ask for lists without end."""

    def take(self, count: int) -> bytes:
        piece = self.frame[self.position : self.position + count]
        if len(piece) != count:
            raise ValueError("the frame ends too early")
        self.position += count
        return piece

    def length(self) -> int:
        count: int = _LENGTH.unpack(self.take(4))[0]
        self.items -= count
        if self.items < 0:
            raise ValueError(f"more items than a frame of {len(self.frame)} bytes can hold")
        return count

    def value(self, kind: RustType) -> Any:
        name = kind.name
        if name in INTEGERS:
            bits, signed = INTEGERS[name]
            return int.from_bytes(self.take(bits // 8), "little", signed=signed)
        if name in _FLOATS:
            return _FLOATS[name].unpack(self.take(_FLOATS[name].size))[0]
        if name == "bool":
            return (False, True)[self.take(1)[0]]
        if name == "char":
            return chr(_LENGTH.unpack(self.take(4))[0])
        if name in ("str", "String"):
            return self.take(self.length()).decode()
        if name in ("ref", "Box"):
            return self.value(kind.args[0])
        if name == "Option":
            return self.value(kind.args[0]) if (None, True)[self.take(1)[0]] else None
        if name == "Result":
            failed = (False, True)[self.take(1)[0]]
            return (Err if failed else Ok)(self.value(kind.args[failed]))
        if name == "tuple":
            return tuple(self.value(field) for field in kind.args)
        if name == "Ordering":
            return int.from_bytes(self.take(1), "little", signed=True)
        if name in _MAPS:
            pairs = [(_hashable(self.value(kind.args[0])), self.value(kind.args[1])) for _ in range(self.length())]
            return dict(sorted(pairs, key=lambda pair: _order(pair[0])))
        items = [self.value(kind.args[0]) for _ in range(self.length())]
        return sorted(items, key=_order) if name.endswith("Set") else items


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _order(value: Any) -> str:
    """A Rust map or set comes in any order, and its items may be such as Python can't compare, `None` with a number."""
    return repr(_hashable(value))


def same(kind: RustType, expected: Any, got: Any) -> bool:
    """Whether `got` is the expected answer: equal, floats within 1e-6 relative, NaN equal to NaN."""
    name = kind.name
    if name in _FLOATS:
        return (math.isnan(expected) and math.isnan(got)) or math.isclose(
            expected, got, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
        )
    if name in ("ref", "Box"):
        return same(kind.args[0], expected, got)
    if name == "Option":
        return expected is got if expected is None or got is None else same(kind.args[0], expected, got)
    if name == "Result":
        return type(expected) is type(got) and same(kind.args[isinstance(expected, Err)], expected.value, got.value)
    if name == "tuple":
        return all(map(same, kind.args, expected, got))
    if name in _MAPS:
        expected = {_hashable(key): item for key, item in expected.items()}
        return expected.keys() == got.keys() and all(same(kind.args[1], expected[key], got[key]) for key in got)
    if name in _SEQUENCES:
        items = sorted(expected, key=_order) if name.endswith("Set") else expected
        return len(items) == len(got) and all(same(kind.args[0], one, two) for one, two in zip(items, got, strict=True))
    return bool(expected == got)
