"""5. Connectors: their API, how they are found, and what stands between them and the call."""
