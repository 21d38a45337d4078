"""Lets espeak-ng speak digits, and reads them: the sounds that `digits.py` learns from.

    python examples/digits_sounds.py runs/sounds

Debian's package `espeak-ng` speaks them in 18 voices, 5 speeds and 5 pitches: 4,500 WAV files of
8 kHz, `3_voice_speed_pitch.wav` for a three. Other sounds can stand in their place.
"""

import itertools
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE, LENGTH = 8000, 4096  # Samples a second, and in a sound.
VOICES = [f"en-{k}+{v}" for k in ("us", "gb", "gb-scotland") for v in ("m1", "m3", "m7", "f1")]
VOICES += [f"en-us+{v}" for v in ("f2", "f3", "f4", "m2", "m4", "m5")]


def speak(folder):
    """Lets espeak-ng write all digits in all voices into a folder, as WAV files of 8 kHz."""
    folder.mkdir(parents=True)
    for voice, speed, pitch in itertools.product(VOICES, range(200, 300, 20), range(30, 80, 10)):
        for digit, word in enumerate(WORDS):
            command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout"]
            sound = subprocess.run([*command, word], check=True, capture_output=True).stdout
            samples = np.frombuffer(sound[44:], "int16")[:22_050] / 2**15
            # One second at espeak-ng's rate, without what is too high for 8 kHz.
            spectrum = np.fft.rfft(samples, 22_050)[: RATE // 2 + 1]
            name = f"{digit}_{voice}_{speed}_{pitch}.wav"
            write(folder / name, np.fft.irfft(spectrum) * RATE / 22_050)


def write(path, samples):
    """Writes floats in −1…1 as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())


def sounds_of(folder):
    """Returns int16 sounds `(n, 4096, 1)` with equal peaks, and their digits, shuffled."""
    paths = sorted(folder.glob("*.wav"))
    made = np.zeros((len(paths), LENGTH, 1), "int16")
    for row, path in zip(made, paths, strict=True):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(LENGTH + 400), "<i2").astype("float64")
        loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())[0]
        samples = samples[max(0, loud - 100) :][:LENGTH]  # All begin at the same time.
        row[: len(samples), 0] = samples * (30_000 / np.abs(samples).max())
    order = np.random.default_rng(0).permutation(len(paths))
    return made[order], np.array([int(path.name[0]) for path in paths])[order]


if __name__ == "__main__":
    speak(Path(sys.argv[1]))
