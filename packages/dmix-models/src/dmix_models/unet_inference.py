"""The UNet's forward pass for inference on a CPU: the bits of the module's own, in less time.

What a run repeats is done once: oneDNN's convolutions get their weights in the order of their kernels, and each level's
scale and shift are folded into the group norms. Residual sums are taken by the convolutions while they write.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Size, Tensor, nn

from .doubling import DoublingConv, spread, transposes
from .unet_layers import Attention, Downsample, ResBlock, Stage, Upsample, folded, split

AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")

LEVELS = 1024
"""Of so many times and labels the norms are kept."""

Normalise = Callable[[Tensor], Tensor]
"""A block's second norm with a time's scale and shift: (B, C, h, w), which may be overwritten, to the same shape."""


class Trained(Protocol):
    """A UNet as a module."""

    training: bool
    input_blocks: nn.ModuleList
    middle_block: Stage
    output_blocks: nn.ModuleList
    out: nn.Sequential

    def modules(self) -> Iterator[nn.Module]: ...
    def check(self, x: Tensor, labels: Tensor | None) -> None: ...
    def embedding(self, times: Tensor, labels: Tensor | None) -> Tensor: ...
    def __call__(self, x: Tensor, times: Tensor, labels: Tensor | None, /) -> Any: ...


class UNetInference:
    """Called as the UNet is. What it is not made for goes to the module itself: training, other devices or arithmetic.

    It follows the module's weights: where they were changed or replaced since the last call, it begins anew.
    """

    def __init__(self, network: Trained) -> None:
        self.network = network
        # walking the modules would take a tenth of a small network's pass
        parameters = [each._parameters for each in network.modules()]
        self._places = [(each, name) for each in parameters for name, weight in each.items() if weight is not None]
        self._state: object = None

    def __call__(self, x: Tensor, times: Tensor, labels: Tensor | None = None, /) -> Tensor:
        if not self._is_for(x, times):
            return cast(Tensor, self.network(x, times, labels))
        self.network.check(x, labels)
        self._follow()
        return self._layers(x, self._norms_at(times, labels))

    def _is_for(self, x: Tensor, times: Tensor) -> bool:
        return (
            AVAILABLE
            and transposes(x)  # as the module then does, too
            and self._weight.is_cpu
            and len(times) == 1
            and not (torch.is_grad_enabled() or self.network.training)
        )

    @property
    def _weight(self) -> Tensor:
        place, name = self._places[0]
        return cast(Tensor, place[name])

    def _follow(self) -> None:
        """Make the layers, unless those that are there are of the module's weights and of as many threads."""
        weights = [cast(Tensor, place[name]) for place, name in self._places]
        state = torch.get_num_threads(), [*map(Tensor.data_ptr, weights)], versions(weights)
        if state != self._state:
            self._layers, self._norms = Layers(self.network), OrderedDict[object, list[Normalise]]()
            self._state = state

    def _norms_at(self, times: Tensor, labels: Tensor | None) -> list[Normalise]:
        """Every residual block's second norm at this time, with these labels."""
        key = int(times), None if labels is None else tuple(labels.tolist())
        if (known := self._norms.get(key)) is None:
            emb = self.network.embedding(times, labels)
            known = self._norms[key] = [norm_at(block, emb) for block in self._layers.blocks]
            if len(self._norms) > LEVELS:
                self._norms.popitem(last=False)
        return known


def versions(weights: list[Tensor]) -> list[int]:
    """How often each has been changed in place; tensors that were made in inference mode do not count."""
    try:
        return [*map(attrgetter("_version"), weights)]
    except RuntimeError:
        return []


def norm_at(block: ResBlock, emb: Tensor) -> Normalise:
    """A block's second norm with the embedding (1 or B, E) of a time in it."""
    norm, emb = Norm(cast(nn.GroupNorm, block.out_layers[0])), block.emb_layers(emb)
    if not block.scale_shift_norm:
        return lambda h: norm(h.add_(emb[..., None, None]))
    if len(emb) == 1:
        norm.weight, norm.bias = folded(norm, emb)
        return norm
    scale, shift = split(emb)
    return lambda h: norm(h).mul_(scale).add_(shift)


