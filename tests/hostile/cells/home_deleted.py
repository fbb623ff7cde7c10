# HOME removed with everything in it: usable
import os
import shutil
assert os.environ["HOME"].startswith("/tmp/"), "only the test's own HOME"
shutil.rmtree(os.environ["HOME"], ignore_errors=True)
