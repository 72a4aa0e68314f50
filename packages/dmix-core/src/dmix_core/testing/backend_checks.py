"""Conformance check of backends: a network that is run by one predicts what it predicts without."""

from collections.abc import Iterator

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from ..backends import Backend, Inputs, Network
from .checking import Check, Conformance, Device, Input, Verdict
from .promises import answered, form, purely, repeats

CHANNELS, SIZE, CLASSES = 4, (8, 12), 3


@Conformance
def check_backend(backend: Backend, *, examples: int = 10, device: Device = "cpu", tolerance: float = 1e-4) -> Check:
    """Check a backend on small networks with and without classes, for batches of 1 to 4.

    Promises: what it makes of a network predicts what the network does, up to the tolerance; the result has the
    input's dtype and device; times and labels are one for the batch or one for each sample; it can be hashed.
    """
    made: dict[int, tuple[Network, Network]] = {}  # a compiled network serves every call

    def case(classes: int, batch: int, apart: bool, seed: int) -> Input:
        text = f"classes={classes}, batch={batch}, apart={apart}, seed={seed}"
        code = (
            "from dmix_core.testing.backend_checks import SmallNetwork, drawn\n"
            f"network = SmallNetwork({classes}).to({str(device)!r}).eval()\n"
            f"given = drawn({classes}, {batch}, {apart}, {seed}, {str(device)!r})\n"
            f"print(backend(network, network.inputs({str(device)!r}))(*given) - network(*given))"
        )
        return Input((classes, batch, apart, seed), text, code)

    @torch.no_grad()
    def judge(classes: int, batch: int, apart: bool, seed: int) -> Iterator[Verdict]:
        yield Verdict("it can be hashed", isinstance(hash(backend), int))
        if classes not in made:
            plain = SmallNetwork(classes).to(device).eval()
            made[classes] = plain, (yield from answered(backend, plain, plain.inputs(device)))
        network, running = made[classes]
        given = drawn(classes, batch, apart, seed, device)
        expected = network(*given)
        predicted = yield from purely(running, *given)
        yield from form("the prediction", predicted, given[0], expected.shape)
        off = float((predicted - expected).abs().max())
        yield Verdict("it predicts what the network does", off <= tolerance, f"off by {off:.4g}")
        again = yield from answered(running, *given)
        yield from repeats([predicted], [again])

    cases = st.builds(case, st.sampled_from([0, CLASSES]), st.integers(1, 4), st.booleans(), st.integers(0, 2**32))
    return Check(cases, judge, examples)


def drawn(
    classes: int, batch: int, apart: bool, seed: int, device: Device = "cpu"
) -> tuple[Tensor, Tensor, Tensor | None]:
    """x, times and labels of one call; if `apart`, each sample has a time and a label of its own."""
    generator, count = torch.Generator().manual_seed(seed), batch if apart else 1
    x = torch.randn(batch, CHANNELS, *SIZE, generator=generator).to(device)
    times = torch.randint(1000, (count,), generator=generator).to(device)
    return x, times, torch.randint(classes, (count,), generator=generator).to(device) if classes else None


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

    def inputs(self, device: Device) -> Inputs:
        classes = self.labels.num_embeddings if self.labels else 0
        return Inputs(CHANNELS, SIZE, classes, torch.device(device), "float32")
