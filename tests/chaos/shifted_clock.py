"""Run `tenantprofile` with a wall clock that jumps: `python shifted_clock.py OFFSET_FILE run …`.

The file holds the seconds by which the clock is wrong; it is read anew at each look at the clock. What a
step of the system clock changes is changed: time.time and datetime's now, utcnow and today. The
monotonic clock stays, as it does on a real machine (clock_gettime(2)).
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

OFFSET = Path(sys.argv.pop(1))
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


def offset() -> float:
    try:
        return float(OFFSET.read_text() or 0)
    except (OSError, ValueError):
        return 0.0


class _IsDatetime(type):
    """Plain datetimes, as C code makes them, go on being instances."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _datetime)


class ShiftedDatetime(_datetime, metaclass=_IsDatetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _datetime.now(tz) + datetime.timedelta(seconds=offset())

    @classmethod
    def utcnow(cls) -> Any:
        return _datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(  # noqa: UP017
            seconds=offset()
        )

    @classmethod
    def today(cls) -> Any:
        return cls.now()


if __name__ == "__main__":
    time.time = lambda: _time() + offset()
    time.time_ns = lambda: _time_ns() + int(offset() * 1e9)
    datetime.datetime = ShiftedDatetime  # type: ignore[misc]
    runpy.run_module("tenantprofile", run_name="__main__", alter_sys=True)
