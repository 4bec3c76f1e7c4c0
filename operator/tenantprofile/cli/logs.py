"""Structured logs: one JSON object or one line of text per record, with the same fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

FIELDS: Final = {
    "namespace": "The namespace that something happened to.",
    "policy": "The NetworkPolicy, or the entry of the profile where none could be made.",
    "profile": "The TenantProfile.",
    "manager": "The field manager that had changed or deleted the policy, where it is known.",
    "reason": "The reason of the profile's condition Degraded.",
    "identity": "This process, as in the lease.",
}
"""What a line may carry beside its text, as docs/observability.md lists it."""


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the fields that the record carries."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _fields(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For a person at a terminal: time, level, message, then the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def configure(form: Literal["json", "text"], level: str) -> None:
    """Send every log record to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Kopf tells of every event it hands over; that is news for nobody but its developers.
    logging.getLogger("kopf").setLevel(root.level if level == "debug" else max(root.level, logging.WARNING))
    logging.getLogger("aiohttp").setLevel(max(root.level, logging.WARNING))


def _fields(record: logging.LogRecord) -> dict[str, str]:
    return {key: str(getattr(record, key)) for key in FIELDS if getattr(record, key, None)}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
