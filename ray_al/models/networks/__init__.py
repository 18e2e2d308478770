"""The torch modules of heads and backbones, whose settings can be read without torch."""
