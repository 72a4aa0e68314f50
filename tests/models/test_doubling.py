"""A convolution of the doubled image, by whichever way, is one."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dmix_models import doubling
from dmix_models.doubling import DoublingConv, conv_of_doubled


def enlarged_first(x, weight, bias=None):
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)


@given(
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 99),
)
def test_it_is_a_convolution_of_the_enlarged_image(sides, channels, seed):
    torch.manual_seed(seed)
    x, weight = torch.randn(2, channels[0], *sides), torch.randn(channels[1], channels[0], 3, 3)
    bias = torch.randn(channels[1])
    torch.testing.assert_close(conv_of_doubled(x, weight, bias), enlarged_first(x, weight, bias), rtol=1e-4, atol=1e-4)


def test_gradients_are_its_own():
    torch.manual_seed(0)
    conv, x = DoublingConv(8, 16), torch.randn(2, 8, 5, 4, requires_grad=True)
    upon = torch.randn(2, 16, 10, 8)
    wanted = x, conv.weight, conv.bias
    found, expected = (
        torch.autograd.grad(result, wanted, upon) for result in (conv(x), enlarged_first(x, conv.weight, conv.bias))
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN, which transposes faster")
def test_it_transposes_in_float32_alone(monkeypatch):
    monkeypatch.setattr(doubling, "spread", lambda weight: pytest.fail("it transposed"))
    conv, x = DoublingConv(4, 4), torch.randn(1, 4, 3, 3)
    with pytest.raises(pytest.fail.Exception, match="it transposed"):
        conv(x)
    assert conv.double()(x.double()).shape == (1, 4, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv.float()(x).dtype == torch.bfloat16


def test_it_compiles_whole():
    conv, x = DoublingConv(4, 4), torch.randn(1, 4, 3, 3)
    compiled = torch.compile(conv, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), conv(x))
