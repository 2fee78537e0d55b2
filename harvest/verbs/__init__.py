"""The verbs as plain functions: each is a `Harvester` that lives for one call."""
