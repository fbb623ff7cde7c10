# a nest of a hundred thousand lists: either
deep = []
for _ in range(100_000):
    deep = [deep]
deep
