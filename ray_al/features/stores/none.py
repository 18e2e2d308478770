"""No store: features are computed where they are needed."""

from typing import Literal

from ray_al.core.variants import Store


class NoStore(Store):
    """Nothing is kept but what a process holds in memory (`data.cache_gb`)."""

    kind: Literal["none"] = "none"

    def keeps(self, num_passes: int) -> bool:
        """As `Store.keeps`."""
        return False

    def open(self, run_uri: str) -> None:
        """As `Store.open`."""
