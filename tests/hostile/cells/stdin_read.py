# sys.stdin read to its end: usable
import sys
sys.stdin.read()
open(0, closefd=False).read()
