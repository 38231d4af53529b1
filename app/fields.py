"""Kinds of fields that the bodies we take are made of, what pydantic's own are too lenient or too strict for. Pure."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, Field


def _written_out(value: object) -> object:
    """A time is text with a date and a time of day; pydantic would take numbers and bare dates too."""
    if isinstance(value, str) and not _DATE_AND_HOUR.match(value):
        raise ValueError("must look like 2025-10-23T14:30:00Z")
    if not isinstance(value, str | None):
        raise ValueError("must be text like 2025-10-23T14:30:00Z")  # noqa: TRY004 - pydantic wants this one
    return value


def number(value: object) -> object:
    """JSON's numbers only; pydantic would take true and "12" too. For a BeforeValidator."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants this one
    return value


def _utc(value: datetime) -> datetime:
    """The real backend sends Python's naive isoformat(), in UTC."""
    if not 1970 < value.year < 9999:  # noqa: PLR2004 - what MySQL's DATETIME holds, whatever the offset
        raise ValueError("must be between the years 1971 and 9998")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _seconds(value: object) -> object:
    """v3 writes a duration as 8, 8.5, "8.0" or "8s"."""
    if isinstance(value, str) and re.fullmatch(_DURATION, value, re.ASCII):
        return float(value.strip().removesuffix("s"))
    return value


_DATE_AND_HOUR = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")
_DURATION = r"^\s*\d{1,9}(\.\d{1,9})?\s*s?\s*$"
# Four months: more is a mistake, and would be one in every estimate made from it.
SECONDS_MAX = 10_000_000

Moment = Annotated[datetime, BeforeValidator(_written_out), AfterValidator(_utc)]
Text = Annotated[str, Field(min_length=1)]
_Natural = Annotated[int, Field(ge=0)]
Natural = Annotated[_Natural, BeforeValidator(number, json_schema_input_type=_Natural)]
_Seconds = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
Seconds = Annotated[_Seconds, BeforeValidator(number, json_schema_input_type=_Seconds)]
_Span = _Seconds | Annotated[str, Field(pattern=_DURATION)]
Span = Annotated[Seconds, BeforeValidator(_seconds, json_schema_input_type=_Span)]


def without_nulls(fields: Any) -> Any:
    """An object without those that are null: they count as missing. For a model_validator."""
    if isinstance(fields, dict) and None in fields.values():
        return {name: value for name, value in fields.items() if value is not None}
    return fields


def say_null_is_missing(schema: dict[str, Any]) -> None:
    """The same in a model's schema: what need not be there may be null. For `json_schema_extra`."""
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
            about = {key: field.pop(key) for key in ("default", "title") if key in field}
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}]} | about


def say_other_names(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Each field's names in a model's schema: the first that is there counts, and the others are as good as unknown."""
    for field in model.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            first, *others = [str(name) for name in field.validation_alias.choices]
            form = schema["properties"][first]
            schema["required"].remove(first)
            instead = [{"required": [name], "properties": {name: form}} for name in others]
            schema.setdefault("allOf", []).append({"anyOf": [{"required": [first]}, *instead]})
    say_null_is_missing(schema)
