"""Signals that ask a training to end are heeded at the end of its step."""

import signal
from types import FrameType
from typing import Self

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopRequest:
    """While it is entered, notes SIGINT, SIGTERM and SIGHUP; called, whether one has come: the `stop` of `train`.

    A second signal raises KeyboardInterrupt at once. Signals that are ignored, as SIGHUP is under nohup, stay so.
    Python delivers signals to the main thread, in which it must be entered.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.received is not None

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note) or signal.SIG_DFL
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` returned

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
