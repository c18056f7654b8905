"""Every form of a model against full precision: what it costs, what it gains, and which one to take."""
