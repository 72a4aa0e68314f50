"""A factory's keyword arguments as settings: checked against its annotations, explained when they are wrong."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, validate_call

from .errors import did_you_mean

Factory = Callable[..., Any]
Resolve = Callable[[str], Any]

_ARBITRARY = ConfigDict(arbitrary_types_allowed=True)


def checked(factory: Factory, references: Mapping[Any, Resolve] = MappingProxyType({})) -> Factory:
    """The factory behind pydantic's check of its arguments, which turns strings into what is annotated.

    Args:
        references: protocols, each with what makes its object of a string.
    """
    signature = inspect.signature(factory, eval_str=True)

    def make(*args: Any, **settings: Any) -> Any:  # validate_call takes functions, not classes
        return factory(*args, **settings)

    make.__signature__ = signature  # type: ignore[attr-defined]
    make.__annotations__ = {
        name: _resolved(parameter.annotation, references)
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    return validate_call(config=_ARBITRARY)(make)


def _resolved(annotation: Any, references: Mapping[Any, Resolve]) -> Any:
    for protocol, resolve in references.items():
        if mentions(annotation, protocol):
            return Annotated[annotation, _reading(resolve)]
    return annotation


def _reading(resolve: Resolve) -> BeforeValidator:
    return BeforeValidator(lambda given: resolve(given) if isinstance(given, str) else given)


def mentions(annotation: Any, kind: Any) -> bool:
    """Whether an annotation is of this type, alone or as one of several, such as Denoiser | None."""
    return annotation is kind or kind in get_args(annotation)


def json_defaults(parameters: Iterable[inspect.Parameter]) -> dict[str, Any]:
    """The defaults of parameters as JSON holds them; left out is what it cannot hold, or what a reader would change."""
    held = {}
    for parameter in parameters:
        with suppress(TypeError, ValueError, PydanticUserError):
            value = json.loads(json.dumps(parameter.default, allow_nan=False))
            if _read(parameter, value) == parameter.default:
                held[parameter.name] = value
    return held


def _read(parameter: inspect.Parameter, value: Any) -> Any:
    """A value as the parameter's annotation reads it."""
    annotation = Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
    return TypeAdapter(annotation, config=_ARBITRARY).validate_python(value)


def explained(error: ValueError, known: Sequence[str]) -> str:
    """What was wrong with the settings given to a checked factory, which knows these, in sentences."""
    if not isinstance(error, ValidationError):
        return f"{error}."
    return " ".join(_explained(dict(problem), known) for problem in error.errors())


def unknown_setting(key: str, known: Sequence[str]) -> str:
    return f"it has no setting {key!r}.{did_you_mean(key, known)}"


def _explained(problem: dict[str, Any], known: Sequence[str]) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "unexpected_keyword_argument":
        return unknown_setting(key, known)
    if problem["type"].startswith("missing"):
        return f"it needs the setting {key!r}."
    return f"{key} is {problem['input']!r}; {problem['msg']}."
