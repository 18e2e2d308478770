"""The networks behind heads and backbones, apart from their settings, which can be read without torch."""
