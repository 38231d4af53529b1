"""Kinds of fields that the bodies we take are made of, what pydantic's own are too lenient or too strict for. Pure."""

import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, PlainValidator, WithJsonSchema

from app import times


def number(value: object) -> object:
    """JSON's numbers only; pydantic would take true and "12" too. For a BeforeValidator."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants this one
    return value


def _seconds(value: object) -> object:
    """v3 writes a duration as 8, 8.5, "8.0" or "8s"."""
    if isinstance(value, str) and re.fullmatch(_DURATION, value, re.ASCII):
        return float(value.strip().removesuffix("s"))
    return value


def is_false(value: object) -> bool:
    return value in _FALSE


def _flag(value: object) -> bool | None:
    """Also as senders write it who know no true and false."""
    if value is None:
        return None
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise ValueError("must be true or false")


def _described_time(value: object) -> int | None:
    try:
        return times.read(value)
    except ValueError:
        return None


def words(value: object) -> str | None:
    """Text, or a number as its digits."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def seconds_or_none(value: object) -> float | None:
    value = _seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= SECONDS_MAX else None


def object_or_none(value: object) -> object:
    return value if isinstance(value, dict) else None


def text_or_none(value: object) -> str | None:
    """Half an emoji is no text: no database takes it, and no browser finds anything by it."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value or None


def _ratio(value: object) -> object:
    return value if value is None else (text_or_none(value) or USUAL_RATIO)[:_RATIO_MAX]


_TRUE = (True, "true", "True", "TRUE")  # 1 is equal to True, and 0 to False
_FALSE = (False, "false", "False", "FALSE")
# White space stands where it can be matched in one way only: in two it is tried in as many as it is long.
_DURATION = r"^\s*\d{1,9}(\.\d{1,9})?\s*(s\s*)?$"
USUAL_RATIO = "16:9"
_RATIO_MAX = 191  # characters, what the column holds
# Four months: more is a mistake, and would be one in every estimate made from it.
SECONDS_MAX = 10_000_000

_Time = Annotated[str | float | None, Field(examples=["2025-10-23T14:30:00Z", 1761229800])]
_Flag = bool | Literal[1, 0, "true", "false", "True", "False", "TRUE", "FALSE"] | None

Moment = Annotated[int | None, PlainValidator(times.read, json_schema_input_type=_Time)]
"""Microseconds since 1970, None where there is no time."""
Flag = Annotated[bool | None, PlainValidator(_flag, json_schema_input_type=_Flag)]
False_ = Annotated[Any, WithJsonSchema({"enum": [0, *_FALSE]})]
"""What `is_false`, for openapi.json."""
Nothing = Annotated[Any, WithJsonSchema({"enum": [None, False, 0, "", [], {}]})]
"""What counts as no list at all, for openapi.json."""

DescribedMoment = Annotated[int | None, PlainValidator(_described_time, json_schema_input_type=Any)]

Text = Annotated[str, Field(min_length=1)]
Link = Annotated[str | None, PlainValidator(text_or_none, json_schema_input_type=str | Any)]
"""An address or a path: what is none counts as missing."""
Ratio = Annotated[Text, BeforeValidator(_ratio, json_schema_input_type=Text | Any)]
_Bytes = Annotated[int, Field(ge=0, lt=2**63)]
Bytes = Annotated[_Bytes, BeforeValidator(number, json_schema_input_type=_Bytes)]
"""As many as the widest column of a site's holds; a column as Prisma makes it holds 2 GiB, and says so itself."""
_Pixels = Annotated[int, Field(ge=0, lt=2**31)]
Pixels = Annotated[_Pixels, BeforeValidator(number, json_schema_input_type=_Pixels)]
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
