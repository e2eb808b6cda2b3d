"""The brain: values in, values out. No clock, no log, no I/O; imports nothing but the model."""
