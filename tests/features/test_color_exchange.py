"""Pictures altered in luma and chroma: against Pillow and hand cases."""

import numpy as np
import pytest
import torch
from PIL import Image

from tff_core.features import color_exchange
from tff_core.pictures import data


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 9, 7), generator=generator, dtype=torch.uint8)


def muted(pixels):
    """Pictures with so little chroma that nothing needs clipping."""
    return (96 + pixels // 4).to(torch.uint8)


def test_luma_and_chroma_are_those_of_jpeg(pixels):
    found = color_exchange.ycbcr(pixels)
    for i, picture in enumerate(pixels):
        jpeg = Image.fromarray(picture.permute(1, 2, 0).numpy()).convert("YCbCr")
        expected = np.asarray(jpeg, dtype=float) - [0, 128, 128]
        assert np.abs(found[i].permute(1, 2, 0).numpy() - expected).max() <= 1.0


def test_every_colour_survives_the_way_there_and_back():
    levels = torch.arange(0, 256, 5)
    cube = (
        torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij"))
        .reshape(1, 3, 52, -1)
        .to(torch.uint8)
    )
    back = color_exchange.rgb(color_exchange.ycbcr(cube))
    assert torch.equal(back.pixels, cube)
    assert float(back.clipped) == 0


def test_an_exchange_takes_luma_from_one_and_chroma_from_the_other(pixels):
    first, second = muted(pixels), muted(pixels.flip(0))
    mixed = color_exchange.exchange(first, second)
    assert mixed.clipped.eq(0).all()
    found = color_exchange.ycbcr(mixed.pixels)
    assert (
        found[:, :1] - color_exchange.ycbcr(first)[:, :1]
    ).abs().max() <= 0.5 + 1e-9  # rounding of three channels
    assert (found[:, 1:] - color_exchange.ycbcr(second)[:, 1:]).abs().max() <= 0.5 + 1e-9
    assert torch.equal(color_exchange.exchange(pixels, pixels).pixels, pixels)


def test_exchanging_back_restores_both_sets(pixels):
    first, second = muted(pixels), muted(pixels.flip(0))
    one, other = color_exchange.exchange(first, second).pixels, color_exchange.exchange(second, first).pixels
    back = color_exchange.exchange(one, other).pixels
    assert (back.int() - first.int()).abs().max() <= 2  # each way rounds once


def test_clipped_pixels_are_counted():
    white, blue = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    blue[:, 2, 0, 0] = 255  # one pixel of four asks white for a chroma that it cannot have
    mixed = color_exchange.exchange(white, blue)
    assert mixed.clipped.tolist() == [0.25]
    assert mixed.pixels[0, :, 0, 1].tolist() == [255, 255, 255]


def test_saturation_zero_is_the_gray_of_the_ablation(pixels):
    gray = color_exchange.saturate(pixels, 0).pixels
    assert (gray.int() - data.grayscale(pixels).int()).abs().max() <= 1
    assert torch.equal(gray[:, 0], gray[:, 1]) and torch.equal(gray[:, 0], gray[:, 2])
    assert torch.equal(color_exchange.saturate(pixels, 1).pixels, pixels)
    values = color_exchange.ycbcr(muted(pixels))
    half = color_exchange.ycbcr(color_exchange.saturate(muted(pixels), 0.5).pixels)
    assert (half[:, 1:] - values[:, 1:] / 2).abs().max() <= 0.5 + 1e-9


def test_hue_turns_round_and_keeps_luma_and_saturation(pixels):
    soft = muted(pixels)
    assert torch.equal(color_exchange.turn(pixels, 0).pixels, pixels)
    assert torch.equal(color_exchange.turn(pixels, 360).pixels, pixels)
    values, turned = color_exchange.ycbcr(soft), color_exchange.ycbcr(color_exchange.turn(soft, 90).pixels)
    assert (turned[:, 0] - values[:, 0]).abs().max() <= 0.5 + 1e-9
    assert (turned[:, 1] + values[:, 2]).abs().max() <= 0.5 + 1e-9  # a quarter turn: Cb becomes -Cr,
    assert (turned[:, 2] - values[:, 1]).abs().max() <= 0.5 + 1e-9  # and Cr becomes Cb


def test_wrong_pictures_are_refused_in_one_sentence(pixels):
    with pytest.raises(ValueError, match="equally many pictures"):
        color_exchange.exchange(pixels, pixels[:2])
    with pytest.raises(ValueError, match="saturation factor"):
        color_exchange.saturate(pixels, -1)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        color_exchange.ycbcr(pixels[0])


def test_partners_are_others_of_the_same_class_each_used_once():
    groups = ["a", "b", "a", "b", "a"]
    found = color_exchange.partners(groups, 0)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert all(found[i] != i and groups[found[i]] == groups[i] for i in range(5))
    assert list(color_exchange.partners(groups, 0)) == list(found)
    with pytest.raises(ValueError, match="'c' has 1"):
        color_exchange.partners([*groups, "c"], 0)


def test_probabilities_do_not_depend_on_the_batches(pixels):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 9 * 7, 1)).eval()
    whole = color_exchange.probabilities(model, pixels)
    assert np.allclose(color_exchange.probabilities(model, pixels, batch_size=3), whole, atol=1e-7)
    with torch.no_grad():
        logit = model(data.normalize(pixels))[:, 0]
    assert np.allclose(whole, 1 / (1 + np.exp(-logit.double().numpy())), atol=1e-7)
    other = data.Preprocessing(mean=(0.5, 0.4, 0.3), std=(1.0, 2.0, 0.5))
    with torch.no_grad():
        logit = model(data.normalize(pixels, other))[:, 0]
    own = color_exchange.probabilities(model, pixels, preprocessing=other)
    assert np.allclose(own, 1 / (1 + np.exp(-logit.double().numpy())), atol=1e-7)
    assert not np.allclose(own, whole, atol=1e-3)


