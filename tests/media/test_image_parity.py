#!/usr/bin/env python3
"""Generated images through our decoders and resizing, and through Pillow as transformers uses it.

    test_image_parity.py [--images N] [--seed S] [--transformers]

N images (76 in the suite; 300 for the whole matrix, with sizes up to 8000 x 6000) of all formats
and kinds of pixels. Soft tokens must be equal and, against Pillow, pixels too, where pillow_rgb
does not say otherwise. --transformers compares with its Gemma4ImageProcessor as well (torchvision
resizes: 2 levels in 2 % of the values may differ, which noise comes near), where that is installed.
"""
import argparse
import collections
import io
import math
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    from PIL import Image, ImageChops, ImageOps
except ImportError:
    print("skipped: no Pillow here; tools/setup --tests installs it")
    sys.exit(77)

Image.MAX_IMAGE_PIXELS = None
BUDGETS = (70, 140, 280, 560, 1120)
PROGRAM = pathlib.Path(os.environ["GEMMAD_BUILD_DIR"]) / "tests/media/image_patches"


def content(rng, mode, width, height):
    """Noise, enlarged: edges and gradients, and single pixels where the image is small."""
    small = (min(width, rng.choice((8, 64, 400))), min(height, rng.choice((8, 64, 400))))
    bands = {"1": 1, "L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    made = [Image.frombytes("L", small, rng.randbytes(small[0] * small[1])) for _ in range(bands)]
    made = [band.resize((width, height), rng.choice((Image.NEAREST, Image.BICUBIC))) for band in made]
    if mode == "P":
        image = Image.frombytes("P", (width, height), made[0].tobytes())
        image.putpalette(rng.randbytes(768))
        return image
    if mode == "1":
        return made[0].convert("1")
    return made[0] if bands == 1 else Image.merge(mode, made)


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def raw_png(depth, colour_type, interlaced=False):
    """PNGs of noise, of kinds that Pillow cannot write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def make(rng, width, height):
        bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
        data = b""
        for left, top, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
            columns, rows = (width - left + dx - 1) // dx, (height - top + dy - 1) // dy
            if columns <= 0 or rows <= 0:
                continue
            row = rng.randbytes((columns * bits + 7) // 8)
            turns = (2 * y % len(row) for y in range(rows))
            data += b"".join(b"\0" + row[turn:] + row[:turn] for turn in turns)
        header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
        chunks = [chunk(b"IHDR", header)]
        if colour_type == 3:
            chunks.append(chunk(b"PLTE", rng.randbytes(3 << depth)))
        chunks += [chunk(b"IDAT", zlib.compress(data, 1)), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    return make


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(rng):
    tags = Image.Exif()
    tags[0x112] = rng.randint(1, 8)
    return tags.tobytes()


def jpeg(mode, **options):
    def make(rng, width, height):
        quality = rng.choice((30, 75, 90, 100))
        return saved(content(rng, mode, width, height), "JPEG", quality=quality, **options)
    return make


def jpeg_turned(rng, width, height):
    return saved(content(rng, "RGB", width, height), "JPEG", exif=exif(rng), quality=85)


def png(mode, transparency=None, turned=False):
    def make(rng, width, height):
        options = {"exif": exif(rng)} if turned else {}
        if transparency:
            options["transparency"] = transparency(rng)
        return saved(content(rng, mode, width, height), "PNG", compress_level=1, **options)
    return make


def webp(mode, turned=False, **options):
    def make(rng, width, height):
        more = {"exif": exif(rng)} if turned else {}
        image = content(rng, mode, width, height)
        return saved(image, "WEBP", method=0, quality=rng.choice((40, 90)), **options, **more)
    return make


def webp_animated(rng, width, height):
    frames = [content(rng, "RGBA", width, height) for _ in range(2)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], method=0)


def gif(mode, **options):
    def make(rng, width, height):
        return saved(content(rng, mode, width, height), "GIF", **options)
    return make


def gif_small_frame(rng, width, height):
    """A frame that fills part of a larger canvas."""
    data = bytearray(saved(content(rng, "P", width, height), "GIF", transparency=rng.choice((None, 3)) or 7))
    struct.pack_into("<HH", data, 6, width + rng.randint(0, 9), height + rng.randint(0, 9))
    return bytes(data)


KINDS = {
    "jpeg 4:2:0": jpeg("RGB", subsampling=2),
    "jpeg 4:2:2": jpeg("RGB", subsampling=1),
    "jpeg 4:4:4": jpeg("RGB", subsampling=0),
    "jpeg progressive": jpeg("RGB", progressive=True),
    "jpeg gray": jpeg("L"),
    "jpeg CMYK": jpeg("CMYK"),
    "jpeg EXIF": jpeg_turned,
    "png RGB": png("RGB"),
    "png RGBA": png("RGBA"),
    "png gray": png("L"),
    "png gray alpha": png("LA"),
    "png 1 bit": png("1"),
    "png palette": png("P"),
    "png palette alpha": png("P", transparency=lambda rng: rng.randbytes(256)),
    "png palette transparent": png("P", transparency=lambda rng: rng.randint(0, 255)),
    "png RGB transparent": png("RGB", transparency=lambda rng: (5, 5, 5)),
    "png EXIF": png("RGB", turned=True),
    "png 16-bit gray": raw_png(16, 0),
    "png 16-bit RGB": raw_png(16, 2),
    "png 16-bit gray alpha": raw_png(16, 4),
    "png 16-bit RGBA": raw_png(16, 6),
    "png 2-bit gray": raw_png(2, 0),
    "png 4-bit gray": raw_png(4, 0),
    "png 4-bit palette": raw_png(4, 3),
    "png interlaced": raw_png(8, 2, True),
    "png interlaced RGBA": raw_png(8, 6, True),
    "png interlaced 1 bit": raw_png(1, 0, True),
    "webp": webp("RGB"),
    "webp alpha": webp("RGBA"),
    "webp lossless": webp("RGB", lossless=True),
    "webp lossless alpha": webp("RGBA", lossless=True, exact=True),
    "webp EXIF": webp("RGB", turned=True),
    "webp animated": webp_animated,
    "gif": gif("P"),
    "gif gray": gif("L"),
    "gif interlaced": gif("P", interlace=1),
    "gif transparent": gif("P", transparency=9),
    "gif small frame": gif_small_frame,
}


def size_of(rng, i, kind, large):
    shape = i % 7
    if shape == 0:
        size = rng.choice(((1, 1), (1, 2), (2, 1), (3, 5), (48, 48), (7, 1)))
    elif shape == 1:
        size = (rng.randint(1, 5), rng.randint(200, 5000))
        size = rng.choice((size, size[::-1]))
    elif shape == 2 and large:
        size = rng.choice(((4000, 3000), (8000, 6000), (3000, 4000), (6000, 3376), (5000, 800)))
    else:
        size = (rng.randint(1, 1500 if large else 700), rng.randint(1, 1500 if large else 700))
    most = 2000 if kind.startswith("webp") and "lossless" in kind or kind == "webp animated" else 8000
    return tuple(min(side, most) for side in size)


def target(width, height, budget):
    """Gemma 4's size rule: the resized image, or None where it raises."""
    pixels = budget * 9 * 256
    factor = math.sqrt(pixels / (height * width))
    h, w = (math.floor(factor * side / 48) * 48 for side in (height, width))
    if h == 0 and w == 0:
        return None
    if h == 0:
        h, w = 48, min(width // height * 48, budget * 48)
    elif w == 0:
        w, h = 48, min(height // width * 48, budget * 48)
    return (w, h) if 0 < h * w <= pixels else None


def pillow_rgb(data):
    """As transformers: load_image's turning, convert_to_rgb's white. 16-bit gray keeps its high
    bytes (Pillow clamps at 255: all but the darkest become white)."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode == "I;16":
        return Image.frombytes("L", image.size, image.tobytes()[1::2]).convert("RGB")
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image).convert("RGB")
    return image.convert("RGB")


def resized(rgb, width, height):
    """Rows first, as torchvision does; Pillow 13 chooses the order by the shape."""
    return rgb.resize((width, rgb.height), Image.BICUBIC).resize((width, height), Image.BICUBIC)


def uncut(patches, width, height):
    """The image that patches were cut from."""
    columns = width // 16
    rows = []
    for y in range(height):
        first = (y // 16) * columns * 768 + y % 16 * 48
        rows += (patches[first + x * 768 : first + x * 768 + 48] for x in range(columns))
    return Image.frombytes("RGB", (width, height), b"".join(rows))


def differences(ours, theirs):
    """(values that differ, values, largest difference)"""
    histogram = ImageChops.difference(ours, theirs).histogram()
    levels = [sum(histogram[level + band * 256] for band in range(3)) for level in range(256)]
    return sum(levels[1:]), sum(levels), max(level for level in range(256) if levels[level])


class Transformers:
    def __init__(self):
        from transformers.models.gemma4.image_processing_gemma4 import Gemma4ImageProcessor
        self.processor = Gemma4ImageProcessor()

    def soft_tokens(self, rgb, budget):
        got = self.processor(rgb, max_soft_tokens=budget, return_tensors="pt")
        n = int(got["num_soft_tokens_per_image"][0])
        grid = got["image_position_ids"][0][: n * 9].max(0).values + 1
        values = (got["pixel_values"][0][: n * 9] * 255).round().byte().numpy().tobytes()
        return n, uncut(values, int(grid[0]) * 16, int(grid[1]) * 16)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=76)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transformers", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    reference = Transformers() if args.transformers else None
    table = collections.defaultdict(lambda: [0, 0, 0, 0, 0, 0, 0])
    n_wrong = n_refused = 0
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        file, out = pathlib.Path(folder) / "image", pathlib.Path(folder) / "patches"
        for i in range(args.images):
            kind = list(KINDS)[i % len(KINDS)]
            width, height = size_of(rng, i // len(KINDS) + i, kind, args.images > 100)
            budget = rng.choice(BUDGETS)
            data = KINDS[kind](rng, width, height)
            file.write_bytes(data)
            program.stdin.write(f"{budget} {file} {out}\n")
            program.stdin.flush()
            answer = program.stdout.readline().split()
            rgb = pillow_rgb(data)
            size = target(*rgb.size, budget)
            name = f"{kind} {width}x{height} budget {budget}"
            if size is None or answer[:1] != ["ok"]:
                n_refused += 1
                if size is not None or answer[:1] != ["error"]:
                    n_wrong += 1
                    print(f"WRONG {name}: want {size}, got {' '.join(answer)}")
                continue
            n_tokens = size[0] * size[1] // 48**2
            if [int(value) for value in answer[1:4]] != [*size, n_tokens]:
                n_wrong += 1
                print(f"WRONG {name}: want {size}, {n_tokens} tokens, got {' '.join(answer)}")
                continue
            ours = uncut(out.read_bytes(), *size)
            row = table[kind]
            differ, values, largest = differences(ours, resized(rgb, *size))
            row[0] += 1
            row[1] += values
            row[2] += differ
            row[3] = max(row[3], largest)
            if differ:
                n_wrong += 1
                print(f"WRONG {name}: {differ} of {values} values differ from Pillow's, by up to {largest}")
            if reference:
                n, theirs = reference.soft_tokens(rgb, budget)
                differ, values, largest = differences(ours, theirs)
                row[4] += n != n_tokens
                row[5] += differ
                row[6] = max(row[6], largest)
                if n != n_tokens or largest > 2 or differ > values / 50:
                    n_wrong += 1
                    print(f"WRONG {name}: {n} tokens; {differ} of {values} values differ, by up to {largest}")
    for kind, row in table.items():
        print(f"{kind:26} images {row[0]:3}  values {row[1]:10}  from Pillow {row[2]}, max {row[3]}"
              + (f"  torchvision: tokens {row[4]}, {100 * row[5] / row[1]:.3f} %, max {row[6]}" if reference else ""))
    print(f"{args.images} images, {n_refused} of them refused")
    print(f"{args.images - n_wrong} passed, {n_wrong} failed")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
