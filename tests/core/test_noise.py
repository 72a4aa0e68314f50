"""The noise schedule: its tables, its forward process and its posterior, against the mathematics and the reference."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dmix_core.errors import ScheduleError
from dmix_core.noise import NoiseSchedule, spaced_indices

LINEAR, COSINE = NoiseSchedule.linear(), NoiseSchedule.cosine()


@st.composite
def schedules(draw, longest=40):
    """Any table of 2..`longest` steps that starts at one and falls."""
    kept = draw(st.lists(st.floats(0.3, 0.999), min_size=2, max_size=longest))
    return NoiseSchedule.from_betas(1 - torch.tensor(kept, dtype=torch.float64))


def image(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# ---- tables --------------------------------------------------------------------------------------------------------


@given(schedules())
def test_alpha_bar_starts_at_one_and_falls_strictly(noise):
    assert noise.alpha_bar[0] == 1
    assert (noise.alpha_bar.diff() < 0).all()
    assert (noise.alpha_bar > 0).all()
    assert noise.steps == len(noise.betas) == len(noise.levels) - 1


@given(schedules())
def test_betas_and_alpha_bar_say_the_same(noise):
    again = NoiseSchedule.from_betas(noise.betas)
    torch.testing.assert_close(again.alpha_bar, noise.alpha_bar, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("noise", "index", "expected"),
    [
        (LINEAR, -1, 4.035829765e-05),
        (LINEAR, 501, 0.07779665837),
        (COSINE, -1, 2.428766907e-09),
        (LINEAR.respace(250), 126, 0.07623466679),
    ],
)
def test_alpha_bar_goldens(noise, index, expected):
    # COSINE's last entry is the product of a thousand factors, the last of them 0.001: fewer digits survive.
    assert noise.alpha_bar[index].item() == pytest.approx(expected, rel=1e-6 if noise is COSINE else 1e-9)


def test_alpha_bar_goldens_of_250_levels():
    golden = {1: 0.999900, 2: 0.999301, 10: 0.983172, 25: 0.902563, 26: 0.895142, 50: 0.664415}
    table = LINEAR.respace(250).alpha_bar
    assert {t: round(table[t].item(), 6) for t in golden} == golden


@pytest.mark.parametrize(("spacing", "beta"), [(250, 0.07751934499), ("ddim25", 0.5326018231)])
def test_last_beta_goldens(spacing, beta):
    assert LINEAR.respace(spacing).betas[-1].item() == pytest.approx(beta, rel=1e-9)


def test_linear_is_scaled_to_its_length():
    assert LINEAR.betas[[0, -1]].tolist() == pytest.approx([1e-4, 0.02])
    assert NoiseSchedule.linear(500).betas[[0, -1]].tolist() == pytest.approx([2e-4, 0.04])


def test_cosine_follows_its_curve():
    curve = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1000)]
    expected = torch.tensor(curve, dtype=torch.float64) / curve[0]
    torch.testing.assert_close(COSINE.alpha_bar[:-1], expected, rtol=1e-9, atol=0)
    assert COSINE.betas[-1].item() == pytest.approx(0.999)


# ---- respacing -----------------------------------------------------------------------------------------------------


@given(schedules(), st.data())
def test_respaced_levels_are_a_subset(noise, data):
    fewer = noise.respace(data.draw(st.integers(1, noise.steps)))
    assert fewer.levels[0] == 0
    assert set(fewer.levels) <= set(noise.levels)
    assert list(fewer.levels) == sorted(set(fewer.levels))
    torch.testing.assert_close(fewer.alpha_bar, noise.alpha_bar[list(fewer.levels)], rtol=0, atol=0)


@given(st.integers(2, 1000))
def test_even_spacing_keeps_both_ends(count):
    indices = spaced_indices(1000, count)
    gaps = [b - a for a, b in pairwise(indices)]
    assert len(indices) == count
    assert (indices[0], indices[-1]) == (0, 999)
    assert max(gaps) - min(gaps) <= 2


def test_respacing_to_every_level_changes_nothing():
    assert LINEAR.respace(1000).levels == LINEAR.levels
    assert torch.equal(LINEAR.respace("1000").alpha_bar, LINEAR.alpha_bar)


def test_respacing_twice_still_names_the_levels_of_the_first_table():
    twice = LINEAR.respace(100).respace(10)
    assert set(twice.levels) <= set(LINEAR.respace(100).levels)
    torch.testing.assert_close(twice.alpha_bar, LINEAR.alpha_bar[list(twice.levels)], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("spacing", "count", "total"),
    [
        ("250", 250, 124875),
        ("ddim25", 25, 12000),
        ("ddim50", 50, 24500),
        ("ddim100", 100, 49500),
        ("ddim250", 250, 124500),
        ("10,15,20", 45, None),
    ],
)
def test_spacing_goldens(spacing, count, total):
    indices = spaced_indices(1000, spacing)
    assert len(indices) == count
    assert total is None or sum(indices) == total


def test_spacing_of_250_literally():
    indices = spaced_indices(1000, 250)
    assert indices[:5] == [0, 4, 8, 12, 16]
    assert indices[-4:] == [987, 991, 995, 999]


def test_positions_between_two_indices_round_as_in_the_reference():
    # guided-diffusion sums its stride of 49.95, and so comes to 499.49999999999994 where 10 * 49.95 is 499.5
    assert spaced_indices(1000, 21) == [
        *(0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 499),
        *(549, 599, 649, 699, 749, 799, 849, 899, 949, 999),
    ]


def test_sections_are_spaced_each_by_itself():
    # 300 levels in three sections of 100, as the reference's own example.
    indices = spaced_indices(300, "10,15,20")
    assert [sum(lower <= i < lower + 100 for i in indices) for lower in (0, 100, 200)] == [10, 15, 20]
    assert {0, 99, 100, 199, 200, 299} <= set(indices)


def test_ddim_that_no_stride_gives():
    invalid = [1, 37, 41, 43, 45, 47, 49, 51, 52, 54, 55, 57, 58, 60, 61, 62, 64, 65, 66, *range(68, 72)]
    invalid += [*range(73, 77), *range(78, 84), *range(85, 91), *range(92, 100)]

    def is_invalid(count):
        try:
            return len(spaced_indices(1000, f"ddim{count}")) != count
        except ScheduleError:
            return True

    assert [count for count in range(1, 101) if is_invalid(count)] == invalid


# ---- the forward process -------------------------------------------------------------------------------------------


@given(schedules(), st.data())
def test_diffusing_in_two_strides_equals_one(noise, data):
    a, b, c = sorted(data.draw(st.sets(st.integers(0, noise.steps), min_size=3, max_size=3)))
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    mean = noise.diffuse(noise.diffuse(one, a, b, zero), b, c, zero)
    deviation = noise.diffuse(noise.diffuse(zero, a, b, one), b, c, zero), noise.diffuse(zero, b, c, one)
    torch.testing.assert_close(mean, noise.diffuse(one, a, c, zero), rtol=1e-12, atol=1e-12)
    variance = deviation[0] ** 2 + deviation[1] ** 2
    torch.testing.assert_close(variance, noise.diffuse(zero, a, c, one) ** 2, rtol=1e-9, atol=1e-12)


@given(schedules(), st.data())
def test_single_climbs_equal_one_climb(noise, data):
    tau = data.draw(st.integers(1, noise.steps))
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    mean, variance = one, 0.0
    for t in range(tau):
        mean = noise.diffuse(mean, t, t + 1, zero)
        variance = variance * noise.diffuse(one, t, t + 1, zero) ** 2 + noise.diffuse(zero, t, t + 1, one) ** 2
    assert mean.item() == pytest.approx(math.sqrt(noise.alpha_bar[tau]), rel=1e-12)
    assert variance.item() == pytest.approx(1 - noise.alpha_bar[tau].item(), rel=1e-9)


def test_diffusing_to_the_same_level_changes_nothing():
    x = image(2, 3, 4, 4).float()
    assert torch.equal(LINEAR.diffuse(x, 7, 7, torch.ones_like(x)), x)


def test_a_level_for_each_sample_equals_one_by_one():
    x, noise = image(3, 2, 4, 4).float(), image(3, 2, 4, 4).float().flip(0)
    levels = torch.tensor([1, 500, 1000])
    together = LINEAR.diffuse(x, torch.zeros_like(levels), levels, noise)
    for i, t in enumerate(levels.tolist()):
        torch.testing.assert_close(together[i : i + 1], LINEAR.diffuse(x[i : i + 1], 0, t, noise[i : i + 1]))


# ---- the posterior -------------------------------------------------------------------------------------------------


@given(schedules(), st.data())
def test_the_posteriors_marginal_is_the_forward_process(noise, data):
    """Drawing x_t ~ q(x_t | x_0) and then x_s ~ p(x_s | x_t, x_0) must give q(x_s | x_0): mean and variance."""
    t = data.draw(st.integers(2, noise.steps))
    s = data.draw(st.integers(1, t - 1))
    clean, zero = image(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    mean, log_variance = noise.posterior(noise.diffuse(clean, 0, t, zero), clean, t, s)
    torch.testing.assert_close(mean, noise.diffuse(clean, 0, s, zero), rtol=1e-9, atol=1e-9)

    gain = noise.posterior(torch.ones_like(zero), zero, t, s)[0]
    variance = gain**2 * (1 - noise.alpha_bar[t]) + log_variance.exp()
    torch.testing.assert_close(variance, torch.full_like(variance, 1 - noise.alpha_bar[s].item()), rtol=1e-9, atol=0)


@given(schedules(), st.data())
def test_variances_lie_between_beta_tilde_and_beta(noise, data):
    t = data.draw(st.integers(2, noise.steps))
    x = image(1, 1, 2, 2)
    low, mid, high = (
        noise.posterior(x, x, t, spread=torch.tensor(spread, dtype=torch.float64))[1].exp().item()
        for spread in (0.0, 0.5, 1.0)
    )
    a_t, a_s = noise.alpha_bar[[t, t - 1]].tolist()
    assert 0 < low <= mid <= high
    assert low == pytest.approx((1 - a_s) / (1 - a_t) * noise.betas[t - 1].item(), rel=1e-9)
    assert mid == pytest.approx(math.sqrt(low * high), rel=1e-9)
    assert high == pytest.approx(noise.betas[t - 1].item(), rel=1e-9)
    assert noise.posterior(x, x, t)[1].exp().item() == pytest.approx(low)


@given(schedules())
def test_the_way_into_level_0_is_the_clean_image(noise):
    clean, x_t = image(1, 3, 2, 2), image(1, 3, 2, 2) + 5
    mean, log_variance = noise.posterior(x_t, clean, 1)
    assert torch.equal(mean, clean)
    torch.testing.assert_close(log_variance, noise.posterior(x_t, clean, 2)[1])


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (LINEAR, -9.81672514),
        (LINEAR.respace(250), -9.36462816),
        (LINEAR.respace("ddim25"), -9.21519502),
        (COSINE, -10.73408253),
    ],
)
def test_clipped_log_variance_goldens(noise, expected):
    x = image(1, 1, 1, 1)
    for t in (1, 2):
        assert noise.posterior(x, x, t)[1].item() == pytest.approx(expected, rel=1e-8)


def test_a_schedule_of_one_step_has_a_posterior():
    x = image(1, 1, 2, 2).float()
    mean, log_variance = LINEAR.respace(1).posterior(x, x / 2, 1)
    assert torch.equal(mean, x / 2)
    assert torch.isfinite(log_variance).all()


# ---- prediction types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@given(t=st.integers(1, 900))
def test_the_target_leads_back_to_the_clean_image(prediction, t):
    clean, noise = image(2, 3, 4, 4), image(2, 3, 4, 4).flip(0)
    target = LINEAR.target_for(prediction, clean, noise, t)
    torch.testing.assert_close(LINEAR.clean_from(prediction, target, LINEAR.diffuse(clean, 0, t, noise), t), clean)


def test_v_turns_image_and_noise_by_a_quarter():
    """v is the derivative of x_t by the angle phi with cos phi = sqrt(alpha_bar)."""
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    phi = math.acos(math.sqrt(LINEAR.alpha_bar[300]))
    assert LINEAR.target_for("v", one, zero, 300).item() == pytest.approx(-math.sin(phi))
    assert LINEAR.target_for("v", zero, one, 300).item() == pytest.approx(math.cos(phi))


# ---- agreement with guided-diffusion -------------------------------------------------------------------------------

SPACED = {
    "linear1000_full": LINEAR,
    "linear1000_250": LINEAR.respace(250),
    "linear1000_ddim25": LINEAR.respace("ddim25"),
    "cosine1000_50": COSINE.respace("50"),
}


@pytest.fixture(params=SPACED)
def reference(request, repo):
    """(our schedule, the reference's numbers for it by their short names)."""
    name = request.param
    numbers = load_file(repo / "tests/reference/gaussian_diffusion.safetensors")
    return SPACED[name], {key.removeprefix(f"{name}."): value for key, value in numbers.items() if key.startswith(name)}


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_reference_tables(reference):
    noise, expected = reference
    assert [level - 1 for level in noise.levels[1:]] == expected["timestep_map"].tolist()
    close(noise.betas, expected["betas"])
    close(noise.alpha_bar[1:], expected["alphas_cumprod"])


def test_reference_step(reference):
    noise, expected = reference
    x, t = expected["x"], expected["t"] + 1
    output, values = expected["model_output"].split(x.shape[1], dim=1)[0], expected["model_output"][:, x.shape[1] :]
    clean = noise.clean_from("epsilon", output, x, t).clamp(-1, 1)
    mean, log_variance = noise.posterior(x, clean, t, spread=(values + 1) / 2 if values.numel() else None)
    close(clean, expected["pred_xstart"])
    close(mean, expected["mean"])
    close(log_variance.expand_as(mean), expected["log_variance"])


def test_reference_forward_process(reference):
    noise, expected = reference
    t = expected["t"] + 1
    close(noise.diffuse(expected["x0"], torch.zeros_like(t), t, expected["noise"]), expected["q_sample"])


@pytest.mark.parametrize(
    ("t", "means", "variances", "log_variances", "first"),
    [
        (250, -0.010823, 9.9224589, -327.325378, -1.921423),
        (126, -0.141439, 6.2966176, -385.538300, -1.956846),
        (2, -0.000580, 0.030814507, -1074.225101, -1.143018),
        (1, 0.0, 0.011854281, -1188.797974, -1.0),
    ],
)
def test_goldens_of_a_step_with_learned_range(t, means, variances, log_variances, first):
    """guided-diffusion's p_mean_variance at 250 of 1000 steps; toy net: eps = 0.7 x + t / 10000, v = tanh(x) / 2."""
    noise = LINEAR.respace(250)
    x = torch.linspace(-2, 2, 128).view(2, 4, 4, 4)
    output, value = 0.7 * x + 0.1 * (noise.levels[t] - 1) / 1000, 0.5 * torch.tanh(x)
    clean = noise.clean_from("epsilon", output, x, t).clamp(-1, 1)
    mean, log_variance = noise.posterior(x, clean, t, spread=(value + 1) / 2)
    assert mean.sum().item() == pytest.approx(means, abs=1e-5)
    assert mean.flatten()[0].item() == pytest.approx(first, abs=1e-5)
    assert log_variance.exp().sum().item() == pytest.approx(variances, rel=2e-6)
    assert log_variance.sum().item() == pytest.approx(log_variances, rel=2e-6)


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        (1001, r"Cannot take 1001 levels out of 1000\. Expected between 1 and 1000"),
        ("0", r"Cannot take 0 levels"),
        ("10,400,20", r"Cannot take 400 levels out of 333"),
        ("ddim60", r"No integer stride takes 60 of 1000 levels; try 60 without 'ddim'"),
        ("fast", r"Cannot respace to 'fast'\. Expected a number of levels"),
        ("ddim", r"Cannot respace to 'ddim'"),
    ],
)
def test_bad_spacings(spacing, message):
    with pytest.raises(ScheduleError, match=message):
        LINEAR.respace(spacing)


@pytest.mark.parametrize("steps", [0, -3])
@pytest.mark.parametrize("table", [NoiseSchedule.linear, NoiseSchedule.cosine])
def test_tables_need_a_step(table, steps):
    with pytest.raises(ScheduleError, match="at least"):
        table(steps)


@pytest.mark.parametrize("alpha_bar", [[0.9, 0.5], [1.0, 0.5, 0.5], [1.0, 0.5, 0.0], [1.0, float("nan")]])
def test_tables_must_start_at_one_and_fall(alpha_bar):
    with pytest.raises(ScheduleError, match="start at 1"):
        NoiseSchedule.from_alpha_bar(torch.tensor(alpha_bar))


def test_tables_are_float64():
    with pytest.raises(ScheduleError, match=r"float64.*torch\.float32"):
        NoiseSchedule(torch.tensor([1.0, 0.5]), (0, 1))


@pytest.mark.parametrize(("s", "t"), [(10, 5), (-1, 5), (0, 1001)])
def test_diffusing_goes_up_within_the_table(s, t):
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ScheduleError, match=rf"from level {s} to level {t}; expected 0 <= s <= t <= 1000"):
        NoiseSchedule.linear().diffuse(x, s, t, x)
