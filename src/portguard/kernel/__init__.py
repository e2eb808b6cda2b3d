"""The edges of the world: what reads and writes the kernel, and the fakes that stand in for it."""
