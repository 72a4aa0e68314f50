"""Options of commands from the fields of pydantic models: names, types, bounds, defaults and help stand there once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .failures import wrong_use
from .parameters import Finite

Decorator = Callable[[Any], Any]
Model = TypeVar("Model", bound=BaseModel)


def options_of(model: type[BaseModel], *fields: str, **changes: Mapping[str, Any]) -> list[Decorator]:
    """The options `--field-name` of some fields of a model, in the order in which they are named.

    A field's `json_schema_extra` may hold what help shows: `metavar`, and `default` where the default is None.

    Args:
        changes: for a field, arguments of `click.option` in place of those that are derived.
    """
    return [_option(name, model.model_fields[name], changes.get(name, {})) for name in fields]


def taken(model: type[Model], given: dict[str, Any], **more: Any) -> Model:
    """The model of those values among `given` that are its fields; they are taken out of `given`.

    Raises:
        click.UsageError: the model refuses a value.
    """
    from dmix_core.errors import DmixError

    fields = {field: given.pop(field) for field in model.model_fields if field in given}
    with wrong_use(DmixError), explained():
        return model(**more, **fields)


@contextmanager
def explained() -> Iterator[None]:
    """What a model refuses is wrong use, in the words of the command line."""
    try:
        yield
    except ValidationError as error:
        problems = [_problem(dict(problem)) for problem in error.errors()]
        raise click.UsageError("\n".join(problems), click.get_current_context()) from error


def _problem(problem: dict[str, Any]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{message}."
    return f"--{str(problem['loc'][0]).replace('_', '-')} is {problem['input']!r}: {message}."


def apply(options: Iterable[Decorator]) -> Decorator:
    """Several options as one decorator, in the order of the help text."""

    def decorate(command: Any) -> Any:
        for option in reversed([*options]):
            command = option(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo, changes: Mapping[str, Any]) -> Decorator:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    shown = f"  [default: {extra['default']}]" if "default" in extra else ""
    arguments: dict[str, Any] = {"help": f"{field.description}{shown}", "default": field.default}
    arguments |= {"metavar": extra["metavar"]} if "metavar" in extra else {}
    if field.annotation is bool:
        arguments["is_flag"] = True
    else:
        arguments |= {
            "type": _type(field.annotation, _bounds(field.metadata)),
            "show_default": field.default is not None,
        }
    return click.option(f"--{name.replace('_', '-')}", **{**arguments, **changes})


def _type(annotation: Any, bounds: dict[str, Any]) -> Any:
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    if get_origin(annotation) is tuple:
        return tuple(_type(get_args(kind)[0], _bounds(get_args(kind)[1:])) for kind in kinds)
    if annotation in (int, float):
        return (click.IntRange if annotation is int else Finite)(**bounds)
    return str


def _bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    """click's names for pydantic's bounds."""
    bounds: dict[str, Any] = {}
    for each in metadata:
        for bound in getattr(each, "metadata", [each]):  # those of a Field within Annotated
            for name, (key, is_open) in _BOUNDS.items():
                if hasattr(bound, name):
                    bounds |= {key: getattr(bound, name), f"{key}_open": is_open}
    return bounds


_BOUNDS = {"ge": ("min", False), "gt": ("min", True), "le": ("max", False), "lt": ("max", True)}
