"""What a conformance check is made of: drawn inputs, what is promised of each, and the word on a broken promise."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import update_wrapper
from textwrap import indent
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import torch
from hypothesis import HealthCheck, Phase, Verbosity, example, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

T = TypeVar("T")
P = ParamSpec("P")
Device = torch.device | str


class Verdict(NamedTuple):
    """Whether one input kept one promise; a promise has the same words for every input."""

    promise: str
    kept: bool
    seen: str = ""
    """What was seen where it is broken."""
    cause: Exception | None = None


Judged = Generator[Verdict, None, T]
"""Verdicts, and at their end an answer to judge further."""


class Input(NamedTuple):
    """One input of a check."""

    given: tuple[Any, ...]
    """The arguments of the check's judge."""
    text: str
    """Which input it is."""
    code: str
    """Python that makes it and asks again."""


class BrokenPromise(AssertionError):
    """A promise, the input that broke it, and how to see it again."""

    def __init__(self, verdict: Verdict, broken_by: Input) -> None:
        self.verdict, self.input, self.code = verdict, broken_by.text, broken_by.code
        seen = f" ({verdict.seen})" if verdict.seen else ""
        code = indent(self.code, "    ")
        super().__init__(f"Broken promise: {verdict.promise}{seen}.\nInput: {self.input}.\nTo see it again:\n{code}")


@dataclass(frozen=True)
class Check:
    """Drawn inputs, always the same ones, and a judge that gives its verdicts on each.

    Attributes:
        first: inputs that are tried before those that are drawn.
        last: inputs that are tried after them.
    """

    drawn: st.SearchStrategy[Input]
    judge: Callable[..., Iterator[Verdict]]
    examples: int
    first: Sequence[Input] = ()
    last: Sequence[Input] = ()

    def run(self) -> None:
        """Raise BrokenPromise for the first promise that is broken, with the simplest input that breaks it."""
        self._run(_Findings())

    def report(self) -> list["BrokenPromise | str"]:
        """Every promise that was put to the test: its words where it was kept, else how it was broken."""
        findings = _Findings()
        while True:
            try:
                self._run(findings)
            except BrokenPromise as broken:
                findings.broken[broken.verdict.promise] = broken
            else:
                return [findings.broken.get(promise, promise) for promise in findings.tried]

    def _run(self, findings: "_Findings") -> None:
        def judge(case: Input) -> None:
            _judge(self.judge(*case.given), case, findings)

        drawn = given(self.drawn)(judge)
        for case in reversed(self.first):
            drawn = example(case)(drawn)
        try:
            settings(DRAWING, max_examples=self.examples)(drawn)()
        except Flaky:  # the same input, asked again, broke nothing
            if findings.latest is None:
                raise
            raise findings.latest from None
        for case in self.last:
            judge(case)


class Conformance(Generic[P]):
    """A decorator: what makes a check becomes what runs it; `check_stepper.of(stepper)` is the check itself."""

    def __init__(self, of: Callable[P, Check]) -> None:
        self.of = of
        update_wrapper(self, of)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        self.of(*args, **kwargs).run()


DRAWING = settings(
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,  # BrokenPromise states what broke
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class _Findings:
    """Promises in the order in which they were first tried, and those that are known to be broken."""

    tried: dict[str, None] = field(default_factory=dict)
    broken: dict[str, BrokenPromise] = field(default_factory=dict)
    latest: BrokenPromise | None = None


class Unanswered(Exception):
    """There is nothing to judge further; the verdict on that has been given."""


def _judge(verdicts: Iterator[Verdict], case: Input, findings: _Findings) -> None:
    broken = False
    try:
        for verdict in verdicts:
            findings.tried.setdefault(verdict.promise)
            if not verdict.kept and verdict.promise not in findings.broken:
                findings.latest = BrokenPromise(verdict, case)
                raise findings.latest from verdict.cause
            broken = broken or not verdict.kept
    except BrokenPromise:
        raise
    except Exception as error:
        if not (broken or isinstance(error, Unanswered)):  # what cannot be judged, after what is known to be broken
            raise
