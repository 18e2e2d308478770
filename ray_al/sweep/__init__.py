"""Many runs: sweeps on Ray Tune, comparison and statistics."""
