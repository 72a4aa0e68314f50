"""The commands of dmix: one module a command, named after it, which parses, calls and prints."""

from ..lazy import Lazy

BUILT_IN = {
    "compose": Lazy("dmix_cli.commands.compose:compose", "Compose images from models, with masks."),
    "sweep": Lazy("dmix_cli.commands.sweep:sweep", "Compose under several settings, as one sheet."),
    "train": Lazy("dmix_cli.commands.train:train", "Train models on folders of pictures."),
    "distill": Lazy("dmix_cli.commands.distill:distill", "A model that needs fewer calls."),
    "data": Lazy("dmix_cli.commands.data:data", "Look at data sets, cut objects out of them."),
    "export": Lazy("dmix_cli.commands.export:export", "Write a generated set in other formats."),
    "detect": Lazy("dmix_cli.commands.detect:detect", "Which pictures are generated, or copies of such."),
    "sign": Lazy("dmix_cli.commands.sign:sign", "Sign generated pictures with C2PA."),
    "report": Lazy("dmix_cli.commands.report:report", "A page about a generated set."),
    "models": Lazy("dmix_cli.commands.models:models", "List, show and import models, find copies."),
    "plugins": Lazy("dmix_cli.commands.plugins:plugins", "List plugins, check them, start a new one."),
}
"""Every command, with what `dmix --help` states of it."""
