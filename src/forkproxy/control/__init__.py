"""The api listener: health and figures over HTTP."""
