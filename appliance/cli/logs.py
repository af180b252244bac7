"""Logging: structlog for all, on standard error. The standard library's loggers (card, driver, asyncio) flow into the same lines."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from appliance.cli.reading import Format


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Make a package that isn't imported yet seem not to be installed."""
    modules: dict[str, Any] = sys.modules
    if package in modules:
        yield
        return
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]


with _without("rich"):  # which draws structlog's tracebacks, but not ours: 50 ms of each start, and 5 MiB
    import structlog
    from structlog.typing import Processor

SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(chosen: Format = "auto", level: str = "info") -> None:
    """Set logging up. `auto`: colours on a terminal (unless NO_COLOR), plain lines elsewhere. `json`: an object a line."""
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=_rendering(chosen == "json", colours)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _rendering(as_json: bool, colours: bool) -> list[Processor]:
    forget = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_json:
        without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [forget, structlog.processors.ExceptionRenderer(without_locals), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [forget, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain, pad_event_to=0)]
