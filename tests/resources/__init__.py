"""The scripted resources of the test server, by what they are for. Importing this fills the table."""

from tests.resources import access, answers, connections, encodings, framing, headers, redirects, turns

__all__ = ["access", "answers", "connections", "encodings", "framing", "headers", "redirects", "turns"]
