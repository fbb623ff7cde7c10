# a hundred thousand nested dictionaries, displayed raw: usable
from IPython.display import display
deep = "bottom"
for _ in range(100_000):
    deep = {"application/json": deep}
display(deep, raw=True)
