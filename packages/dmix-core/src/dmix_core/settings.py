"""A factory's keyword arguments as settings: checked against its annotations, explained when they are wrong."""

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from .errors import did_you_mean

Factory = Callable[..., Any]


def checked(factory: Factory) -> Factory:
    """The factory behind pydantic's check of its arguments, which turns strings into what is annotated."""
    signature = inspect.signature(factory, eval_str=True)

    def make(*args: Any, **settings: Any) -> Any:  # validate_call takes functions, not classes
        return factory(*args, **settings)

    make.__signature__ = signature  # type: ignore[attr-defined]
    make.__annotations__ = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(make)


def known_settings(factory: Factory) -> list[str]:
    """The names of a factory's settings."""
    return list(inspect.signature(factory).parameters)


def explained(error: ValueError, factory: Factory) -> str:
    """What was wrong with the settings given to a checked factory, in sentences."""
    if not isinstance(error, ValidationError):
        return f"{error}."
    return " ".join(_explained(dict(problem), known_settings(factory)) for problem in error.errors())


def _explained(problem: dict[str, Any], known: list[str]) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "unexpected_keyword_argument":
        return f"it has no setting {key!r}.{did_you_mean(key, known)}"
    if problem["type"].startswith("missing"):
        return f"it needs the setting {key!r}."
    return f"{key} is {problem['input']!r}; {problem['msg']}."
