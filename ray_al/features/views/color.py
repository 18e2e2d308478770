"""The whole image with another contrast and other colours; no pixel moves."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.section import Weight
from ray_al.core.seeding import generator
from ray_al.core.variants import View
from ray_al.features.geometry import ViewDraw


class ColorView(View):
    """Contrast and colours, as `crop` changes them."""

    kind: Literal["color"] = "color"
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Largest change of contrast: it is multiplied by a factor between 1 - contrast and 1 +
    contrast.
    """
    shift: Weight = 25.0
    """Largest number of grey levels by which each colour changes."""

    def draw(self, name: str, size: tuple[int, int]) -> ViewDraw:
        """As `View.draw`."""
        rng = generator("view", self.model_dump_json(), name)
        return ViewDraw(
            size=size,
            contrast=float(rng.uniform(1 - self.contrast, 1 + self.contrast)),
            shift=tuple(rng.uniform(-self.shift, self.shift, 3).tolist()),
        )
