# a locale without Unicode: usable
import locale
import os
os.environ["LC_ALL"] = os.environ["LANG"] = "C"
locale.setlocale(locale.LC_ALL, "C")
print("\u00e9\u4e16\U0001f600")