class Norm:
    """A group norm without the overhead of a module."""

    def __init__(self, module: nn.GroupNorm) -> None:
        self.groups, self.eps = module.num_groups, module.eps
        self.weight, self.bias = module.weight.detach(), module.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.groups, self.weight, self.bias, self.eps)


class Layers:
    """The layers of a UNet.

    Attributes:
        blocks: the residual blocks, in the order in which an image passes them.
    """

    def __init__(self, network: Trained) -> None:
        self.blocks: list[ResBlock] = []
        self._down = [self._stage(stage) for stage in network.input_blocks]
        self._middle = self._stage(network.middle_block)
        self._up = [self._stage(stage) for stage in network.output_blocks]
        norm, _, conv = network.out
        self._norm, self._last = Norm(cast(nn.GroupNorm, norm)), Convolution(cast(nn.Conv2d, conv))

    def __call__(self, x: Tensor, norms: list[Normalise]) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w), with the second norms of `blocks`."""
        at, skips = iter(norms), []
        h = x.contiguous(memory_format=torch.channels_last)  # every layer keeps to it
        for stage in self._down:
            h = passed(stage, h, False, at)
            skips.append(h)
        h = passed(self._middle, h, False, at)
        for stage in self._up:
            h = passed(stage, torch.cat([h, skips.pop()], dim=1), True, at)
        return self._last(silu_(self._norm(h))).contiguous()

    def _stage(self, stage: nn.Module) -> list[Layer]:
        return [self._layer(each) for each in cast(Stage, stage)]

    def _layer(self, module: nn.Module) -> Layer:
        match module:
            case ResBlock():
                self.blocks.append(module)
                return Residual(module)
            case Attention():
                return SelfAttention(module)
            case Downsample():
                return Resampling(module.op)
            case Upsample():
                return Resampling(module.conv)
            case _:
                return Resampling(cast(nn.Conv2d, module))


class Layer(Protocol):
    def __call__(self, x: Tensor, fresh: bool, norms: Iterator[Normalise]) -> Tensor:
        """x (B, C, h, w) -> (B, C', h', w').

        Args:
            fresh: nobody else needs x; it may be overwritten.
            norms: of which a residual block takes the next.
        """
        ...


def passed(stage: list[Layer], x: Tensor, fresh: bool, norms: Iterator[Normalise]) -> Tensor:
    for layer in stage:
        x, fresh = layer(x, fresh, norms), True
    return x


class Residual:
    """A residual block."""

    def __init__(self, module: ResBlock) -> None:
        norm, before, conv = module.in_layers
        self.norm = Norm(cast(nn.GroupNorm, norm))
        self.before = moved(cast(nn.Sequential, before)[1])
        self.conv = convolution(cast(nn.Conv2d, conv))
        self.last = Convolution(cast(nn.Conv2d, module.out_layers[3]))
        skip = module.skip_connection
        self.skip = Convolution(skip) if isinstance(skip, nn.Conv2d) else None
        self.resample = moved(module.resample)

    def __call__(self, x: Tensor, fresh: bool, norms: Iterator[Normalise]) -> Tensor:
        h = silu_(self.norm(x))
        if self.before:
            h = self.before(h)
        if self.resample:
            x, fresh = self.resample(x), True
        h = self.conv(h)  # what was before is free from here on, and its memory still in the cache
        h = silu_(next(norms)(h))
        if self.skip:
            x, fresh = self.skip(x), True
        return self.last.plus(h, x, fresh)


def moved(module: nn.Module) -> nn.Module | None:
    return None if isinstance(module, nn.Identity) else module


class SelfAttention:
    """Attention between all pixels."""

    def __init__(self, module: Attention) -> None:
        self.norm, self.attend = Norm(module.norm), module.attend
        self.qkv, self.last = Convolution(module.qkv), Convolution(module.proj_out)

    def __call__(self, x: Tensor, fresh: bool, norms: Iterator[Normalise]) -> Tensor:
        return self.last.plus(self.attend(self.qkv(self.norm(x))), x, fresh)


class Resampling:
    """A convolution by itself, which may change the sides."""

    def __init__(self, module: nn.Conv2d) -> None:
        self.conv = convolution(module)

    def __call__(self, x: Tensor, fresh: bool, norms: Iterator[Normalise]) -> Tensor:
        return self.conv(x)


def silu_(x: Tensor) -> Tensor:
    return F.silu(x, inplace=True)


def convolution(module: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    return Doubling(module) if isinstance(module, DoublingConv) else Convolution(module)


class Doubling:
    """A convolution of the doubled image as a transposed one, its weights packed for the input's shape."""

    def __init__(self, module: DoublingConv) -> None:
        self.weight = spread(module.weight.detach())
        self.bias = None if module.bias is None else module.bias.detach()
        self._packed: dict[Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        moves: tuple[Any, ...] = [1, 1], [0, 0], [2, 2], [1, 1], 1  # padding, output's, stride, dilation, groups
        if x.shape not in self._packed:
            pack = torch.ops.mkldnn._reorder_convolution_transpose_weight
            self._packed[x.shape] = pack(self.weight, *moves, list(x.shape))
        convolve = torch.ops.mkldnn._convolution_transpose_pointwise.default
        return cast(Tensor, convolve(x, self._packed[x.shape], self.bias, *moves, "none", [], None))


class Convolution:
    """A convolution by the library that torch would choose; oneDNN gets its weights packed for the input's shape."""

    def __init__(self, module: nn.Conv1d | nn.Conv2d) -> None:
        weight = module.weight.detach()
        self.weight = weight if weight.ndim == 4 else weight[..., None]
        self.bias = None if module.bias is None else module.bias.detach()
        self.padding, self.stride = [cast(int, module.padding[0])] * 2, [module.stride[0]] * 2
        self._packed: dict[Size, Tensor | None] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if (weight := self._weight_for(x)) is None:
            return self._as_it_is(x)
        convolve = torch.ops.mkldnn._convolution_pointwise.default
        return cast(Tensor, convolve(x, weight, self.bias, *self._moves, "none", [], None))

    def plus(self, x: Tensor, other: Tensor, fresh: bool) -> Tensor:
        """The convolution of x, plus the other, which is overwritten if it is fresh."""
        if (weight := self._weight_for(x)) is None:
            return other.add_(self._as_it_is(x)) if fresh else other + self._as_it_is(x)  # in the other's layout
        arguments: tuple[Any, ...] = (weight, self.bias, *self._moves, "add", 1.0, None, [], None)
        if fresh:
            return cast(Tensor, torch.ops.mkldnn._convolution_pointwise_.binary(other, x, *arguments))
        return cast(Tensor, torch.ops.mkldnn._convolution_pointwise.binary(x, other, *arguments))

    def _as_it_is(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    @property
    def _moves(self) -> tuple[list[int], list[int], list[int], int]:
        return self.padding, self.stride, [1, 1], 1  # dilation and groups: none

    def _weight_for(self, x: Tensor) -> Tensor | None:
        """The weight packed for inputs of this shape; None where torch takes another library than oneDNN."""
        if x.shape not in self._packed:
            self._packed[x.shape] = self._pack(x)
        return self._packed[x.shape]

    def _pack(self, x: Tensor) -> Tensor | None:
        padding, stride, dilation, groups = self._moves
        where = stride, padding, dilation, False, [0, 0], groups
        chosen = torch._C._select_conv_backend(x, self.weight, self.bias, *where)
        if chosen != torch._C._ConvBackend.Mkldnn:  # type: ignore[attr-defined]
            return None
        return cast(Tensor, torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self._moves, list(x.shape)))
