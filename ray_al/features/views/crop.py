"""A random window of the enlarged image, possibly mirrored, with changed contrast and colours."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.section import Weight
from ray_al.core.seeding import generator
from ray_al.core.variants import View
from ray_al.features.geometry import ViewDraw

Scale = Annotated[float, Field(ge=1, le=16)]


class CropView(View):
    """Scaled up by a factor drawn from `scale`, then cut back to the image's size."""

    kind: Literal["crop"] = "crop"
    scale: tuple[Scale, Scale] = (1.0, 1.6)
    """Smallest and largest factor by which the image is scaled up."""
    mirror: bool = True
    """Whether every second window is mirrored."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Largest change of contrast: it is multiplied by a factor between 1 - contrast and 1 +
    contrast.
    """
    shift: Weight = 25.0
    """Largest number of grey levels by which each colour changes."""

    def draw(self, name: str, size: tuple[int, int]) -> ViewDraw:
        """As `View.draw`."""
        rng = generator("view", self.model_dump_json(), name)
        scale = float(rng.uniform(*self.scale))
        free = [round(side * scale) - side for side in size]
        top, left = (int(rng.integers(space + 1)) for space in free)
        return ViewDraw(
            size=size,
            scale=scale,
            top=top,
            left=left,
            mirror=self.mirror and bool(rng.random() < 0.5),
            contrast=float(rng.uniform(1 - self.contrast, 1 + self.contrast)),
            shift=tuple(rng.uniform(-self.shift, self.shift, 3).tolist()),
        )
