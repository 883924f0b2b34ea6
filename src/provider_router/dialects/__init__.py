"""Wire formats: pure functions and sans-IO parsers. A `Dialect` is a value."""
