"""`python -m ray_al.cli`, the same as `ray-al`."""

from ray_al.cli import main

if __name__ == "__main__":
    main()
