"""Tests on booted Debian hosts. A package, unlike its neighbours: its conftest is not the only one."""
