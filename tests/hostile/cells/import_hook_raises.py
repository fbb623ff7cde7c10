# an import hook that raises SystemExit: usable
import sys
class Finder:
    def find_spec(self, *args):
        raise SystemExit("from a finder")
sys.meta_path.insert(0, Finder())