def test_balanced_takes_as_many_of_both_labels_from_each_class(tmp_path):
    rng = np.random.default_rng(2)
    for group, label, count in (("a", "real", 4), ("a", "fake", 3), ("b", "real", 1), ("b", "fake", 5)):
        folder = tmp_path / group / f"{int(label == 'fake')}_{label}"
        folder.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    images = data.scan(tmp_path)
    found = color_exchange.balanced(images, 24)
    assert found.counts == (3, 3) and set(found.groups) == {"a"}  # b has one real: no partner
    assert color_exchange.balanced(images, 2).counts == (2, 2)


def test_shares_called_fake_are_at_each_seeds_threshold():
    sets = {"real": color_exchange.Altered(torch.zeros(2, 3, 2, 2), torch.tensor([0.0, 0.5]))}
    table = color_exchange.called_fake(sets, {"real": np.array([[0.6, 0.4], [0.6, 0.4]])}, [0.5, 0.3])
    row = table.iloc[0]
    assert (row.called, row.n, row.clipped, row.seeds) == (pytest.approx(0.75), 2, 0.25, 2)
    assert row.low <= row.called <= row.high


def test_carried_is_the_share_with_a_fakes_chroma_minus_that_with_its_luma():
    chroma, luma = np.array([[0.9, 0.9, 0.1, 0.9]]), np.array([[0.1, 0.9, 0.1, 0.1]])
    assert color_exchange.carried(chroma, luma, [0.5]).value == pytest.approx(0.5)
    assert tuple(color_exchange.carried(chroma, chroma, [0.5]))[:3] == pytest.approx((0, 0, 0))


def test_quartiles_and_typical_pictures_of_each_kind():
    labels = [1, 1, 1, 0, 0, 0]
    p = np.array([0.1, 0.5, 0.9, 0.2, 0.4, 0.3])
    table = color_exchange.quartiles({("hue", 90): p}, labels).set_index("label")
    assert table.loc["fake", ["q1", "median", "q3"]].tolist() == pytest.approx([0.3, 0.5, 0.7])
    assert table.loc["real", "median"] == pytest.approx(0.3)
    assert color_exchange.typical(p, labels, 1) == [1, 5]
