# no import machinery left: usable
import sys
sys.meta_path = []
sys.path_hooks = []
sys.path_importer_cache.clear()
sys.path = []
