import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.errors import PictureError
from indexer.images import PathMap, Picture, decode, read

MANY = 50_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def letter(kind: str, hidden: int, ink: int) -> bytes:
    """An opaque square of grey `ink` on transparent pixels that have the value `hidden`, 80 pixels wide and high."""
    grey = Image.new("L", (80, 80), 17 if kind == "key" else hidden)
    grey.paste(ink, (20, 20, 60, 60))
    if kind == "key":  # one shade that is transparent
        return encoded(grey, "PNG", transparency=17)
    if kind == "palette":
        image = Image.new("P", (80, 80), 0)
        image.putpalette([hidden] * 3 + [ink] * 3)
        image.paste(1, (20, 20, 60, 60))
        return encoded(image, "PNG", transparency=0)
    image = grey.convert("LA" if kind == "LA" else "RGBA")
    alpha = Image.new("L", (80, 80), 0)
    alpha.paste(255, (20, 20, 60, 60))
    image.putalpha(alpha)
    return encoded(image, "WEBP" if kind == "WEBP" else "PNG")


class TestPathMap:
    def test_empty_map_changes_nothing(self):
        assert PathMap.parse("")("/data/thumbs/a.jpeg") == Path("/data/thumbs/a.jpeg")

    def test_replaces_the_prefix(self):
        assert PathMap.parse("/data=/mnt/photos")("/data/thumbs/a b.jpeg") == Path("/mnt/photos/thumbs/a b.jpeg")

    @pytest.mark.parametrize("separator", [";", ",", " ; ", ";;"])
    def test_several_prefixes(self, separator):
        path_map = PathMap.parse(f"/data=/a{separator}/other=/b")
        assert path_map("/other/x") == Path("/b/x")
        assert path_map("/data/x") == Path("/a/x")

    @pytest.mark.parametrize("folder", ["/srv/photos, family", "/srv/a;b", "/srv/a,b;c"])
    @pytest.mark.parametrize("after", ["", ";", " , ", ";/other=/b", " ;/other=/x, y"])
    def test_a_separator_in_the_name_of_a_folder(self, folder, after):
        assert PathMap.parse(f"/data={folder}{after}")("/data/x") == Path(folder, "x")

    @pytest.mark.parametrize("text", ["/data=/a;/b", "/data=/a,data2=/b", "/data=/a; other=/b"])
    def test_a_second_mapping_written_wrong_is_no_name_of_a_folder(self, text):
        with pytest.raises(ValueError, match="is not a path mapping"):
            PathMap.parse(text)

    def test_longest_prefix_wins_in_any_order(self):
        for text in ("/data=/a;/data/thumbs=/b", "/data/thumbs=/b;/data=/a"):
            assert PathMap.parse(text)("/data/thumbs/x") == Path("/b/x")
            assert PathMap.parse(text)("/data/upload/x") == Path("/a/upload/x")

    def test_compares_whole_components(self):
        assert PathMap.parse("/data=/mnt")("/data2/x") == Path("/data2/x")

    def test_root_and_trailing_slash(self):
        assert PathMap.parse("/=/mnt")("/data/x") == Path("/mnt/data/x")
        assert PathMap.parse("/data/=/mnt/")("/data/x") == Path("/mnt/x")

    @pytest.mark.parametrize(
        "text", ["/data", "data=/mnt", "/data=mnt", "=/mnt", "/data=", "/a/../b=/mnt", "/a=/b;/a=/c"]
    )
    def test_bad_text_names_the_part(self, text):
        with pytest.raises(ValueError, match=r"/a|/data|/mnt|data"):
            PathMap.parse(text)

    @pytest.mark.parametrize("path", ["/data/../etc/passwd", "/data/x/..", "..", "", "/data/a\0b"])
    def test_refuses_to_climb(self, path):
        with pytest.raises(PictureError, match="refused path"):
            PathMap.parse("/data=/mnt")(path)


