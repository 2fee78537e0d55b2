"""Websockets, server-sent events and newline-delimited JSON as rows."""
