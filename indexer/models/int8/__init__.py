"""Models in int8, for processors: quantised on a person's own pictures, and used only if nearly the same."""
