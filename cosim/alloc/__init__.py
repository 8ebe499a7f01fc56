"""Allocators: pure functions from a problem to an allocation."""
