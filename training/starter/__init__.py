"""The recipe of the built-in starter models: data, networks, training stages, export."""
