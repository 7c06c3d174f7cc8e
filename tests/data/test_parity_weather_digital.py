"""Weather, digital and extra corruptions against ``imagecorruptions`` at the constants of ImageNet-C.

The peer's random numbers are replaced by ours, so that most types can be compared pixel by pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter, map_coordinates

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.elastic_transform import ElasticTransform, smooth_field
from clearsight.data.corruptions.fields import normal, words
from clearsight.data.corruptions.frost import PHOTOGRAPHS, Frost, photograph
from clearsight.data.corruptions.frost_textures import STAND_INS, procedural
from clearsight.data.corruptions.snow import Snow

peer = pytest.importorskip("imagecorruptions", reason="the peer imagecorruptions is not installed")

PHOTOS = ("astronaut", "coffee", "chelsea")
SIZES = ((224, 224), (32, 32), (151, 97))


def photo(name, size):
    return cv2.resize(getattr(skimage.data, name)(), size[::-1], interpolation=cv2.INTER_AREA)


def difference(kind, severity, image, generator=None):
    """Return |ours - peer's| for one image."""
    generator = generator or Rng(0).at("unused").numpy()
    ours = CORRUPTIONS[kind](severity=severity, table="imagenet_c").apply(image, generator)
    return np.abs(ours.astype(int) - peer.corrupt(image, severity, kind))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("kind", "worst"),
    [("brightness", 1), ("contrast", 1), ("pixelate", 1), ("jpeg_compression", 0), ("saturate", 1)],
)
def test_types_without_chance_agree(kind, worst, severity, size):
    for name in PHOTOS:
        assert difference(kind, severity, photo(name, size)).max() <= worst


