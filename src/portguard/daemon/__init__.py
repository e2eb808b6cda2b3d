"""The shell around the core: it reads, writes, waits and tells, and decides nothing."""
