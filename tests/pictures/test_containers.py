"""One picture, one set of values: whatever holds its pixels, and whatever else the file holds."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tff_core.pictures import containers, data, reading

rng = np.random.default_rng(7)
RGB = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ALPHA = rng.integers(0, 255, (30, 40), dtype=np.uint8)
RGBA = np.dstack([RGB, ALPHA])
INKS = rng.integers(0, 256, (30, 40, 4), dtype=np.uint8)
BITS = GRAY > 127
GRAYS = np.repeat(GRAY[..., None], 3, axis=2)
DEEP = rng.integers(0, 65536, (30, 40, 3), dtype=np.uint16)  # any values of 16 bits
BLACK_WHITE = np.repeat(np.where(BITS, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
DEEP_GRAYS = np.repeat((DEEP[..., :1] >> 8).astype(np.uint8), 3, axis=2)


def tiff(
    pixels: np.ndarray, kind: int, *, order: str = "<", planar: bool = False, big: bool = False, **tags: int
) -> bytes:
    """An uncompressed TIFF file of one strip; pixels (H, W) or (H, W, C), tags by number as ``t274=6``."""
    pixels = np.atleast_3d(pixels)
    height, width, n = pixels.shape
    bits = pixels.dtype.itemsize * 8
    stored = pixels.transpose(2, 0, 1) if planar else pixels
    raw = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    word, entry, count, pointer = ("Q", "HHQ8s", "Q", 8) if big else ("I", "HHI4s", "H", 4)
    begin = 16 if big else 8
    planes = n if planar else 1
    size = len(raw) // planes
    values: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("H", (width,)), 257: ("H", (height,)), 258: ("H", (bits,) * n), 259: ("H", (1,)),
        262: ("H", (kind,)), 273: (word, tuple(begin + i * size for i in range(planes))), 277: ("H", (n,)),
        278: ("H", (height,)), 279: (word, (size,) * planes), 284: ("H", (1 + planar,)),
        **{int(tag[1:]): ("H", (value,)) for tag, value in tags.items()},
    }  # fmt: skip
    table, behind = b"", b""
    at = begin + len(raw)
    end = at + struct.calcsize(order + count) + len(values) * struct.calcsize(order + entry) + pointer
    for tag, (letter, numbers) in sorted(values.items()):
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > pointer:
            value, behind = struct.pack(order + word, end + len(behind)), behind + packed
        else:
            value = packed.ljust(pointer, b"\0")
        table += struct.pack(order + entry, tag, {"H": 3, "I": 4, "Q": 16}[letter], len(numbers), value)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, at) if big else struct.pack(order + "I", at)
    next_page = struct.pack(order + word, 0)
    return head + raw + struct.pack(order + count, len(values)) + table + next_page + behind


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + crc.to_bytes(4, "big")


def png16(pixels: np.ndarray) -> bytes:
    """A PNG file of 16 bits: gray, gray with alpha, RGB, RGBA."""
    pixels = np.atleast_3d(pixels)
    height, width, n = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[n], 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def saved(pixels: np.ndarray | Image.Image, kind: str, mode: str | None = None, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if mode and image.mode != mode:
        image = Image.frombytes(mode, image.size, image.tobytes())
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def netpbm(kind: str, pixels: np.ndarray, white: int) -> bytes:
    height, width = pixels.shape[:2]
    head = f"{kind} # a comment\n{width} {height}\n# another\n{white}\n".encode()
    if kind in ("P2", "P3"):
        return head + b"\n".join(b" ".join(b"%d" % v for v in row.ravel()) for row in pixels)
    return head + pixels.astype(">u2" if white > 255 else np.uint8).tobytes()


def palette(**options: object) -> tuple[Image.Image, np.ndarray]:
    image = Image.fromarray(RGB).quantize(16)
    return image, np.asarray(image.convert("RGB"))


PALETTE, PALETTE_RGB = palette()
CMYK = Image.frombytes("CMYK", (40, 30), INKS.tobytes())
PREMULTIPLIED = np.dstack([np.where(BITS[..., None], RGB, 0), 255 * BITS]).astype(np.uint8)

# what a container holds, and the picture that it is
SAME: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "png": (lambda: saved(RGB, "PNG"), RGB),
    "png optimized": (lambda: saved(RGB, "PNG", optimize=True), RGB),
    "bmp": (lambda: saved(RGB, "BMP"), RGB),
    "ppm": (lambda: saved(RGB, "PPM"), RGB),
    "ppm plain": (lambda: netpbm("P3", RGB, 255), RGB),
    "webp": (lambda: saved(RGB, "WEBP", lossless=True), RGB),
    "tiff": (lambda: saved(RGB, "TIFF"), RGB),
    **{
        f"tiff {name}": (lambda name=name: saved(RGB, "TIFF", compression=name), RGB)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma")
    },
    "tiff big-endian": (lambda: tiff(RGB, 2, order=">"), RGB),
    "tiff planar": (lambda: tiff(RGB, 2, planar=True), RGB),
    "tiff planar big-endian": (lambda: tiff(RGB, 2, planar=True, order=">"), RGB),
    "bigtiff": (lambda: tiff(RGB, 2, big=True), RGB),
    "bigtiff big-endian": (lambda: tiff(RGB, 2, big=True, order=">"), RGB),
    **{f"tiff turned {i}": (lambda i=i: tiff(RGB, 2, t274=i), RGB) for i in range(1, 9)},
    **{f"bigtiff turned {i}": (lambda i=i: tiff(RGB, 2, big=True, order=">", t274=i), RGB) for i in (3, 6)},
    **{
        f"{kind} turned {i}": (lambda kind=kind, o=o, i=i: saved(RGB, kind, exif=turned(i), **o), RGB)
        for kind, o in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"}))
        for i in (3, 6)
    },
    "alpha png": (lambda: saved(RGBA, "PNG"), RGB),
    "alpha tiff": (lambda: saved(RGBA, "TIFF"), RGB),
    "alpha tiff planar": (lambda: tiff(RGBA, 2, planar=True, t338=2), RGB),
    "alpha webp": (lambda: saved(RGBA, "WEBP", lossless=True, exact=True), RGB),
    "alpha bmp": (lambda: saved(RGBA, "BMP"), RGB),
    "a fourth channel that is no alpha": (lambda: tiff(RGBA, 2, t338=0), RGB),
    "premultiplied alpha": (
        lambda: tiff(PREMULTIPLIED, 2, t338=1),
        PREMULTIPLIED[..., :3],
    ),
    "gray png": (lambda: saved(GRAY, "PNG"), GRAYS),
    "gray alpha png": (lambda: saved(Image.fromarray(np.dstack([GRAY, ALPHA]), "LA"), "PNG"), GRAYS),
    "gray alpha tiff": (lambda: tiff(np.dstack([GRAY, ALPHA]), 1, t338=2), GRAYS),
    "gray bmp": (lambda: saved(GRAY, "BMP"), GRAYS),
    "gray pgm": (lambda: saved(GRAY, "PPM"), GRAYS),
    "gray gif": (lambda: saved(GRAY, "GIF"), GRAYS),
    "gray tiff": (lambda: tiff(GRAY, 1), GRAYS),
    "gray tiff from white": (lambda: tiff(255 - GRAY, 0), GRAYS),
    "gray tiff from white, big-endian": (lambda: tiff(255 - GRAY, 0, order=">"), GRAYS),
    "gray tiff from white, turned": (lambda: tiff(255 - GRAY, 0, t274=6), GRAYS),
    "gray tiff as RGB": (lambda: tiff(GRAYS, 2), GRAYS),
    "gray webp": (lambda: saved(GRAYS, "WEBP", lossless=True), GRAYS),
    **{
        f"gray 16 {name}, {way}": (lambda make=make, f=f: make(GRAY.astype(np.uint16) * f), GRAYS)
        for way, f in (("times 257", 257), ("times 256", 256))
        for name, make in {
            "png": png16,
            "png as RGB": lambda x: png16(np.dstack([x] * 3)),
            "png alpha": lambda x: png16(np.dstack([x, x])),
            "png RGBA": lambda x: png16(np.dstack([x] * 4)),
            "tiff": lambda x: tiff(x, 1),
            "tiff big-endian": lambda x: tiff(x, 1, order=">"),
            "tiff lzw": lambda x: saved(x, "TIFF", compression="tiff_lzw"),
            "tiff as RGB": lambda x: tiff(np.dstack([x] * 3), 2),
            "tiff as RGB, big-endian": lambda x: tiff(np.dstack([x] * 3), 2, order=">"),
            "tiff as RGB, planar": lambda x: tiff(np.dstack([x] * 3), 2, planar=True),
            "tiff as RGB, planar, big-endian": lambda x: tiff(
                np.dstack([x] * 3), 2, planar=True, order=">"
            ),
            "tiff as RGBA": lambda x: tiff(np.dstack([x] * 4), 2, t338=2),
            "pgm": lambda x: netpbm("P5", x, 65535),
            "pgm plain": lambda x: netpbm("P2", x, 65535),
            "ppm": lambda x: netpbm("P6", np.dstack([x] * 3), 65535),
            "ppm plain": lambda x: netpbm("P3", np.dstack([x] * 3), 65535),
        }.items()
    },
    **{
        f"any gray of 16 bits: {name}": (make, DEEP_GRAYS)
        for name, make in {
            "png": lambda: png16(DEEP[..., 0]),
            "png as RGB": lambda: png16(np.dstack([DEEP[..., 0]] * 3)),
            "tiff": lambda: tiff(DEEP[..., 0], 1),
            "tiff big-endian": lambda: tiff(DEEP[..., 0], 1, order=">"),
            "tiff from white": lambda: tiff(65535 - DEEP[..., 0], 0),
            "tiff from white, big-endian": lambda: tiff(65535 - DEEP[..., 0], 0, order=">"),
            "tiff as RGB": lambda: tiff(np.dstack([DEEP[..., 0]] * 3), 2, order=">"),
            "tiff planar": lambda: tiff(np.dstack([DEEP[..., 0]] * 3), 2, planar=True),
            "pgm": lambda: netpbm("P5", DEEP[..., 0], 65535),
            "ppm": lambda: netpbm("P6", np.dstack([DEEP[..., 0]] * 3), 65535),
        }.items()
    },
    "colours of 16 bits: png": (lambda: png16(DEEP), (DEEP >> 8).astype(np.uint8)),
    "colours of 16 bits: tiff": (lambda: tiff(DEEP, 2), (DEEP >> 8).astype(np.uint8)),
    "colours of 16 bits: tiff, planar": (lambda: tiff(DEEP, 2, planar=True), (DEEP >> 8).astype(np.uint8)),
    "colours of 16 bits: ppm": (lambda: netpbm("P6", DEEP, 65535), (DEEP >> 8).astype(np.uint8)),
    "gray of 12 bits: pgm": (lambda: netpbm("P5", GRAY.astype(np.uint16) * 16 + 15, 4095), GRAYS),
    "one bit png": (lambda: saved(Image.fromarray(BITS), "PNG"), BLACK_WHITE),
    "one bit tiff": (lambda: saved(Image.fromarray(BITS), "TIFF"), BLACK_WHITE),
    "one bit tiff, fax": (
        lambda: saved(Image.fromarray(BITS), "TIFF", compression="group4"),
        BLACK_WHITE,
    ),
    "one bit tiff from white": (
        lambda: saved(Image.fromarray(BITS), "TIFF", tiffinfo={262: 0}),
        BLACK_WHITE,
    ),
    "one bit bmp": (lambda: saved(Image.fromarray(BITS), "BMP"), BLACK_WHITE),
    "one bit pbm": (lambda: saved(Image.fromarray(BITS), "PPM"), BLACK_WHITE),
    "palette png": (lambda: saved(PALETTE, "PNG"), PALETTE_RGB),
    "palette png, one entry clear": (lambda: saved(PALETTE, "PNG", transparency=3), PALETTE_RGB),
    "palette png, entries half clear": (
        lambda: saved(PALETTE, "PNG", transparency=bytes(range(16))),
        PALETTE_RGB,
    ),
    "palette tiff": (lambda: saved(PALETTE, "TIFF"), PALETTE_RGB),
    "palette bmp": (lambda: saved(PALETTE, "BMP"), PALETTE_RGB),
    "palette gif": (lambda: saved(PALETTE, "GIF"), PALETTE_RGB),
    "palette gif, one entry clear": (lambda: saved(PALETTE, "GIF", transparency=3), PALETTE_RGB),
    "cmyk tiff": (lambda: saved(CMYK, "TIFF"), np.asarray(CMYK.convert("RGB"))),
    "cmyk tiff lzw": (lambda: saved(CMYK, "TIFF", compression="tiff_lzw"), np.asarray(CMYK.convert("RGB"))),
    "animated png": (
        lambda: saved(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        RGB,
    ),
    "animated webp": (
        lambda: saved(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)], lossless=True),
        RGB,
    ),
    "animated gif": (
        lambda: saved(GRAY, "GIF", save_all=True, append_images=[Image.fromarray(255 - GRAY)]),
        GRAYS,
    ),
}  # fmt: skip


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("name", list(SAME))
def test_a_picture_has_the_same_values_whatever_holds_it(tmp_path: Path, name: str) -> None:
    make, expected = SAME[name]
    path = tmp_path / "x.png"
    path.write_bytes(make())
    found = data.read(path).permute(1, 2, 0).numpy()
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    assert reading.size(path) == (40, 30)


def jpeg(kind: str = "RGB", **options: object) -> bytes:
    image = {"RGB": Image.fromarray(RGB), "L": Image.fromarray(GRAY), "CMYK": CMYK}[kind]
    return saved(image, "JPEG", quality=90, **options)


def without_adobe(content: bytes) -> bytes:
    at = content.index(b"\xff\xee")
    return content[:at] + content[at + 2 + int.from_bytes(content[at + 2 : at + 4], "big") :]


def pages(n: int, **options: object) -> bytes:
    more = [Image.fromarray(RGB) for _ in range(n - 1)]
    return saved(RGB, "TIFF", save_all=True, append_images=more, **options)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "float.tif": (lambda: saved(GRAY.astype(np.float32), "TIFF"), "floating-point values, whose"),
    "float, from white.tif": (lambda: tiff(GRAY.astype(np.float32), 0, t339=3), "floating-point"),
    "colours in floats.tif": (lambda: tiff(RGB.astype(np.float32), 2, t339=3), "floating-point"),
    "float.pfm": (lambda: saved(GRAY.astype(np.float32), "PPM"), "floating-point"),
    "signed 8.tif": (lambda: tiff(GRAY, 1, t339=2), "signed values"),
    "signed 16.tif": (lambda: tiff(GRAY.astype(np.uint16), 1, t339=2), "signed values"),
    "32.tif": (lambda: tiff(GRAY.astype(np.uint32), 1), "32 bits, whose black and white"),
    "32 from pillow.tif": (lambda: saved(Image.fromarray(GRAY.astype(np.int32)), "TIFF"), "signed|32 bits"),
    "lab.tif": (lambda: tiff(RGB, 8), r"CIE L\*a\*b\*; convert it to RGB"),
    "icc lab.tif": (lambda: tiff(RGB, 9), r"ICC L\*a\*b\*"),
    "raw from a sensor.tif": (lambda: tiff(GRAY, 32803), "colour filter array"),
    "pages.tif": (lambda: pages(2), "2 pages: which one is meant is not said"),
    "many pages, packed.tif": (lambda: pages(5, compression="tiff_lzw"), "5 pages"),
    "inks either way.jpg": (lambda: without_adobe(jpeg("CMYK")), "CMYK without Adobe's marker"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_can_be_taken_for_several_pictures_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make, why = REFUSED[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(data.PictureError, match=rf"{name} cannot be read as a picture \(.*({why})"):
        data.read(tmp_path / name)


def test_a_smaller_copy_beside_the_picture_is_no_second_page(tmp_path: Path) -> None:
    small = Image.fromarray(RGB[::4, ::4])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "TIFF", save_all=True, append_images=[small])
    (tmp_path / "x.tif").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(data.read(tmp_path / "x.tif").permute(1, 2, 0).numpy(), RGB)


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_file_is_never_turned(tmp_path: Path, kind: str, orientation: int) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(kind, exif=turned(orientation), comment="c" * 900, icc_profile=b"icc" * 900))
    with Image.open(io.BytesIO(jpeg(kind))) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(data.read(path).permute(1, 2, 0).numpy(), expected)
    assert reading.size(path) == (40, 30)


# ------------------------------------------------------------------------------------------------- metadata

LONG = b"workflow " * 250_000  # 2.2 MB


def png_with(*chunks: bytes, behind: bool = False, content: bytes | None = None) -> bytes:
    content = content or saved(RGB, "PNG")
    at = len(content) - 12 if behind else 33  # before the end, or behind the header
    return content[:at] + b"".join(chunks) + content[at:]


def jpeg_with(*segments: tuple[int, bytes], behind: bool = False) -> bytes:
    content = jpeg()
    more = b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in segments
    )
    at = len(content) - 2 if behind else 2
    return content[:at] + more + content[at:]


def tiff_with(tag: int, body: bytes, kind: int = 7) -> bytes:
    """One more entry, whose value lies at the end."""
    content = bytearray(tiff(RGB, 2))
    at = int.from_bytes(content[4:8], "little")
    n = int.from_bytes(content[at : at + 2], "little")
    entries = [bytes(content[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(n)]
    where = len(content) + 2 + 12 * (n + 1) + 4
    entries.append(struct.pack("<HHII", tag, kind, len(body), where))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    content[4:8] = len(content).to_bytes(4, "little")
    return bytes(content) + struct.pack("<H", n + 1) + b"".join(entries) + bytes(4) + body


def webp_with(kind: bytes, body: bytes) -> bytes:
    content = saved(RGB, "WEBP", lossless=True, exif=b"Exif\0\0" + b"x" * 10)
    content += kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]


METADATA: dict[str, tuple[Callable[[], bytes], Callable[[], bytes], set[str]]] = {
    **{
        f"png, {name}, {'behind' if behind else 'before'} the pixels": (
            lambda chunks=chunks, behind=behind: png_with(*chunks, behind=behind),
            lambda: saved(RGB, "PNG"),
            fields,
        )
        for behind in (False, True)
        for name, chunks, fields in (
            ("2 MB of packed text", [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LONG))], {"workflow"}),
            ("2 MB of packed international text",
             [chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG))], {"workflow"}),
            ("2 MB of text", [chunk(b"tEXt", b"prompt\0" + LONG)], {"prompt"}),
            ("2 MB of international text", [chunk(b"iTXt", b"prompt\0\0\0\0\0" + LONG)], {"prompt"}),
            ("text that is not packed", [chunk(b"zTXt", b"a\0\0not zlib")], {"a"}),
            ("text packed in an unknown way", [chunk(b"zTXt", b"a\0\7abc")], {"a"}),
            ("text without a keyword", [chunk(b"tEXt", b"\xff\xfe")], {"\xff\xfe"}),
            ("a thousand texts", [chunk(b"tEXt", b"k%d\0v" % i) for i in range(1000)],
             {f"k{i}" for i in range(1000)}),
            ("70 MB of packed text",
             [chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(900_000))) for i in range(80)],
             {f"k{i}" for i in range(80)}),
            ("a broken profile", [chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))], {"ICC"}),
            ("a profile that is not packed", [chunk(b"iCCP", b"x\0\0abc")], {"ICC"}),
            ("a huge profile", [chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 21)))], {"ICC"}),
            ("an empty profile", [chunk(b"iCCP", b"")], {"ICC"}),
            ("broken EXIF", [chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")], {"EXIF"}),
            ("empty EXIF", [chunk(b"eXIf", b"")], {"EXIF"}),
            ("a wrong checksum", [chunk(b"tEXt", b"a\0b")[:-4] + b"\0\0\0\0"], {"a"}),
            ("wrong animation", [chunk(b"acTL", b"\0")], set()),
            ("short physical size", [chunk(b"pHYs", b"\0")], {"pHYs"}),
            ("unknown chunks", [chunk(b"caBX", bytes(100_000)), chunk(b"vpAg", bytes(9))], {"caBX", "vpAg"}),
        )
    },
    "png, bytes behind the end": (
        lambda: saved(RGB, "PNG") + b"zip archive", lambda: saved(RGB, "PNG"), {"bytes behind the end"},
    ),
    **{
        f"jpeg, {name}, {'behind' if behind else 'before'} the pixels": (
            lambda segments=segments, behind=behind: jpeg_with(*segments, behind=behind), jpeg, fields,
        )
        for behind in (False, True)
        for name, segments, fields in (
            ("broken EXIF", [(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")], {"EXIF"}),
            ("empty EXIF", [(0xE1, b"Exif\0\0")], {"EXIF"}),
            ("XMP that turns", [(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')], {"XMP"}),
            ("2 MB of profile", [(0xE2, b"ICC_PROFILE\0\1\x20" + bytes(65_000))] * 32, {"ICC"}),
            ("profiles out of order", [(0xE2, b"ICC_PROFILE\0\7\2abc"), (0xE2, b"ICC_PROFILE\0")], {"ICC"}),
            ("a broken list of pictures", [(0xE2, b"MPF\0MM\0*\0\0\xff\xff")], {"APP2 MPF"}),
            ("a broken resource", [(0xED, b"Photoshop 3.0\x008BIM\4\4\xff\xff\xff\xff")],
             {"APP13 Photoshop 3.0"}),
            ("comments", [(0xFE, b"c" * 65_000)] * 20, {"comment"}),
        )
    },
    "jpeg, bytes behind the end": (lambda: jpeg() + b"more", jpeg, {"bytes behind the end"}),
    **{
        f"tiff, {name}": (
            lambda tag=tag, body=body, kind=kind: tiff_with(tag, body, kind), lambda: tiff(RGB, 2), {field},
        )
        for name, tag, body, kind, field in (
            ("2 MB of text", 270, LONG, 2, "ImageDescription"),
            ("XMP that turns", 700, b'<x tiff:Orientation="6"/>', 1, "XMP"),
            ("a broken profile", 34675, b"no profile", 7, "ICC"),
            ("EXIF that lies nowhere", 34665, b"\xff\xff\xff\x7f", 4, "EXIF"),
            ("a resolution of no kind", 282, b"abcdefgh", 2, "XResolution"),
        )
    },
    **{
        f"webp, {name}": (
            lambda kind=kind, body=body: webp_with(kind, body),
            lambda: saved(RGB, "WEBP", lossless=True),
            {field, "EXIF"},
        )
        for name, kind, body, field in (
            ("broken EXIF", b"EXIF", b"MM\0*\xff\xff\xff\xff", "EXIF"),
            ("2 MB of XMP", b"XMP ", LONG, "XMP"),
            ("an unknown chunk", b"abcd", b"odd", "abcd"),
        )
    },
    "gif, comments": (
        lambda: saved(GRAY, "GIF", comment=b"c" * 100_000), lambda: saved(GRAY, "GIF"), {"comment"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(METADATA))
def test_metadata_decide_nothing_and_are_seen_by_name_wherever_they_lie(tmp_path: Path, name: str) -> None:
    make, plain, fields = METADATA[name]
    path, bare = tmp_path / "x.png", tmp_path / "bare.png"
    path.write_bytes(make())
    bare.write_bytes(plain())
    pixels = data.read(bare)
    tracemalloc.start()
    found = data.read(path)
    names = containers.contents(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, pixels)
    assert reading.size(path) == reading.size(bare)
    # no more than some copies of the file: nothing is unpacked
    assert peak < 4 * path.stat().st_size + 1_000_000
    assert names.fields - containers.contents(bare).fields == fields
    assert names.frames == 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_frames_are_counted(tmp_path: Path, kind: str) -> None:
    more = [Image.fromarray(255 - RGB), Image.fromarray(RGB // 2)]
    (tmp_path / "x").write_bytes(saved(RGB, kind, save_all=True, append_images=more))
    assert containers.contents(tmp_path / "x").frames == 3


@pytest.mark.parametrize("n", [*range(0, 60, 7), 200, 900])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "PPM", "BMP"])
def test_half_a_file_is_unreadable_and_breaks_nothing(tmp_path: Path, kind: str, n: int) -> None:
    content = saved(RGB, kind)
    (tmp_path / "x").write_bytes(content[:n])
    containers.contents(tmp_path / "x")
    with pytest.raises(data.PictureError):
        data.read(tmp_path / "x")
    with pytest.raises(data.PictureError):
        data.read(tmp_path / "x")


# --------------------------------------------------------------------------------------------- transparency


@pytest.mark.parametrize(
    ("make", "transparent"),
    [
        (lambda: saved(RGBA, "PNG"), True),
        (lambda: saved(np.dstack([RGB, np.full_like(ALPHA, 255)]), "PNG"), False),
        (lambda: saved(RGB, "PNG"), False),
        (lambda: saved(Image.fromarray(np.dstack([GRAY, ALPHA]), "LA"), "PNG"), True),
        (lambda: saved(PALETTE, "PNG", transparency=3), True),
        (lambda: saved(PALETTE, "PNG", transparency=bytes(range(16))), True),
        (lambda: saved(PALETTE, "PNG", transparency=bytes([255] * 16)), False),
        (lambda: saved(PALETTE, "GIF", transparency=3), True),
        (lambda: saved(RGB, "PNG", transparency=tuple(int(v) for v in RGB[3, 4])), True),
        (lambda: saved(GRAY, "PNG", transparency=int(GRAY[3, 4])), True),
        (
            lambda: png_with(
                chunk(b"tRNS", DEEP[3, 4, :1].astype(">u2").tobytes()), content=png16(DEEP[..., 0])
            ),
            True,
        ),
        (lambda: png16(np.dstack([DEEP, DEEP[..., 0]])), True),
        (lambda: tiff(RGBA, 2, t338=2), True),
        (lambda: tiff(PREMULTIPLIED, 2, t338=1), True),
        (lambda: tiff(RGBA, 2, t338=0), False),
        (lambda: saved(RGBA, "WEBP", lossless=True), True),
    ],
)
def test_whether_anything_is_transparent(
    tmp_path: Path, make: Callable[[], bytes], transparent: bool
) -> None:
    (tmp_path / "x").write_bytes(make())
    found = reading.decoded(tmp_path / "x")
    assert (found.alpha is not None) == transparent
    if transparent:
        assert found.alpha.shape == found.pixels.shape[:2] and found.alpha.dtype == np.uint8
