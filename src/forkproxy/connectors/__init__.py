"""Step 5, hand the copies over: the connector API, the types that packages offer, and the running streams.

- `forkproxy.connectors.api`       all that a connector imports
- `forkproxy.connectors.registry`  entry points, and the instances that the configuration makes
- `forkproxy.connectors.streams`   one running stream: queue, task, timeouts, events
- `forkproxy.connectors.testing`   for the tests of connectors
"""
