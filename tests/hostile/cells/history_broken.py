# the history database turned to garbage: usable
import pathlib
for file in pathlib.Path(get_ipython().profile_dir.location).glob("history.sqlite*"):
    file.write_bytes(b"garbage" * 1000)
