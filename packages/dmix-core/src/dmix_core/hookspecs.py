"""The hooks that a plugin may implement.

A plugin is a module, named by an entry point of the group "dmix", with one or more of these functions under
`@hookimpl`. None takes an argument; each returns a mapping from names to factories. Names start with a letter or a
digit, go on with letters, digits, "-", "_" and ".", and are unique over all kinds, except that a layout, a format, an
engine and something else may have one name. What a factory makes is a protocol of `dmix_core.protocols`, an `Exporter`
of `dmix_core.exporters`, a `dmix_data.layouts.Layout`, a `dmix_data.formats.Format` or a `dmix_factory.engines.Engine`;
a class that is one is its own factory.

A factory's keyword arguments are its settings. Their annotations are checked and strings are converted to them, so
that `--set threshold=0.7` arrives as a float; a ValueError for a bad value is shown without a traceback. A setting
annotated `Denoiser` or `Classifier`, alone or as one of several types, is given as a reference, such as
"checkpoint:runs/defects", and arrives as the object, on the device and in the dtype of the composition.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pluggy

from .backends import Backend
from .exporters import Exporter
from .protocols import Classifier, Denoiser, MergeRule, Stepper, TimestepSchedule

hookspec = pluggy.HookspecMarker("dmix")
hookimpl = pluggy.HookimplMarker("dmix")


DenoiserFactory = Callable[..., Denoiser]
"""Called as factory(argument, device="cpu", dtype="float32", **settings): `argument` is what stands behind the colon in
"NAME:ARGUMENT", None if there is none; `dtype` names the arithmetic of its networks; all other keyword arguments are
settings. Where the argument may be a path, annotate it so (`argument: str | Path | None = None`): a path that is typed
is then made absolute in recipes."""

WrapperFactory = Callable[..., Denoiser]
"""Called as factory(denoiser, **settings)."""

ClassifierFactory = Callable[..., Classifier]
"""Called as factory(argument, device="cpu"), `argument` as for a denoiser."""


@hookspec
def dmix_merge_rules() -> Mapping[str, Callable[..., MergeRule]]:  # type: ignore[empty-body]
    """Merge rules by name, such as {"hard-mask": HardMask}: a recipe's `merge`, `--plugin NAME`."""


@hookspec
def dmix_timestep_schedules() -> Mapping[str, Callable[..., TimestepSchedule]]:  # type: ignore[empty-body]
    """Timestep schedules by name, such as {"descent": Descent}: a recipe's `timesteps`, `--plugin NAME`."""


@hookspec
def dmix_steppers() -> Mapping[str, Callable[..., Stepper]]:  # type: ignore[empty-body]
    """Steppers by name, such as {"ancestral": Ancestral}: a recipe's `stepper`, `--plugin NAME`."""


@hookspec
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:  # type: ignore[empty-body]
    """Denoisers by name, such as {"photo": photo}: the `model` of a recipe's region, `--object NAME:ARGUMENT`.

    Their settings are those of the region, `--set REGION.KEY=VALUE`.
    """


@hookspec
def dmix_wrappers() -> Mapping[str, WrapperFactory]:  # type: ignore[empty-body]
    """Wrappers by name: denoisers that predict something else than the one that they wrap, such as guidance.

    They are a region's `wrap`, `--wrap REGION=NAME`, and take settings by `--set NAME.KEY=VALUE`.
    """


@hookspec
def dmix_classifiers() -> Mapping[str, ClassifierFactory]:  # type: ignore[empty-body]
    """Classifiers of noisy images by name, for settings annotated `Classifier`: `--set WRAPPER.KEY=NAME:ARGUMENT`."""


@hookspec
def dmix_exporters() -> Mapping[str, Callable[..., Exporter]]:  # type: ignore[empty-body]
    """Exporters by name, such as {"coco": Coco}: a recipe's `exporters`, `--plugin NAME`, any number of them."""


@hookspec
def dmix_backends() -> Mapping[str, Callable[..., Backend]]:  # type: ignore[empty-body]
    """What runs networks, by name, such as {"compile": Compiled}: a recipe's `backend`, `--backend NAME`."""


@hookspec
def dmix_layouts() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Layouts of data sets by name, such as {"mvtec": MVTec}, each a `dmix_data.layouts.Layout`: `--layout NAME`.

    A factory is called without arguments. All layouts are asked whether they fit a folder; see `dmix_data.layouts`.
    """


@hookspec
def dmix_formats() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Formats that generated sets are written in by name, such as {"coco": CocoInstances}: `dmix export --format NAME`.

    Each is a `dmix_data.formats.Format`; its settings are typed as `--set NAME.KEY=VALUE`.
    """


@hookspec
def dmix_engines() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """What makes the samples of generated sets, by name: `dmix generate --engine NAME`, {"processes": Processes}.

    Each is a `dmix_factory.engines.Engine`; its settings are typed as `--engine-set KEY=VALUE`.
    """
