"""Ids: 63-bit whole numbers, 41 bits of milliseconds since 2020 then 22 bits that start at random. Outside: base 32.

Within a process ids only grow (unless its clock is set back by more than a minute), one after the other within a
millisecond: a run is what makes it least likely that two processes meet. If they do, the primary key refuses the second
one, and its transaction is tried again.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01
_RANDOM_BITS = 22
_LIMIT = 1 << 63
#: how far the newest id may be ahead of the clock and still be followed
_AHEAD = 60_000 << _RANDOM_BITS
#: Crockford's base 32: no I, L, O, U
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)} | {"O": 0, "I": 1, "L": 1}
_LENGTH = 13

EVENT = "ev"
DELIVERY = "dl"
ATTEMPT = "at"
REFUSAL = "rf"
AUDIT = "au"

_lock = threading.Lock()
_last = 0
#: millisecond → the last id made of it, the latest used at the end
_recent: OrderedDict[int, int] = OrderedDict()
_REMEMBERED = 256


def new(now_us: int) -> int:
    """An id of this time, larger than every id this process made before."""
    return many(now_us, 1).start


def many(now_us: int, count: int) -> range:
    """`count` ids of this time, in order."""
    global _last
    ms = now_us // 1000 - _EPOCH_MS
    first = ms << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS - 1)
    with _lock:
        if ms in _recent:  # of two clocks that differ, both may come back to a millisecond
            first = _recent[ms] + 1
        elif first <= _last < first + _AHEAD:
            first = _last + 1
        _recent[ms] = _last = first + count - 1
        _recent.move_to_end(ms)
        if len(_recent) > _REMEMBERED:
            _recent.popitem(last=False)
    return range(first, first + count)


def floor(us: int) -> int:
    """The smallest id of this time: ids made before are smaller."""
    return max(0, us // 1000 - _EPOCH_MS) << _RANDOM_BITS


def time_us(number: int) -> int:
    """When the id was made, to the millisecond, as whole microseconds since 1970."""
    return ((number >> _RANDOM_BITS) + _EPOCH_MS) * 1000


def text(prefix: str, number: int) -> str:
    """`ev_01KAN7…`: prefix, then always 13 digits, so that texts sort as the numbers do."""
    return f"{prefix}_" + "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))


def number(prefix: str, value: str) -> int:
    """The id of a text, upper or lower case. Raises `ValueError` with a sentence for whoever typed it."""
    head, mark, digits = value.strip().partition("_")
    if head.lower() != prefix or not mark:
        raise ValueError(f"{value!r} is not an id of this kind: it begins with {prefix}_")
    if len(digits) != _LENGTH:
        raise ValueError(f"{value!r} is not an id: {_LENGTH} digits follow {prefix}_")
    result = 0
    for digit in digits.upper():
        if digit not in _VALUES:
            raise ValueError(f"{value!r} is not an id: {digit!r} is no digit of base 32")
        result = result << 5 | _VALUES[digit]
    if result >= _LIMIT:
        raise ValueError(f"{value!r} is not an id: it is too large")
    return result
