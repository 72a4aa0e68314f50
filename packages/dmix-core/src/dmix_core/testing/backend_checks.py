"""Conformance check of backends: a network that is run by one predicts what it predicts without."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from ..backends import Backend, Inputs, Network
from .promises import Check, Judged, Verdict, answered, form, purely, repeats

CHANNELS, SIZE, CLASSES = 4, (8, 12), 3


def check_backend(
    backend: Backend, *, examples: int = 10, device: torch.device | str = "cpu", tolerance: float = 1e-4
) -> None:
    """Check a backend on small networks with and without classes, for batches of 1 to 4.

    Promises: what it makes of a network predicts what the network does, up to the tolerance; the result has the
    input's dtype and device; times and labels are one for the batch or one for each sample; the same input gives the
    same bits; the input and the global random generators are left alone; it can be hashed.

    Raises BrokenPromise.
    """
    backend_check(backend, examples, device, tolerance).run()


class SmallNetwork(nn.Module):
    """A network with the parts that networks have: a convolution, a normalisation, times, and labels if it has any.

    Its weights depend on `classes` alone.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(classes)
            self.time = nn.Linear(1, CHANNELS)
            self.labels = nn.Embedding(classes, CHANNELS) if classes else None
            self.norm = nn.GroupNorm(2, CHANNELS)
            self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.requires_grad_(False)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        shift = self.time(times[:, None].float() / 1000)
        if self.labels is not None:
            shift = shift + self.labels(labels)
        predicted: Tensor = self.conv(nn.functional.silu(self.norm(x) + shift[..., None, None]))
        return predicted


@dataclass(frozen=True)
class _Call:
    """One call of a network.

    Attributes:
        apart: each sample has a time and a label of its own.
    """

    classes: int
    batch: int
    apart: bool
    seed: int
    device: torch.device | str

    def __str__(self) -> str:
        return f"classes={self.classes}, batch={self.batch}, apart={self.apart}, seed={self.seed}"

    @property
    def code(self) -> str:
        return (
            "from dmix_core.testing import backend_checks as checks\n"
            f"call = checks._Call({self.classes}, {self.batch}, {self.apart}, {self.seed}, {str(self.device)!r})\n"
            "network = call.network()\nprint(backend(network, call.inputs)(*call.given()) - network(*call.given()))"
        )

    @property
    def inputs(self) -> Inputs:
        return Inputs(CHANNELS, SIZE, self.classes, torch.device(self.device), "float32")

    def network(self) -> SmallNetwork:
        return SmallNetwork(self.classes).to(self.device).eval()

    def given(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, times and labels."""
        generator = torch.Generator().manual_seed(self.seed)
        count = self.batch if self.apart else 1
        x = torch.randn(self.batch, CHANNELS, *SIZE, generator=generator)
        times = torch.randint(1000, (count,), generator=generator)
        labels = torch.randint(self.classes, (count,), generator=generator) if self.classes else None
        return x.to(self.device), times.to(self.device), None if labels is None else labels.to(self.device)


def backend_check(
    backend: Backend, examples: int = 10, device: torch.device | str = "cpu", tolerance: float = 1e-4
) -> Check[_Call]:
    """What check_backend runs."""
    made: dict[int, tuple[Network, Network]] = {}  # a compiled network serves every call

    def judge(case: _Call) -> Iterator[Verdict]:
        yield Verdict("it can be hashed", isinstance(hash(backend), int))
        if case.classes not in made:
            plain = case.network()
            made[case.classes] = plain, (yield from answered(backend, plain, case.inputs))
        network, running = made[case.classes]
        given = case.given()
        expected = network(*given)
        predicted = yield from _run(running, given)
        yield from form("the prediction", predicted, given[0], expected.shape)
        off = float((predicted - expected).abs().max())
        yield Verdict("it predicts what the network does", off <= tolerance, f"off by {off:.4g}")
        again = yield from _run(running, given)
        yield from repeats([predicted], [again])

    cases = st.builds(
        _Call, st.sampled_from([0, CLASSES]), st.integers(1, 4), st.booleans(), st.integers(0, 2**32), st.just(device)
    )
    return Check(cases, judge, examples)


def _run(running: Network, given: tuple[Tensor, Tensor, Tensor | None]) -> Judged[Tensor]:
    with torch.no_grad():
        return (yield from purely(running, *given))
