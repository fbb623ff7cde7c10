# a formatter that raises for everything: usable
def no(*args):
    raise RuntimeError("formatted")
for formatter in get_ipython().display_formatter.formatters.values():
    formatter.for_type(dict, no)
{}