@pytest.mark.slow
def test_every_colour_agrees():
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(52, -1, 3)
    for kind in ("brightness", "saturate"):
        for severity in range(1, 6):
            assert difference(kind, severity, cube).max() <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_fog_agrees_for_equal_words(monkeypatch, severity, size):
    image = photo("coffee", size)
    stream = Rng(1).at("fog", severity)
    side = 1 << (max(size) - 1).bit_length()
    drawn = words(stream.numpy(), side * side - 1).astype(np.float64)

    def uniform(low, high, shape):
        nonlocal drawn
        count = int(np.prod(shape))
        now, drawn = drawn[:count], drawn[count:]
        return low + (high - low) * now.reshape(shape) / 65535

    monkeypatch.setattr(np.random, "uniform", uniform)
    assert difference("fog", severity, image, stream.numpy()).max() <= 1
    assert drawn.size == 0


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_snow_agrees_for_an_equal_field(monkeypatch, severity, size):
    image = photo("astronaut", size)
    stream = Rng(2).at("snow", severity)
    fall = Snow.FALL["imagenet_c"][severity - 1]
    rows, columns = (int(np.ceil(length / fall.enlarge)) for length in size)
    generator = stream.numpy()
    noise = normal(generator, rows * columns).reshape(rows, columns)
    angle = generator.uniform(-135, -45)

    def field(size, loc, scale):
        # The peer draws a number a pixel and uses those in the middle.
        whole = np.zeros(size)
        top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
        whole[top : top + rows, left : left + columns] = loc + scale * noise
        return whole

    def trimmed(layer, factor, enlarge=peer.corruptions.clipped_zoom):
        # The peer blurs a layer that is a few pixels too large; the published script trims both sides before.
        large = enlarge(layer, factor)
        top, left = ((have - want) // 2 for have, want in zip(large.shape, size, strict=False))
        return large[top : top + size[0], left : left + size[1]]

    monkeypatch.setattr(np.random, "normal", field)
    monkeypatch.setattr(np.random, "uniform", lambda low, high: angle)
    monkeypatch.setattr(peer.corruptions, "clipped_zoom", trimmed)
    assert difference("snow", severity, image, stream.numpy()).max() <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_spatter_agrees_for_an_equal_field(monkeypatch, severity, size):
    image = photo("chelsea", size)
    stream = Rng(3).at("spatter", severity)
    noise = normal(stream.numpy(), size[0] * size[1]).reshape(size)
    monkeypatch.setattr(np.random, "normal", lambda size, loc, scale: loc + scale * noise)
    off = difference("spatter", severity, image, stream.numpy())
    # Canny's outlines depend on single grey levels, so that a drop may be shaded a little otherwise.
    assert np.mean(off > 2) < 0.02
    assert off.mean() < 0.5


SCALES = {"imagenet_c": (224, 1.0), "cifar_c": (32, 0.2), "tiny_imagenet_c": (64, 0.3)}
"""Side of the images and scale of the textures in the published scripts."""


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("table", sorted(SCALES))
def test_frost_has_the_statistics_of_the_published_scripts(table, severity):
    """Level, contrast and coarseness of what is added, over many cuts of the five photographs."""
    side, _ = SCALES[table]
    image = photo("coffee", (side, side))
    frost = CORRUPTIONS.parse(
        {"kind": "frost", "severity": severity, "table": table, "textures": "imagenet_c"}
    )
    generator = Rng(7).at(table, severity).numpy()
    made: dict[str, list[np.ndarray]] = {"ours": [], "published": []}
    for number in range(60):
        made["ours"].append(frost(image, Rng(number)).astype(float) - image)
        made["published"].append(_published_frost(image, severity, table, generator) - image)

    def figures(changes):
        rough = [np.abs(np.diff(change, axis=1)).mean() for change in changes]
        return np.array([[c.mean() for c in changes], [c.std() for c in changes], rough])

    ours, published = figures(made["ours"]), figures(made["published"])
    error = np.sqrt((ours.var(1) + published.var(1)) / ours.shape[1])
    assert (np.abs(ours.mean(1) - published.mean(1)) < 4 * error + 0.02 * np.abs(published.mean(1))).all()


def _published_frost(image, severity, table, generator):
    """The published procedure: shrink a photograph, cut anywhere, add."""
    side, scale = SCALES[table]
    keep, weight = Frost.WEIGHTS[table][severity - 1]
    texture = photograph(PHOTOGRAPHS[int(generator.integers(5))])
    shrunk = cv2.resize(texture, (0, 0), fx=scale, fy=scale) if scale < 1 else texture
    top, left = (int(generator.integers(length - side)) for length in shrunk.shape[:2])
    cut = shrunk[top : top + side, left : left + side]
    return np.clip(keep * image.astype(float) + weight * cut, 0, 255).astype(np.uint8).astype(float)


@pytest.mark.slow
def test_drawn_frost_is_as_bright_and_rough_as_the_photographs():
    drawn = [procedural(number).astype(float) for number in STAND_INS]
    taken = [photograph(name).astype(float) for name in PHOTOGRAPHS]
    colours = [np.mean([texture.mean((0, 1)) for texture in made], 0) for made in (drawn, taken)]
    np.testing.assert_allclose(colours[0], colours[1], atol=15)

    def rough(texture):
        grey = texture.mean(2)
        return (grey - cv2.GaussianBlur(grey, (0, 0), 20)).std()

    assert np.mean([rough(t) for t in drawn]) == pytest.approx(np.mean([rough(t) for t in taken]), rel=0.3)


@pytest.mark.parametrize(
    ("table", "row"),
    # The weakest severity of CIFAR-C and Tiny-ImageNet-C has no field, only the affine map.
    [
        (table, row)
        for table in ("imagenet_c", "cifar_c", "tiny_imagenet_c")
        for row in range(5)
        if (table == "imagenet_c") or row > 0
    ],
)
def test_elastic_field_has_the_published_statistics(table, row):
    """Spread and correlation of the displacements against filtered white noise, over many draws."""
    side = 64
    _, sigma, _ = (side * share for share in ElasticTransform.BEND[table][row])
    generator = Rng(4).at(table, row).numpy()
    draws = 160
    ours = np.concatenate([smooth_field(side, side, sigma, generator) for _ in range(draws // 2)])
    white = generator.uniform(-1, 1, (draws, side, side))
    filtered = gaussian_filter(white, (0, sigma, sigma), mode="reflect", truncate=3)
    spread = [np.sqrt((field**2).mean()) for field in (ours, filtered)]
    # The mean square of a field with few degrees of freedom varies: 160 draws leave some 6 %.
    tolerance = 0.03 if sigma < 5 else 0.25
    assert spread[0] == pytest.approx(spread[1], rel=tolerance)
    step = max(1, round(sigma))
    if step < side // 4:
        near = [np.mean(f[:, :, step:] * f[:, :, :-step]) / np.mean(f**2) for f in (ours, filtered)]
        assert near[0] == pytest.approx(near[1], abs=0.05)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("table", "side"), [("imagenet_c", 96), ("cifar_c", 32), ("tiny_imagenet_c", 64)])
def test_elastic_bends_as_far_as_the_published_procedure(table, side, severity):
    """The published procedure, written out with scipy: the mean change of a photograph must be equal."""
    image = photo("coffee", (side, side))
    generator = Rng(5).at(severity).numpy()
    changes: dict[str, list[float]] = {"ours": [], "published": []}
    for number in range(40):
        ours = ElasticTransform(severity=severity, table=table)(image, Rng(number))
        changes["ours"].append(np.abs(ours.astype(float) - image).mean())
        changes["published"].append(
            np.abs(_published_elastic(image, table, severity, generator) - image).mean()
        )
    ours, published = np.array(changes["ours"]), np.array(changes["published"])
    error = np.sqrt(ours.var() / ours.size + published.var() / published.size)
    assert abs(ours.mean() - published.mean()) < 4 * error


def _published_elastic(image, table, severity, generator):
    side = image.shape[0]
    scale = 244 / 224 * side if table == "imagenet_c" else side
    factor, sigma, reach = (scale * share for share in ElasticTransform.BEND[table][severity - 1])
    middle, arm = np.array([side, side], np.float32) // 2, side // 3
    corners = [middle + arm, [middle[0] + arm, middle[1] - arm], middle - arm]
    points = np.array(corners, np.float32)
    moved = points + generator.uniform(-reach, reach, points.shape).astype(np.float32)
    bent = cv2.warpAffine(
        image.astype(np.float32),
        cv2.getAffineTransform(points, moved),
        (side, side),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    shift = [
        factor * gaussian_filter(generator.uniform(-1, 1, (side, side)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    ]
    down, across = np.mgrid[:side, :side]
    places = [down + shift[1], across + shift[0]]
    channels = [map_coordinates(bent[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.floor(np.clip(np.stack(channels, -1), 0, 255))
