"""3. The call: a pure state machine and the driver that carries out its actions; sees the other four."""
