# sys.exit(3): usable
import sys
sys.exit(3)
