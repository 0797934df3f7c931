#!/usr/bin/env python3
"""Makes the clips of this folder. Needs av (18.1), pillow and numpy; the clips are committed.

Frame n of a video is a grid of 4 x 2 squares, white where bit 0..7 of n is set and else black, so
that a test can read a frame's number from its pixels. Audio is 0.25 s of 440 Hz at half of full
scale, in stereo with one silent channel (mean: a quarter). bomb.png has 64 million pixels.
"""
import pathlib

import av
import numpy
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEIGHT = 96, 64


def picture(n):
    bits = numpy.array([(n >> i) & 1 for i in range(8)], numpy.uint8).reshape(2, 4)
    grey = numpy.kron(bits * 200 + 25, numpy.ones((HEIGHT // 2, WIDTH // 4), numpy.uint8))
    return numpy.repeat(grey[:, :, None], 3, axis=2)


def video(name, codec, n_frames, fps, gop, codec_options=None, container_options=None, rotate=0):
    with av.open(str(HERE / name), "w", options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        for n in range(n_frames):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts = n
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


def animation(name, n_frames, **options):
    frames = [Image.fromarray(picture(n)) for n in range(n_frames)]
    frames[0].save(HERE / name, save_all=True, append_images=frames[1:], duration=100, **options)


def still(name, **options):
    y, x = numpy.mgrid[0:48, 0:64]
    pixels = numpy.stack([4 * x, 5 * y, 2 * (x + y)], -1).astype(numpy.uint8)
    Image.fromarray(pixels).save(HERE / name, **options)


def audio(name, codec, rate, layout="stereo", codec_options=None, sample_format=None):
    t = numpy.arange(rate // 4) / rate
    tone = (0.5 * numpy.sin(2 * numpy.pi * 440 * t)).astype(numpy.float32)
    channels = numpy.stack([tone, 0 * tone]) if layout == "stereo" else tone[None]
    with av.open(str(HERE / name), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout, options=codec_options or {})
        if sample_format:
            stream.format = sample_format
        frame = av.AudioFrame.from_ndarray(numpy.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate, stream.codec_context.frame_size or None)
        for piece in resampler.resample(frame) + resampler.resample(None):
            for packet in stream.encode(piece):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


def main():
    video("h264.mp4", "libx264", 75, 30, 12, {"crf": "30"})
    video("h264_few.mp4", "libx264", 5, 24, 12, {"crf": "30"})
    video("h264_fragments.mp4", "libx264", 40, 25, 10, {"crf": "30"}, {"movflags": "frag_keyframe+empty_moov"})
    video("h264.mkv", "libx264", 64, 1, 16, {"crf": "30"})
    video("hevc.mp4", "libx265", 40, 25, 10, {"crf": "30", "x265-params": "log-level=none"})
    video("mpeg4.mp4", "mpeg4", 40, 25, 10)
    video("vp8.webm", "libvpx", 40, 25, 20, {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "100k"})
    video("vp9.webm", "libvpx-vp9", 40, 25, 20, {"b": "100k"})
    video("av1.webm", "libsvtav1", 40, 25, 20, {"preset": "8", "crf": "40"})
    animation("animation.webp", 40, lossless=True)
    animation("animation.gif", 20)
    still("still.jpg", quality=80)
    still("still.png")
    still("still.webp", quality=80)
    Image.new("1", (8000, 8000)).save(HERE / "bomb.png", optimize=True)
    audio("tone.wav", "pcm_s16le", 22050)
    audio("tone_float.wav", "pcm_f32le", 8000, "mono")
    audio("tone.mp3", "libmp3lame", 44100)
    audio("tone.flac", "flac", 48000)
    audio("tone_opus.ogg", "libopus", 48000)
    audio("tone_vorbis.ogg", "vorbis", 44100, codec_options={"strict": "experimental"})
    audio("tone.m4a", "aac", 44100)
    audio("tone_alac.m4a", "alac", 44100)
    audio("tone.webm", "libopus", 48000)


if __name__ == "__main__":
    main()
