"""The version, for the package, its metadata and its User-Agent."""

__version__ = "0.1.0"
