"""The manual pages, the journal's catalogue, the completion and a table of the docs: made from what the code itself says."""
