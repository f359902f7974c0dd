"""Compares what bench.mjs has made with a reference, and prints the tables of docs/thumbnails.md.

    python3 bench/thumbnails/quality.py [SHEET.png]

The reference is the source, decoded whole and resized by Pillow's Lanczos filter without any short cut. SSIM is
scikit-image's, on RGB, with Gaussian weights. With a file name it also draws the pictures side by side.
"""

import json
import pathlib
import sys

import numpy
from PIL import Image, ImageDraw
from skimage.metrics import structural_similarity

OUT = pathlib.Path(__file__).resolve().parents[2] / "target/bench-thumbnails"


def reference(source, size):
    """The largest part of the box's shape from the middle, resized."""
    image = Image.open(source)
    image = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    width, height = image.size
    scale = max(size[0] / width, size[1] / height)
    part = size[0] / scale, size[1] / scale
    left, top = (width - part[0]) / 2, (height - part[1]) / 2
    return image.resize(size, Image.LANCZOS, (left, top, left + part[0], top + part[1]))


def on_white(image):
    """Over white where there is transparency, as bytes."""
    image = image.convert("RGBA")
    return numpy.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def similarity(image, expected):
    return structural_similarity(
        on_white(image), on_white(expected), channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def main():
    measured = json.loads((OUT / "results.json").read_text())
    groups, rows = {}, []
    for at, result in enumerate(measured["results"]):
        ours, sharps = (Image.open(OUT / f"{at}-{name}.webp") for name in ("core", "sharp"))
        expected = reference(result["file"], ours.size)
        result["ssim"] = similarity(ours, expected), similarity(sharps.resize(ours.size), expected)
        groups.setdefault(result["group"], []).append(result)
        rows.append((pathlib.Path(result["file"]).name, expected, sharps, ours))
    print("| source | ms | sharp | times | SSIM | sharp | bytes, of sharp's |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for group, results in groups.items():
        def mean(pick):
            return sum(map(pick, results)) / len(results)

        share = sum(r["bytes"]["core"] for r in results) / sum(r["bytes"]["sharp"] for r in results)
        print(
            f"| {group} ({len(results)}) | {mean(lambda r: r['core']):.1f} | {mean(lambda r: r['sharp']):.1f} "
            f"| {mean(lambda r: r['ratio']):.2f} | {mean(lambda r: r['ssim'][0]):.4f} "
            f"| {mean(lambda r: r['ssim'][1]):.4f} | {share:.3f} |"
        )
    print()
    print("| | this | sharp | times |")
    print("| --- | --- | --- | --- |")
    for kind in ("baseline", "progressive"):
        ours, sharps = measured["starts"][f"core {kind}"], measured["starts"][f"sharp {kind}"]
        for name, unit in (("millis", "cold load and first thumbnail, ms"), ("above", "peak memory above bare Node, MB")):
            ratio = sharps[name] / ours[name] if ours[name] > 0 else float("inf")
            print(f"| {unit}, 12 MP {kind} | {ours[name]:.1f} | {sharps[name]:.1f} | {ratio:.1f} |")
    sizes = measured["sizes"]
    print(f"| package, zipped, MB | {sizes['core'] / 1e6:.2f} | {sizes['sharp'] / 1e6:.2f} | {sizes['sharp'] / sizes['core']:.1f} |")
    if len(sys.argv) > 1:
        sheet(rows, sys.argv[1])


def sheet(rows, path):
    """Reference, sharp and this in three columns; some of the square ones."""
    rows = [row for row in rows if row[3].size == (300, 300)][::5]
    picture = Image.new("RGB", (3 * 310 + 10, len(rows) * 325 + 25), "white")
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(("reference", "sharp", "this")):
        draw.text((column * 310 + 10, 5), title, "black")
    for row, (name, *images) in enumerate(rows):
        draw.text((10, row * 325 + 25), name, "black")
        for column, image in enumerate(images):
            picture.paste(Image.fromarray(on_white(image)), (column * 310 + 10, row * 325 + 40))
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


main()
