# no temporary directory: usable
import os
import tempfile
tempfile.tempdir = "/nowhere"
os.environ["TMPDIR"] = "/nowhere"
