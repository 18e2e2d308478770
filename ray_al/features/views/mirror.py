"""The mirrored image: the view that EquAL uses, and the cheapest augmentation."""

from typing import Literal

from ray_al.core.variants import View
from ray_al.features.geometry import ViewDraw


class MirrorView(View):
    """Left and right change places."""

    kind: Literal["mirror"] = "mirror"

    def draw(self, name: str, size: tuple[int, int]) -> ViewDraw:
        """As `View.draw`."""
        return ViewDraw(size=size, mirror=True)
