# endless output without line ends on both streams, then Stop pressed: usable
# interrupt: 2
import sys
while True:
    sys.stdout.write("x")
    sys.stderr.write("y")
