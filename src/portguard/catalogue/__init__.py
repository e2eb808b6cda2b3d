"""The vendors' port documents as data, and questions asked of them."""