class TestRead:
    def test_whole_file(self, tmp_path):
        (tmp_path / "a").write_bytes(b"12345")
        assert read(tmp_path / "a", max_bytes=5) == b"12345"

    def test_missing(self, tmp_path):
        with pytest.raises(PictureError, match=r"preview missing: .*gone"):
            read(tmp_path / "gone", max_bytes=5)

    def test_empty(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(PictureError, match="empty"):
            read(tmp_path / "a", max_bytes=5)

    def test_too_large(self, tmp_path):
        (tmp_path / "a").write_bytes(b"123456")
        with pytest.raises(PictureError, match="more than the 5 bytes"):
            read(tmp_path / "a", max_bytes=5)

    def test_a_folder_is_unreadable(self, tmp_path):
        with pytest.raises(PictureError, match="unreadable"):
            read(tmp_path, max_bytes=5)

    def test_a_file_for_a_folder_is_unreadable(self, tmp_path):
        (tmp_path / "a").write_bytes(b"1")
        with pytest.raises(PictureError, match="unreadable"):
            read(tmp_path / "a" / "b", max_bytes=5)


class TestDecode:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
    def test_formats(self, kind):
        picture = decode(encoded(noise(37, 21), kind), max_pixels=MANY)
        assert (picture.width, picture.height) == (37, 21)
        assert picture.rgb.shape == (21, 37, 3)
        assert picture.rgb.dtype == np.uint8
        assert not picture.rgb.flags.writeable

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
    def test_every_mode_as_pillow_converts_it(self, mode):
        kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
        data = encoded(noise(16, 16).convert(mode), kind)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decode(data, max_pixels=MANY).rgb, expected)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "LA", "palette", "key"])
    @pytest.mark.parametrize("hidden", [0, 255])
    @pytest.mark.parametrize(("ink", "ground"), [(0, 255), (40, 255), (110, 255), (150, 0), (255, 0)])
    def test_transparent_pictures_lie_on_what_their_ink_stands_out_from(self, kind, hidden, ink, ground):
        data = letter(kind, hidden, ink)
        rgb = decode(data, max_pixels=MANY).rgb.astype(int)
        np.testing.assert_allclose(rgb[:10].reshape(-1), ground, atol=3)
        np.testing.assert_allclose(rgb[30:40, 30:40].reshape(-1), ink, atol=3)

    def test_half_transparent_pixels_are_mixed_with_the_ground(self):
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
        assert tuple(decode(encoded(image, "PNG"), max_pixels=MANY).rgb[0, 0]) == (127, 127, 127)

    def test_what_borders_on_the_transparent_pixels_decides(self):
        # dark letters beside a bright emblem, which has more pixels
        image = Image.new("RGBA", (400, 100), (0, 0, 0, 0))
        image.paste((255, 230, 80, 255), (0, 0, 100, 100))
        for left in range(140, 400, 12):
            image.paste((10, 10, 10, 255), (left, 30, left + 3, 70))
        assert tuple(decode(encoded(image, "PNG"), max_pixels=MANY).rgb[5, 390]) == (255, 255, 255)

    def test_nothing_to_see(self):
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        assert decode(encoded(image, "PNG"), max_pixels=MANY).rgb.min() == 255

    def test_an_opaque_alpha_channel_changes_nothing(self):
        image = noise(16, 16)
        image.putalpha(255)
        np.testing.assert_array_equal(
            decode(encoded(image, "PNG"), max_pixels=MANY).rgb, np.asarray(image.convert("RGB"))
        )

    def test_16_bit_grey_keeps_its_shades(self):
        ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
        rgb = decode(encoded(Image.fromarray(ramp), "PNG"), max_pixels=MANY).rgb
        np.testing.assert_array_equal(rgb[0, :, 0], np.arange(256))

    def test_animation_gives_its_first_frame(self):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert tuple(decode(data, max_pixels=MANY).rgb[0, 0]) == (255, 0, 0)

    def test_exif_orientation_is_left_alone(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        picture = decode(encoded(noise(30, 20), "JPEG", exif=exif), max_pixels=MANY)
        assert (picture.width, picture.height) == (30, 20)

    def test_one_pixel(self):
        assert decode(encoded(noise(1, 1), "PNG"), max_pixels=1).rgb.shape == (1, 1, 3)

    def test_bomb_is_refused_from_the_header(self):
        # A PNG of 30,000 x 30,000 black pixels is a few hundred kilobytes; decoding it would take 2.7 GB.
        header = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
        header[16:24] = (30_000).to_bytes(4, "big") * 2
        crc = __import__("zlib").crc32(bytes(header[12:29]))
        header[29:33] = crc.to_bytes(4, "big")
        with pytest.raises(PictureError, match=r"30000 x 30000 pixels, at most 50000000"):
            decode(bytes(header), max_pixels=MANY)

    @pytest.mark.parametrize(
        "data", [b"", b"no picture", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"%!PS-Adobe"]
    )
    def test_no_picture(self, data):
        with pytest.raises(PictureError):
            decode(data, max_pixels=MANY)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
    def test_cut_short(self, kind):
        data = encoded(noise(64, 64), kind)
        with pytest.raises(PictureError):
            decode(data[: len(data) * 2 // 3], max_pixels=MANY)

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_no_other_error_escapes(self, data):
        kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "AVIF"]))
        raw = bytearray(encoded(noise(24, 24), kind))
        for _ in range(data.draw(st.integers(0, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(raw)))
        try:
            picture = decode(bytes(raw[:end]), max_pixels=100_000)
        except PictureError as error:
            assert str(error)  # noqa: PT017 - either outcome is right, but an error has to say something
        else:
            assert isinstance(picture, Picture)
            assert picture.width * picture.height <= 100_000

    @given(st.binary(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_nothing_but_picture_errors_for_any_bytes(self, data):
        with pytest.raises(PictureError):
            decode(data, max_pixels=MANY)


def test_reading_a_small_file_takes_little_memory(tmp_path):
    """Not as much as the largest one may have."""
    path = tmp_path / "preview.jpeg"
    path.write_bytes(b"a picture" * 100_000)
    tracemalloc.start()
    try:
        assert len(read(path, max_bytes=64 << 20)) == 900_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
