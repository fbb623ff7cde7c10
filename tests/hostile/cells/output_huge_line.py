# one line of a hundred million characters: usable
# deadline: 30
print("x" * 100_000_000)
