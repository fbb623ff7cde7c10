# an exception with ten million characters: usable
# deadline: 20
raise ValueError("x" * 10_000_000)
