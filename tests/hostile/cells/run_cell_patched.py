# run_cell and run_cell_async raise: answered
from IPython.core.interactiveshell import InteractiveShell
def no(*args, **kwargs):
    raise RuntimeError("no cell today")
InteractiveShell.run_cell = InteractiveShell.run_cell_async = no
InteractiveShell._run_cell = InteractiveShell.run_code = no
