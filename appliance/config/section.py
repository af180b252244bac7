"""The base of all models: keys of the file use dashes, attributes underscores; unknown keys are refused; nothing changes later."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def dashed(attribute: str) -> str:
    """The key in the file of an attribute."""
    return attribute.replace("_", "-")


class Section(BaseModel):
    """One mapping of the file. Python code builds it by attribute names, the loader by keys alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=dashed, validate_by_name=True, validate_by_alias=False)
