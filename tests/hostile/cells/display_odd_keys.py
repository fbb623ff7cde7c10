# keys that are not text, and two that fall together: usable
from IPython.display import display
display({None: 1, (1, 2): 3, 1: "a", "1": "b", "\ud800": "\udfff"}, raw=True)
