# NaN, infinities, bytes, sets and objects, displayed raw: usable
from IPython.display import display
odd = {"nan": float("nan"), "inf": float("-inf"), "big": 10**400, "bytes": b"\xff", "set": {1}, "object": object(), 3: 4}
display({"application/json": odd, "text/plain": None}, metadata={"x": {1, 2}}, raw=True)
