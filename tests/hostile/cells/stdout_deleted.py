# del sys.stdout, sys.stderr, sys.stdin: usable
import sys
del sys.stdout, sys.stderr, sys.stdin
