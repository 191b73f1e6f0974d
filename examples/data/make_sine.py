"""Makes sine.npy: 8 channels of 128 samples of a sine, float32. Needs NumPy; the file was made with this script."""
from pathlib import Path

import numpy

phase = numpy.arange(128, dtype=numpy.float32) / 128
tensor = numpy.sin(2 * numpy.pi * phase[None, :] * numpy.arange(1, 9, dtype=numpy.float32)[:, None])
numpy.save(Path(__file__).with_name("sine.npy"), tensor.astype(numpy.float32))
