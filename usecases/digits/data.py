"""Digits data set of scikit-learn: 1,797 images of 8 × 8 pixels, as PNG."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INK = 16  # the data set's brightest value


def load(seed: int) -> pd.DataFrame:
    """Return columns `image` (PNG bytes) and `digit` ("0" … "9"); the data are fixed, so `seed` changes nothing."""
    import pandas as pd
    from sklearn.datasets import load_digits

    digits = load_digits()
    return pd.DataFrame(
        {"image": [as_png(image) for image in digits.images], "digit": [str(target) for target in digits.target]}
    )


def as_png(image: np.ndarray) -> bytes:
    """Encode an [8, 8] array of 0 … 16 as a grey PNG of 0 … 255."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray((image * (255 / INK)).round().astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()
