"""The process that computes: orders as lines of JSON on stdin, what becomes of them as lines of JSON on stdout.

It is a process of its own so that nothing that goes wrong in a network takes the page down with it. It ends with its
stdin, and so with the page.
"""

import base64
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dmix_core.composer import Composer
from dmix_core.errors import DmixError
from dmix_core.images import index_picture, png_bytes
from dmix_core.loading import Loader
from dmix_core.notices import notices
from dmix_core.redraw import FADED
from dmix_core.run import Run
from dmix_core.sample import Sample
from dmix_core.step import Step
from dmix_factory.sample_checks import FLAGS, flags_of
from dmix_factory.shots import Shot

from .catalogue import catalogue
from .frames import Frames
from .plan import command_of, recipe_of
from .scene import Scene

Json = dict[str, Any]


class Cancelled(Exception):
    """The order is not wanted any more."""


class Worker:
    """Carries out one order after another, with models that stay loaded.

    Args:
        out: where events are written.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.out, self.loader = out, Loader()
        self.orders: queue.Queue[Json] = queue.Queue()
        self.cancelled: set[str] = set()

    def listen(self, orders: BinaryIO) -> None:
        """Take in orders until there are no more, then end the process, whatever it does."""
        for line in orders:
            order = json.loads(line)
            if order["do"] == "cancel":
                self.cancelled.add(order["id"])
            else:
                self.orders.put(order)
        os._exit(0)

    def work(self) -> None:
        """Carry out orders for ever."""
        while True:
            order = self.orders.get()
            try:
                for event in getattr(self, f"do_{order['do']}")(order):
                    self.tell(order, event)
            except Cancelled:
                self.tell(order, {"event": "cancelled"})
            except DmixError as error:
                self.tell(order, {"event": "failed", "message": str(error)})
            except MemoryError:
                self.tell(order, {"event": "failed", "message": "There is not enough memory for this composition."})
            except Exception as error:  # a plugin's code may raise anything
                self.tell(order, {"event": "failed", "message": f"{type(error).__name__}: {error}"})

    def tell(self, order: Json, event: Json) -> None:
        """Write an event of an order."""
        self.out.write(json.dumps({"id": order["id"]} | event).encode() + b"\n")
        self.out.flush()

    # ---- orders -----------------------------------------------------------------------------------------------

    def do_catalogue(self, order: Json) -> Iterator[Json]:
        """What there is to choose from; looking loads the installed models."""
        yield {"event": "catalogue", "catalogue": catalogue(self.loader, map(Path, order["folders"]))}

    def do_compose(self, order: Json) -> Iterator[Json]:
        """A composition of a scene: what is known beforehand, each step, the sample."""
        scene, references = Scene.model_validate(order["scene"]), order["references"]
        run = Run(recipe_of(scene, references, self.loader.branch()), self.loader)
        yield {
            "event": "planned",
            "steps": run.batch_steps,
            "size": [*run.composer.size],
            "notices": [notice.replace("`", "") for notice in notices(run.composer)],
            "regions": [region.name for region in run.composer.regions],
        }
        (sample,) = run.samples(self._watching(order, run))
        yield {"event": "sample", "command": command_of(scene, references), **_facts(sample, run)}

    def do_twin(self, order: Json) -> Iterator[Json]:
        """The same background from the same noise, without objects."""
        scene = Scene.model_validate(order["scene"])
        recipe = recipe_of(scene, order["references"], self.loader.branch())
        run = Run(recipe.model_copy(update={"regions": recipe.regions[:1]}), self.loader)
        (sample,) = run.samples(lambda step, batch: self._check(order))
        yield {"event": "twin", "image": _base64(png_bytes(sample.image, grey=run.composer.grey))}

    def _watching(self, order: Json, run: Run) -> Any:
        """A hook that tells of each step."""
        frames, done = Frames(), 0

        def on_step(step: Step, batch: Any) -> None:
            nonlocal done
            done += 1
            self._check(order)
            told = {"event": "step", "done": done, "of": run.batch_steps, "phase": _phase(step)}
            told["percent"] = round(100 * (1 - step.s / run.composer.T), 1)
            self.tell(order, told | frames.of(step))

        return on_step

    def _check(self, order: Json) -> None:
        if order["id"] in self.cancelled:
            self.cancelled.discard(order["id"])
            raise Cancelled


def _phase(step: Step) -> str:
    if step.s > step.t:
        return "climbing"
    return "alone" if step.canvas is None else "merging"


def _facts(sample: Sample, run: Run) -> Json:
    """A sample as the page and its files need it."""
    composer = run.composer
    return {
        "image": _base64(png_bytes(sample.image, grey=composer.grey)),
        "mask": _base64(png_bytes(index_picture(sample.index))),
        "grey": composer.grey,
        "size": [*sample.size],
        "objects": [each.facts() for each in sample.objects],
        "warnings": _warnings(sample, composer),
        "recipe": run.recipe.text(),
        "digest": run.recipe.digest(),
        "made_with": run.recipe.made_with,
    }


def _warnings(sample: Sample, composer: Composer) -> list[Json]:
    """What the checks of the factory find in each object, in plain words."""
    boxes = tuple(region.place for region in composer.regions[1:])
    shot = Shot(sample.image, sample.index, boxes)
    return [
        {"object": value - 1, "flag": flag, "text": _in_words(flag)}
        for value in range(1, len(boxes) + 1)
        for flag in flags_of(shot, value, FADED)
    ]


def _in_words(flag: str) -> str:
    if flag == "faint":
        return f"it hardly stands out from what is around it (by less than {FADED:g} grey levels)"
    return FLAGS[flag]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def main() -> None:
    """Serve orders; what plugins print goes to stderr, and Ctrl-C is for the page, which ends this process itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker = Worker(out)
    threading.Thread(target=worker.listen, args=(sys.stdin.buffer,), daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
