"""The base of all models: keys of the file use dashes, attributes underscores; unknown keys are refused; nothing changes later."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict


def dashed(attribute: str) -> str:
    """The key in the file of an attribute."""
    return attribute.replace("_", "-")


class Section(BaseModel):
    """One mapping of the file. Python code builds it by attribute names, the loader by keys alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=dashed, validate_by_name=True, validate_by_alias=False)
    from_loader: ClassVar[frozenset[str]] = frozenset()
    """Attributes that the loader fills in: nobody may write them as keys."""

    @classmethod
    def file_keys(cls) -> tuple[str, ...]:
        """The keys that the file may use here."""
        keys: dict[str, None] = {}
        for name, field in cls.model_fields.items():
            alias = field.validation_alias
            choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
            if name not in cls.from_loader:
                keys.update(dict.fromkeys(str(choice) for choice in choices))
        return tuple(keys)
