# a regular expression that takes for ever, then Stop pressed: usable
# interrupt: 1
import re
re.match(r"(a+)+$", "a" * 40 + "b")
