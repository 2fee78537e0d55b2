"""The error for what the benchmarks cannot do without."""


class Missing(Exception):
    """Something that the benchmarks need is not on this machine."""
