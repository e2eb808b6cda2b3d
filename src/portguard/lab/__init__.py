"""A disposable network in which the real daemon guards a role; nothing of the host is touched."""
